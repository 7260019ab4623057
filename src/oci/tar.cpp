#include "oci/tar.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

namespace tidemill::oci {
namespace {

constexpr size_t kBlock = 512;
constexpr uint64_t kMaxExtendedBytes = 1 << 20;
constexpr uint64_t kMaxOctalSize = (uint64_t{1} << 33) - 1;  // eleven octal digits

struct Header {
  char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, link[100];
  char magic[6], version[2], user[32], group[32], major[8], minor[8], prefix[155], padding[12];
};
static_assert(sizeof(Header) == kBlock);

template <size_t N>
void put_octal(char (&field)[N], uint64_t value) {
  for (size_t i = N - 1; i-- > 0; value >>= 3) field[i] = static_cast<char>('0' + (value & 7));
  field[N - 1] = '\0';
}

// Either octal digits in spaces and NULs, or the GNU base-256 form.
template <size_t N>
std::optional<uint64_t> get_number(const char (&field)[N]) {
  if (static_cast<unsigned char>(field[0]) & 0x80) {
    uint64_t value = static_cast<unsigned char>(field[0]) & 0x7f;
    for (size_t i = 1; i < N; ++i) {
      if (value >> 55) return std::nullopt;
      value = value << 8 | static_cast<unsigned char>(field[i]);
    }
    return value;
  }
  std::string_view text(field, N);
  size_t begin = text.find_first_not_of(' ');
  if (begin == std::string_view::npos) return 0;
  text.remove_prefix(begin);
  text = text.substr(0, text.find_first_of(std::string_view(" \0", 2)));
  uint64_t value = 0;
  if (text.empty()) return value;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 8);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

uint32_t checksum_of(const Header& header) {
  Header copy = header;
  std::memset(copy.checksum, ' ', sizeof(copy.checksum));
  std::array<unsigned char, kBlock> bytes;
  std::memcpy(bytes.data(), &copy, kBlock);
  uint32_t sum = 0;
  for (unsigned char byte : bytes) sum += byte;
  return sum;
}

template <size_t N>
std::string text_of(const char (&field)[N]) {
  return std::string(field, ::strnlen(field, N));
}

// Where a path may be cut so that both halves fit ustar's prefix and name.
std::optional<size_t> prefix_cut(std::string_view path) {
  if (path.size() > 256) return std::nullopt;
  for (size_t at = path.find('/', path.size() - std::min<size_t>(path.size(), 101));
       at != std::string_view::npos; at = path.find('/', at + 1))
    if (at > 0 && at <= 155 && path.size() - at - 1 <= 100 && path.size() - at - 1 > 0) return at;
  return std::nullopt;
}

// "LEN key=value\n", where LEN counts itself.
std::string pax_record(std::string_view key, std::string_view value) {
  size_t rest = key.size() + value.size() + 3;
  size_t length = rest + std::to_string(rest).size();
  if (std::to_string(length).size() != std::to_string(rest).size())
    length = rest + std::to_string(length).size();
  return fmt::format("{} {}={}\n", length, key, value);
}

uint64_t padding_after(uint64_t size) { return (kBlock - size % kBlock) % kBlock; }

}  // namespace

Result<> TarWriter::header(std::string_view path, uint32_t mode, uint64_t size, char type,
                           std::string_view link) {
  auto cut = path.size() <= 100 ? std::optional<size_t>(0) : prefix_cut(path);
  std::string pax;
  if (!cut) pax += pax_record("path", path);
  if (link.size() > 100) pax += pax_record("linkpath", link);
  if (size > kMaxOctalSize) pax += pax_record("size", std::to_string(size));
  if (!pax.empty() && type != 'x') {
    TRY(header("PaxHeader", 0644, pax.size(), 'x', ""));
    TRY(sink_(pax));
    TRY(sink_(std::string(padding_after(pax.size()), '\0')));
  }
  Header block{};
  std::string_view name = path;
  if (cut && *cut > 0) {
    std::memcpy(block.prefix, path.data(), *cut);
    name = path.substr(*cut + 1);
  }
  std::memcpy(block.name, name.data(), std::min(name.size(), sizeof(block.name)));
  std::memcpy(block.link, link.data(), std::min(link.size(), sizeof(block.link)));
  put_octal(block.mode, mode & 07777);
  put_octal(block.uid, 0);
  put_octal(block.gid, 0);
  put_octal(block.size, std::min(size, kMaxOctalSize));
  put_octal(block.mtime, static_cast<uint64_t>(std::max<int64_t>(mtime_, 0)));
  block.type = type;
  std::memcpy(block.magic, "ustar", 6);
  std::memcpy(block.version, "00", 2);
  put_octal(block.major, 0);
  put_octal(block.minor, 0);
  std::string sum = fmt::format("{:06o}", checksum_of(block));
  std::memcpy(block.checksum, sum.data(), 6);
  block.checksum[6] = '\0';
  block.checksum[7] = ' ';
  std::array<char, kBlock> bytes;
  std::memcpy(bytes.data(), &block, kBlock);
  return sink_(std::string_view(bytes.data(), kBlock));
}

Result<> TarWriter::directory(std::string_view path, uint32_t mode) {
  return header(std::string(path) + "/", mode, 0, '5', "");
}

Result<> TarWriter::symlink(std::string_view path, std::string_view target) {
  return header(path, 0777, 0, '2', target);
}

Result<> TarWriter::file(std::string_view path, uint32_t mode, std::string_view bytes) {
  TRY(begin_file(path, mode, bytes.size()));
  TRY(append(bytes));
  return end_file();
}

Result<> TarWriter::begin_file(std::string_view path, uint32_t mode, uint64_t size) {
  written_ = 0;
  expected_ = size;
  return header(path, mode, size, '0', "");
}

Result<> TarWriter::append(std::string_view bytes) {
  written_ += bytes.size();
  return sink_(bytes);
}

Result<> TarWriter::end_file() {
  if (written_ != expected_)
    return fail(Code::kInternal, "a file in a tar archive has {} bytes where {} were announced", written_,
                expected_);
  return sink_(std::string(padding_after(expected_), '\0'));
}

Result<> TarWriter::finish() { return sink_(std::string(2 * kBlock, '\0')); }

struct TarReader::Extended {
  std::optional<std::string> path, link;
  std::optional<uint64_t> size;
};

TarReader::TarReader(std::string_view bytes)
    : read_at_([bytes](uint64_t offset, std::span<char> out) -> Result<> {
        if (offset > bytes.size() || out.size() > bytes.size() - offset)
          return fail(Code::kInvalid, "tar archive ends too early");
        std::memcpy(out.data(), bytes.data() + offset, out.size());
        return {};
      }),
      size_(bytes.size()) {}

Result<std::string> TarReader::body(uint64_t offset, uint64_t size) {
  std::string bytes(size, '\0');
  TRY(read_at_(offset, bytes));
  return bytes;
}

// True when the entry was about the next one: a PAX header or a GNU long name.
Result<bool> TarReader::read_extended(char type, const TarItem& item, Extended& extended) {
  if (type == 'g') return true;
  if (type != 'x' && type != 'L' && type != 'K') return false;
  if (item.size > kMaxExtendedBytes)
    return fail(Code::kInvalid, "tar archive, byte {}: an extended header of {} bytes", item.offset,
                item.size);
  std::string bytes = TRY(body(item.offset, item.size));
  if (type == 'L') extended.path = bytes.c_str();
  if (type == 'K') extended.link = bytes.c_str();
  if (type != 'x') return true;
  std::string_view rest = bytes;
  while (!rest.empty() && rest[0] != '\0') {
    size_t length = 0;
    auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), length);
    size_t digits = static_cast<size_t>(end - rest.data());
    if (error != std::errc{} || length > rest.size() || length < digits + 3 || rest[digits] != ' ')
      return fail(Code::kInvalid, "tar archive, byte {}: a damaged PAX header", item.offset);
    std::string_view record = rest.substr(digits + 1, length - digits - 2);
    rest.remove_prefix(length);
    size_t equals = record.find('=');
    if (equals == std::string_view::npos) continue;
    std::string_view key = record.substr(0, equals), value = record.substr(equals + 1);
    if (key == "path") extended.path = std::string(value);
    if (key == "linkpath") extended.link = std::string(value);
    if (key == "size") {
      uint64_t size = 0;
      auto parsed = std::from_chars(value.data(), value.data() + value.size(), size);
      if (parsed.ec != std::errc{} || parsed.ptr != value.data() + value.size())
        return fail(Code::kInvalid, "tar archive, byte {}: a damaged size", item.offset);
      extended.size = size;
    }
  }
  return true;
}

