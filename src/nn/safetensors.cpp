#include "nn/safetensors.h"

#include "base/json.h"

namespace tidemill::nn {
namespace {

constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // the format's own limit
constexpr size_t kAlignment = 8;

// The element count of a shape, or nullopt when it is no shape or has more than max elements.
std::optional<uint64_t> count_elements(const Json& shape, uint64_t max) {
  if (!shape.is_array()) return std::nullopt;
  uint64_t count = 1;
  for (const Json& extent : shape) {
    if (!extent.is_number_unsigned()) return std::nullopt;
    auto value = extent.get<uint64_t>();
    if (value != 0 && count > max / value) return std::nullopt;
    count *= value;
  }
  return count;
}

struct Slice {
  uint64_t begin, end;
};

std::optional<Slice> read_offsets(const Json& entry, uint64_t data_bytes) {
  auto found = entry.find("data_offsets");
  if (found == entry.end() || !found->is_array() || found->size() != 2) return std::nullopt;
  if (!(*found)[0].is_number_unsigned() || !(*found)[1].is_number_unsigned()) return std::nullopt;
  Slice slice{(*found)[0].get<uint64_t>(), (*found)[1].get<uint64_t>()};
  if (slice.begin > slice.end || slice.end > data_bytes) return std::nullopt;
  return slice;
}

Result<NamedTensor> read_tensor(const std::string& name, const Json& entry, std::string_view data,
                                Slice& slice) {
  if (!entry.is_object() || json_string(entry, "dtype") != "F32" || !entry.contains("shape"))
    return fail(Code::kInvalid, "tensor '{}' is not a F32 tensor with a shape", name);
  auto count = count_elements(entry["shape"], data.size() / sizeof(float));
  auto offsets = read_offsets(entry, data.size());
  if (!count || !offsets || offsets->end - offsets->begin != *count * sizeof(float))
    return fail(Code::kInvalid, "tensor '{}': its shape and data offsets do not fit the file", name);
  slice = *offsets;
  NamedTensor tensor;
  tensor.name = name;
  for (const Json& extent : entry["shape"]) tensor.shape.push_back(extent.get<int64_t>());
  tensor.values.resize(*count);
  if (*count > 0) memcpy(tensor.values.data(), data.data() + slice.begin, *count * sizeof(float));
  return tensor;
}

// The format wants the data covered once, without holes.
bool covers_without_holes(std::vector<Slice> slices, uint64_t data_bytes) {
  std::sort(slices.begin(), slices.end(), [](const Slice& a, const Slice& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  uint64_t at = 0;
  for (const Slice& slice : slices) {
    if (slice.begin != at) return false;
    at = slice.end;
  }
  return at == data_bytes;
}

}  // namespace

std::string to_safetensors(std::span<const NamedTensor> tensors) {
  Json header = {{"__metadata__", {{"format", "pt"}}}};
  uint64_t at = 0;
  for (const NamedTensor& tensor : tensors) {
    const uint64_t end = at + tensor.values.size() * sizeof(float);
    header[tensor.name] = {{"dtype", "F32"}, {"shape", tensor.shape}, {"data_offsets", {at, end}}};
    at = end;
  }
  std::string text = dump_json(header);
  text.resize((text.size() + kAlignment - 1) / kAlignment * kAlignment, ' ');
  const uint64_t header_bytes = text.size();
  std::string out(reinterpret_cast<const char*>(&header_bytes), sizeof header_bytes);
  out.reserve(out.size() + header_bytes + at);
  out += text;
  for (const NamedTensor& tensor : tensors)
    out.append(reinterpret_cast<const char*>(tensor.values.data()), tensor.values.size() * sizeof(float));
  return out;
}

Result<std::vector<NamedTensor>> parse_safetensors(std::string_view bytes) {
  uint64_t header_bytes = 0;
  if (bytes.size() < sizeof header_bytes)
    return fail(Code::kInvalid, "byte {}: truncated before the header", bytes.size());
  memcpy(&header_bytes, bytes.data(), sizeof header_bytes);
  bytes.remove_prefix(sizeof header_bytes);
  if (header_bytes > kMaxHeaderBytes || header_bytes > bytes.size())
    return fail(Code::kInvalid,
                "byte 0: a header of {} bytes does not fit; truncated or not a safetensors file",
                header_bytes);
  const Json header = TRY_IN("header", parse_json(bytes.substr(0, header_bytes)));
  if (!header.is_object()) return fail(Code::kInvalid, "byte 8: the header is not an object");
  const std::string_view data = bytes.substr(header_bytes);
  std::vector<NamedTensor> tensors;
  std::vector<Slice> slices;
  for (auto& [name, entry] : header.items()) {
    if (name == "__metadata__") continue;
    tensors.push_back(TRY(read_tensor(name, entry, data, slices.emplace_back())));
  }
  if (!covers_without_holes(std::move(slices), data.size()))
    return fail(Code::kInvalid, "byte {}: the tensors do not cover the data exactly; truncated or damaged",
                sizeof header_bytes + header_bytes);
  return tensors;
}

Result<> write_safetensors(std::span<const NamedTensor> tensors, const fs::path& path) {
  return write_file_atomic(path, to_safetensors(tensors));
}

Result<std::vector<NamedTensor>> read_safetensors(const fs::path& path) {
  return TRY_IN(path.string(), parse_safetensors(TRY(read_file(path))));
}

}  // namespace tidemill::nn
