#include "oci/onnx_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace tidemill::oci {
namespace {

constexpr uint64_t kGraphField = 7, kLastField = 25;
enum WireType : uint64_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

// Reads varints at any place of a file.
class Walker {
 public:
  Walker(const Fd& file, uint64_t size) : file_(file), size_(size) {}

  uint64_t at = 0;
  bool ended() const { return at == size_; }

  std::optional<uint64_t> varint() {
    unsigned char bytes[10];
    ssize_t got = ::pread(file_.get(), bytes, sizeof bytes, static_cast<off_t>(at));
    uint64_t value = 0;
    for (ssize_t i = 0; i < got; ++i) {
      value |= static_cast<uint64_t>(bytes[i] & 0x7F) << (7 * i);
      if (bytes[i] & 0x80) continue;
      at += static_cast<uint64_t>(i) + 1;
      return value;
    }
    return std::nullopt;
  }
  bool skip(uint64_t bytes) {
    if (bytes > size_ - at) return false;
    at += bytes;
    return true;
  }
  bool skip_value(uint64_t wire_type) {
    if (wire_type == kVarint) return varint().has_value();
    if (wire_type == kFixed64) return skip(8);
    if (wire_type == kFixed32) return skip(4);
    auto length = wire_type == kBytes ? varint() : std::nullopt;
    return length && skip(*length);
  }

 private:
  const Fd& file_;
  uint64_t size_;
};

}  // namespace

Result<> check_onnx_file(const fs::path& path) {
  Fd file = TRY(open_file(path, O_RDONLY));
  struct stat info{};
  if (fstat(file.get(), &info) != 0)
    return tl::unexpected<Error>(errno_error("stat " + path.string(), errno));
  Walker walker(file, static_cast<uint64_t>(info.st_size));
  bool has_graph = false;
  while (!walker.ended()) {
    const uint64_t start = walker.at;
    auto tag = walker.varint();
    const uint64_t field = tag ? *tag >> 3 : 0;
    if (field == 0 || field > kLastField || !walker.skip_value(*tag & 7))
      return fail(Code::kInvalid, "{}: not a whole ONNX model: broken at byte {}", path.string(), start);
    has_graph = has_graph || field == kGraphField;
  }
  if (!has_graph) return fail(Code::kInvalid, "{}: not an ONNX model: it holds no graph", path.string());
  return {};
}

}  // namespace tidemill::oci