Result<std::optional<TarItem>> TarReader::next() {
  Extended extended;
  while (true) {
    if (position_ == size_) return std::nullopt;  // some writers leave the closing blocks out
    std::array<char, kBlock> bytes;
    if (size_ - position_ < kBlock)
      return fail(Code::kInvalid, "tar archive, byte {}: ends too early", position_);
    TRY(read_at_(position_, bytes));
    if (std::all_of(bytes.begin(), bytes.end(), [](char byte) { return byte == 0; })) return std::nullopt;
    Header block;
    std::memcpy(&block, bytes.data(), kBlock);
    auto checksum = get_number(block.checksum), size = get_number(block.size), mode = get_number(block.mode);
    auto uid = get_number(block.uid), gid = get_number(block.gid);
    if (!checksum || *checksum != checksum_of(block))
      return fail(Code::kInvalid, "tar archive, byte {}: not a tar header", position_);
    if (!size || !mode || !uid || !gid)
      return fail(Code::kInvalid, "tar archive, byte {}: a damaged number", position_);

    TarItem item;
    item.mode = static_cast<uint32_t>(*mode & 07777);
    item.uid = *uid;
    item.gid = *gid;
    item.offset = position_ + kBlock;
    bool about_next = block.type == 'x' || block.type == 'g' || block.type == 'L' || block.type == 'K';
    item.size = !about_next && extended.size ? *extended.size : *size;
    bool has_body = block.type == '0' || block.type == '\0' || block.type == '7' || about_next;
    if (!has_body && block.type != 'S') item.size = 0;
    if (item.size > size_ - item.offset)
      return fail(Code::kInvalid, "tar archive, byte {}: ends too early", position_);
    uint64_t end = item.offset + item.size;
    position_ = std::min(end + padding_after(item.size), size_);
    if (TRY(read_extended(block.type, item, extended))) continue;

    std::string prefix = std::memcmp(block.magic, "ustar\0", 6) == 0 ? text_of(block.prefix) : "";
    item.path = extended.path ? *extended.path : (prefix.empty() ? "" : prefix + "/") + text_of(block.name);
    item.link = extended.link ? *extended.link : text_of(block.link);
    switch (block.type) {
      case '0':
      case '\0':
      case '7':
        item.kind = item.path.ends_with('/') ? TarKind::kDirectory : TarKind::kFile;
        break;
      case '5':
        item.kind = TarKind::kDirectory;
        break;
      case '2':
        item.kind = TarKind::kSymlink;
        break;
      case '1':
        item.kind = TarKind::kHardLink;
        break;
      default:
        item.kind = TarKind::kOther;
    }
    return item;
  }
}

}  // namespace tidemill::oci
