#include "preprocess/archive.h"

#include <fcntl.h>
#include <libdeflate.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cstring>
#include <future>
#include <memory>

#include "base/hash.h"
#include "base/text.h"

namespace tidemill::cifar10 {
namespace {

constexpr uint64_t kMaxUnpacked = uint64_t{1} << 30;
constexpr size_t kBlock = 512;

// A file in memory without a copy.
class MappedFile {
 public:
  static Result<MappedFile> open(const fs::path& path) {
    MappedFile file;
    Fd fd = TRY(open_file(path, O_RDONLY));
    struct stat info{};
    if (fstat(fd.get(), &info) != 0)
      return tl::unexpected<Error>(errno_error("stat " + path.string(), errno));
    file.bytes_ = static_cast<size_t>(info.st_size);
    if (file.bytes_ == 0) return fail(Code::kInvalid, "{} is empty", path.string());
    void* data = mmap(nullptr, file.bytes_, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd.get(), 0);
    if (data == MAP_FAILED) return tl::unexpected<Error>(errno_error("map " + path.string(), errno));
    file.data_ = static_cast<const uint8_t*>(data);
    return file;
  }
  MappedFile() = default;
  MappedFile(MappedFile&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  MappedFile& operator=(MappedFile&&) = delete;
  ~MappedFile() {
    if (data_) munmap(const_cast<uint8_t*>(data_), bytes_);
  }
  std::span<const uint8_t> bytes() const { return {data_, bytes_}; }
  std::string_view text() const { return {reinterpret_cast<const char*>(data_), bytes_}; }

 private:
  const uint8_t* data_ = nullptr;
  size_t bytes_ = 0;
};

Result<> verify(std::string_view content, const Expected& expected) {
  if (expected.bytes != 0 && content.size() != expected.bytes)
    return fail(Code::kInvalid, "has {} bytes, the published file has {}: the download is {}; fetch it again",
                content.size(), expected.bytes,
                content.size() < expected.bytes ? "incomplete" : "another file");
  auto compare = [](std::string_view kind, const std::string& actual, std::string_view wanted) -> Result<> {
    if (actual == wanted) return {};
    return fail(Code::kInvalid, "{} is {}, the published one is {}: the download is damaged; fetch it again",
                kind, actual, wanted);
  };
  if (!expected.sha256.empty()) TRY(compare("its SHA-256", sha256_hex(content), expected.sha256));
  if (!expected.md5.empty()) TRY(compare("its MD5", md5_hex(content), expected.md5));
  return {};
}

// An octal number field, padded with spaces or NULs.
std::optional<uint64_t> octal(std::span<const uint8_t> field) {
  uint64_t value = 0;
  bool any = false;
  for (uint8_t c : field) {
    if (c >= '0' && c <= '7')
      value = value * 8 + (c - '0'), any = true;
    else if (c == 0 || (c == ' ' && any))
      break;
    else if (c != ' ')
      return std::nullopt;
  }
  return any ? std::optional(value) : std::nullopt;
}

bool header_checksum_ok(std::span<const uint8_t> header) {
  uint64_t sum = 0;
  for (size_t i = 0; i < kBlock; ++i) sum += i >= 148 && i < 156 ? uint64_t{' '} : header[i];
  return octal(header.subspan(148, 8)) == sum;
}

}  // namespace

Result<std::string> gunzip(std::span<const uint8_t> gzip, uint64_t max_bytes) {
  if (gzip.size() < 18 || gzip[0] != 0x1f || gzip[1] != 0x8b)
    return fail(Code::kInvalid, "byte 0: not a gzip file");
  uint32_t size = 0;  // the last four bytes, little-endian
  memcpy(&size, &gzip[gzip.size() - 4], 4);
  if (size > max_bytes)
    return fail(Code::kInvalid,
                "byte {}: it says to unpack to {} bytes (limit {}); it is truncated or another file",
                gzip.size() - 4, size, max_bytes);
  // Deflate cannot do better than about 1 to 1032, so a damaged size cannot make us take memory for nothing.
  if (size > gzip.size() * 1040)
    return fail(Code::kInvalid, "byte {}: the size at the end is impossible; the file is truncated",
                gzip.size() - 4);
  std::unique_ptr<libdeflate_decompressor, decltype(&libdeflate_free_decompressor)> inflater(
      libdeflate_alloc_decompressor(), &libdeflate_free_decompressor);
  std::string out(size, '\0');
  size_t used = 0, got = 0;
  auto result = libdeflate_gzip_decompress_ex(inflater.get(), gzip.data(), gzip.size(), out.data(),
                                              out.size(), &used, &got);
  if (result != LIBDEFLATE_SUCCESS || got != out.size() || used != gzip.size())
    return fail(Code::kInvalid, "the gzip data of {} bytes is damaged or truncated", gzip.size());
  return out;
}

Result<TarIndex> index_tar(std::span<const uint8_t> tar) {
  TarIndex index;
  for (size_t at = 0; at + kBlock <= tar.size();) {
    auto header = tar.subspan(at, kBlock);
    if (std::all_of(header.begin(), header.end(), [](uint8_t c) { return c == 0; })) return index;
    if (!header_checksum_ok(header)) return fail(Code::kInvalid, "byte {} of the tar: damaged header", at);
    auto size = octal(header.subspan(124, 12));
    if (!size) return fail(Code::kInvalid, "byte {} of the tar: the size of a file is no number", at + 124);
    at += kBlock;
    if (*size > tar.size() - at)
      return fail(Code::kInvalid, "byte {} of the tar: truncated inside a file of {} bytes", tar.size(),
                  *size);
    const auto* name = reinterpret_cast<const char*>(header.data());
    std::string file_name = fs::path(std::string(name, strnlen(name, 100))).filename().string();
    if (header[156] == '0' || header[156] == 0) index[file_name] = tar.subspan(at, *size);
    at += std::min<size_t>((*size + kBlock - 1) / kBlock * kBlock, tar.size() - at);
  }
  return fail(Code::kInvalid, "byte {} of the tar: truncated, its end mark is missing", tar.size());
}

Result<SourceFiles> SourceFiles::open(const fs::path& path, const std::optional<Expected>& expected) {
  SourceFiles files;
  files.path_ = path;
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) {
    files.is_folder_ = true;
    return files;
  }
  MappedFile archive = TRY(MappedFile::open(path));
  auto verified = std::async(std::launch::async,
                             [&] { return expected ? verify(archive.text(), *expected) : Result<>{}; });
  Result<std::string> tar = gunzip(archive.bytes(), kMaxUnpacked);
  TRY_IN(path.string(), verified.get());
  files.tar_ = TRY_IN(path.string(), std::move(tar));
  files.index_ = TRY_IN(path.string(),
                        index_tar({reinterpret_cast<const uint8_t*>(files.tar_.data()), files.tar_.size()}));
  return files;
}

bool SourceFiles::has(std::string_view name) const {
  std::error_code ignored;
  return is_folder_ ? fs::exists(path_ / name, ignored) : index_.contains(name);
}

Result<std::span<const uint8_t>> SourceFiles::read(std::string_view name) const {
  if (!is_folder_) {
    auto found = index_.find(name);
    if (found == index_.end()) return fail(Code::kNotFound, "{}: it holds no file {}", path_.string(), name);
    return found->second;
  }
  auto found = loaded_.find(name);
  if (found == loaded_.end())
    found = loaded_.emplace(std::string(name), TRY(read_file(path_ / name, kMaxUnpacked))).first;
  return std::span(reinterpret_cast<const uint8_t*>(found->second.data()), found->second.size());
}

std::string SourceFiles::describe(std::string_view name) const {
  return is_folder_ ? (path_ / name).string() : fmt::format("{}: {}", path_.string(), name);
}

}  // namespace tidemill::cifar10
