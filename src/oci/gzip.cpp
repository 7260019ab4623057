#include "oci/gzip.h"

#include <libdeflate.h>

#include <algorithm>
#include <cstring>
#include <memory>

namespace tidemill::oci {
namespace {

struct FreeCompressor {
  void operator()(libdeflate_compressor* compressor) const { libdeflate_free_compressor(compressor); }
};
struct FreeDecompressor {
  void operator()(libdeflate_decompressor* decompressor) const { libdeflate_free_decompressor(decompressor); }
};

// gzip's last four bytes: the unpacked size of the last member modulo 2^32. A hint, never trusted.
uint64_t size_hint(std::string_view bytes) {
  uint32_t size = 0;
  if (bytes.size() >= 18) std::memcpy(&size, bytes.data() + bytes.size() - 4, 4);
  return size;
}

}  // namespace

Result<std::string> gzip(std::string_view bytes, int level) {
  std::unique_ptr<libdeflate_compressor, FreeCompressor> compressor(libdeflate_alloc_compressor(level));
  if (!compressor) return fail(Code::kInternal, "no gzip compressor for level {}", level);
  std::string out(libdeflate_gzip_compress_bound(compressor.get(), bytes.size()), '\0');
  size_t size =
      libdeflate_gzip_compress(compressor.get(), bytes.data(), bytes.size(), out.data(), out.size());
  if (size == 0) return fail(Code::kInternal, "gzip failed");
  out.resize(size);
  return out;
}

Result<std::string> gunzip(std::string_view bytes, uint64_t max_bytes) {
  std::unique_ptr<libdeflate_decompressor, FreeDecompressor> decompressor(libdeflate_alloc_decompressor());
  if (!decompressor) return fail(Code::kInternal, "no gzip decompressor");
  std::string out;
  uint64_t done = 0;
  // A foreign hint may claim 4 GiB: no more is taken at first than gzip can make of the input (1032 : 1).
  uint64_t room = std::min({size_hint(bytes), max_bytes, uint64_t{bytes.size()} * 1032}) + 64;
  while (!bytes.empty()) {
    out.resize(done + room);
    size_t used = 0, made = 0;
    libdeflate_result result = libdeflate_gzip_decompress_ex(decompressor.get(), bytes.data(), bytes.size(),
                                                             out.data() + done, room, &used, &made);
    if (result == LIBDEFLATE_INSUFFICIENT_SPACE) {
      if (done + room > max_bytes)
        return fail(Code::kInvalid, "gzip data unpack to more than {} bytes", max_bytes);
      room = std::min(room * 2, max_bytes - done + 1);
      continue;
    }
    if (result != LIBDEFLATE_SUCCESS) return fail(Code::kInvalid, "damaged gzip data");
    done += made;
    if (done > max_bytes) return fail(Code::kInvalid, "gzip data unpack to more than {} bytes", max_bytes);
    bytes.remove_prefix(used);
    room = std::max<uint64_t>(std::min<uint64_t>(room, 1 << 20), 64);
  }
  out.resize(done);
  return out;
}

}  // namespace tidemill::oci
