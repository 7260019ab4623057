#include "nn/pth.h"

#include <zlib.h>

namespace tidemill::nn {
namespace {

template <class T>
void put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

// ---- data.pkl ----

void put_text(std::string& out, std::string_view text) {
  out += 'X';
  put(out, static_cast<uint32_t>(text.size()));
  out += text;
}

void put_integer(std::string& out, int64_t value) {
  if (value >= 0 && value < 256) {
    out += 'K';
    put(out, static_cast<uint8_t>(value));
  } else if (value <= INT32_MAX) {
    out += 'J';
    put(out, static_cast<int32_t>(value));
  } else {
    out += "\x8a\x08";
    put(out, value);
  }
}

void put_integers(std::string& out, std::span<const int64_t> values) {
  out += '(';
  for (int64_t value : values) put_integer(out, value);
  out += 't';
}

std::vector<int64_t> contiguous_strides(std::span<const int64_t> shape) {
  std::vector<int64_t> strides(shape.size(), 1);
  for (size_t i = shape.size(); i-- > 1;) strides[i - 1] = strides[i] * shape[i];
  return strides;
}

// torch._utils._rebuild_tensor_v2(storage, offset, size, stride, requires_grad, backward_hooks)
void put_tensor(std::string& out, const NamedTensor& tensor, size_t storage) {
  out += "ctorch._utils\n_rebuild_tensor_v2\n((";
  put_text(out, "storage");
  out += "ctorch\nFloatStorage\n";
  put_text(out, fmt::format("{}", storage));
  put_text(out, "cpu");
  put_integer(out, static_cast<int64_t>(tensor.values.size()));
  out += "tQ";
  put_integer(out, 0);
  put_integers(out, tensor.shape);
  put_integers(out, contiguous_strides(tensor.shape));
  out +=
      "\x89"
      "ccollections\nOrderedDict\n)RtR";
}

std::string pickle_state_dict(std::span<const NamedTensor> tensors) {
  std::string out =
      "\x80\x02"
      "ccollections\nOrderedDict\n)R(";
  for (size_t i = 0; i < tensors.size(); ++i) {
    put_text(out, tensors[i].name);
    put_tensor(out, tensors[i], i);
  }
  out += "u.";
  return out;
}

// ---- zip ----

class Zip {
 public:
  void add(const std::string& name, std::string_view content) {
    const auto offset = static_cast<uint32_t>(out_.size());
    const auto crc =
        static_cast<uint32_t>(crc32_z(0, reinterpret_cast<const Bytef*>(content.data()), content.size()));
    const std::string padding = alignment_field(out_.size() + kLocalHeader + name.size());
    put(out_, uint32_t{0x04034b50});
    put_common(out_, crc, content.size(), name.size());
    put(out_, static_cast<uint16_t>(padding.size()));
    out_ += name;
    out_ += padding;
    out_ += content;

    put(directory_, uint32_t{0x02014b50});
    put(directory_, uint16_t{20});  // made by version 2.0
    put_common(directory_, crc, content.size(), name.size());
    put(directory_, uint16_t{0});  // extra field
    put(directory_, uint16_t{0});  // comment
    put(directory_, uint16_t{0});  // disk
    put(directory_, uint16_t{0});  // internal attributes
    put(directory_, uint32_t{0});  // external attributes
    put(directory_, offset);
    directory_ += name;
    ++entries_;
  }

  std::string finish() && {
    const auto directory_at = static_cast<uint32_t>(out_.size());
    out_ += directory_;
    put(out_, uint32_t{0x06054b50});
    put(out_, uint16_t{0});
    put(out_, uint16_t{0});
    put(out_, entries_);
    put(out_, entries_);
    put(out_, static_cast<uint32_t>(directory_.size()));
    put(out_, directory_at);
    put(out_, uint16_t{0});  // comment
    return std::move(out_);
  }

 private:
  static constexpr size_t kLocalHeader = 30;
  static constexpr size_t kAlignment = 64;  // torch aligns storages so that they can be mapped

  static std::string alignment_field(size_t data_at) {
    constexpr size_t kFieldHeader = 4;
    const size_t pad = (kAlignment - (data_at + kFieldHeader) % kAlignment) % kAlignment;
    std::string field = "FB";  // the identifier that torch's writer uses
    put(field, static_cast<uint16_t>(pad));
    return field + std::string(pad, 'Z');
  }

  static void put_common(std::string& out, uint32_t crc, size_t bytes, size_t name_bytes) {
    put(out, uint16_t{20});      // needs version 2.0
    put(out, uint16_t{0});       // flags
    put(out, uint16_t{0});       // stored
    put(out, uint16_t{0});       // time
    put(out, uint16_t{0x0021});  // date: 1980-01-01, the same every time
    put(out, crc);
    put(out, static_cast<uint32_t>(bytes));  // compressed
    put(out, static_cast<uint32_t>(bytes));
    put(out, static_cast<uint16_t>(name_bytes));
  }

  std::string out_, directory_;
  uint16_t entries_ = 0;
};

}  // namespace

Result<std::string> to_pth(std::span<const NamedTensor> tensors, std::string_view archive_name) {
  constexpr size_t kSpare = 1 << 20;  // for headers and names
  size_t total = kSpare;
  for (const NamedTensor& tensor : tensors) total += tensor.values.size() * sizeof(float);
  if (total > UINT32_MAX || tensors.size() > 60'000)
    return fail(Code::kInvalid, "a model of {} bytes is too large for a .pth file; use safetensors", total);
  Zip zip;
  auto add = [&](std::string_view name, std::string_view content) {
    zip.add(fmt::format("{}/{}", archive_name, name), content);
  };
  add("data.pkl", pickle_state_dict(tensors));
  add("byteorder", "little");
  for (size_t i = 0; i < tensors.size(); ++i)
    add(fmt::format("data/{}", i),
        {reinterpret_cast<const char*>(tensors[i].values.data()), tensors[i].values.size() * sizeof(float)});
  add("version", "3\n");
  return std::move(zip).finish();
}

Result<> write_pth(std::span<const NamedTensor> tensors, const fs::path& path) {
  return write_file_atomic(path, TRY(to_pth(tensors, path.stem().string())));
}

}  // namespace tidemill::nn
