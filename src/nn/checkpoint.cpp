#include "nn/checkpoint.h"

#include <cstring>

#include "base/hash.h"
#include "base/json.h"

namespace tidemill::nn {
namespace {

// magic | length of the header (8 bytes, little-endian) | header, JSON | values, f32 little-endian | SHA-256,
// hex
constexpr std::string_view kMagic = "TMCKPT1\n";
constexpr size_t kLengthBytes = 8, kDigestBytes = 64;
constexpr size_t kMaxHeader = 16 << 20;
constexpr size_t kMaxTensors = 100'000, kMaxRank = 8;

std::string length_bytes(uint64_t length) {
  std::string bytes(kLengthBytes, '\0');
  for (size_t i = 0; i < kLengthBytes; ++i) bytes[i] = static_cast<char>(length >> (8 * i));
  return bytes;
}

uint64_t length_at(std::string_view bytes) {
  uint64_t length = 0;
  for (size_t i = 0; i < kLengthBytes; ++i) length |= uint64_t{static_cast<uint8_t>(bytes[i])} << (8 * i);
  return length;
}

// Values a tensor of this shape has; kInvalid when it is no shape or has more than limit.
Result<size_t> count_of(const std::vector<int64_t>& shape, size_t limit) {
  if (shape.size() > kMaxRank) return fail(Code::kInvalid, "{} dimensions", shape.size());
  size_t count = 1;
  for (int64_t extent : shape) {
    if (extent < 0) return fail(Code::kInvalid, "a negative extent");
    if (extent != 0 && count > limit / static_cast<uint64_t>(extent))
      return fail(Code::kInvalid, "more values than the file holds");
    count *= static_cast<size_t>(extent);
  }
  if (count > limit) return fail(Code::kInvalid, "more values than the file holds");
  return count;
}

class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}

  Result<Checkpoint> read() {
    const std::string_view header = TRY(envelope());
    const Result<Json> json = parse_json(header);
    if (!json || !json->is_object()) return damaged(header_at(), "the header is not a JSON object");
    try {
      return from_json(*json);
    } catch (const Json::exception& error) {
      return damaged(header_at(), error.what());
    }
  }

 private:
  static constexpr size_t header_at() { return kMagic.size() + kLengthBytes; }

  static tl::unexpected<Error> damaged(size_t offset, std::string_view what) {
    return fail(Code::kInvalid, "the checkpoint is damaged at byte {}: {}", offset, what);
  }

  // The header, once magic, lengths and checksum are right; values_ is what follows it.
  Result<std::string_view> envelope() {
    if (!bytes_.starts_with(kMagic)) return fail(Code::kInvalid, "this is not a checkpoint of this version");
    if (bytes_.size() < header_at() + kDigestBytes) return damaged(bytes_.size(), "the file ends too early");
    const size_t end = bytes_.size() - kDigestBytes;
    const uint64_t length = length_at(bytes_.substr(kMagic.size()));
    if (length > kMaxHeader || length > end - header_at())
      return damaged(kMagic.size(), "the header is longer than the file");
    if (sha256_hex(bytes_.substr(0, end)) != bytes_.substr(end))
      return damaged(end, "the checksum is wrong; the file was cut or changed");
    values_at_ = header_at() + length;
    values_ = bytes_.substr(values_at_, end - values_at_);
    return bytes_.substr(header_at(), length);
  }

  Result<Checkpoint> from_json(const Json& json) {
    Checkpoint checkpoint;
    checkpoint.state.step = json.at("step").get<uint64_t>();
    checkpoint.state.seed = json.at("seed").get<uint64_t>();
    checkpoint.settings = json.at("settings").get<std::map<std::string, std::string>>();
    const Json& tensors = json.at("tensors");
    if (!tensors.is_array() || tensors.size() > kMaxTensors)
      return damaged(header_at(), "no list of tensors");
    size_t at = 0;
    for (const Json& entry : tensors) {
      NamedTensor tensor{
          entry.at("name").get<std::string>(), entry.at("shape").get<std::vector<int64_t>>(), {}};
      auto count = count_of(tensor.shape, (values_.size() - at) / sizeof(float));
      if (!count)
        return damaged(values_at_ + at,
                       fmt::format("tensor '{}' has {}", tensor.name, count.error().message));
      tensor.values.resize(*count);
      if (*count) std::memcpy(tensor.values.data(), values_.data() + at, *count * sizeof(float));
      at += *count * sizeof(float);
      checkpoint.state.tensors.push_back(std::move(tensor));
    }
    if (at != values_.size()) return damaged(values_at_ + at, "values that no tensor claims");
    return checkpoint;
  }

  std::string_view bytes_, values_;
  size_t values_at_ = 0;
};

}  // namespace

std::string to_bytes(const Checkpoint& checkpoint) {
  Json tensors = Json::array();
  size_t values = 0;
  for (const NamedTensor& tensor : checkpoint.state.tensors) {
    tensors.push_back({{"name", tensor.name}, {"shape", tensor.shape}});
    values += tensor.values.size() * sizeof(float);
  }
  const std::string header = dump_json({{"step", checkpoint.state.step},
                                        {"seed", checkpoint.state.seed},
                                        {"settings", checkpoint.settings},
                                        {"tensors", std::move(tensors)}});
  std::string bytes;
  bytes.reserve(kMagic.size() + kLengthBytes + header.size() + values + kDigestBytes);
  bytes.append(kMagic).append(length_bytes(header.size())).append(header);
  for (const NamedTensor& tensor : checkpoint.state.tensors)
    bytes.append(reinterpret_cast<const char*>(tensor.values.data()), tensor.values.size() * sizeof(float));
  return bytes += sha256_hex(bytes);
}

Result<Checkpoint> parse_checkpoint(std::string_view bytes) { return Reader(bytes).read(); }

Result<> write_checkpoint(const Checkpoint& checkpoint, const fs::path& path) {
  return write_file_atomic(path, to_bytes(checkpoint), Durable::yes);
}

Result<Checkpoint> read_checkpoint(const fs::path& path) {
  const std::string bytes = TRY(read_file(path));
  return TRY_IN(path.string(), parse_checkpoint(bytes));
}

}  // namespace tidemill::nn
