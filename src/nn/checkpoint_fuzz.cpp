// Whatever the bytes, parsing ends in a checkpoint or an error; what parses is written back to the same
// bytes' meaning.
#include "base/hash.h"
#include "nn/checkpoint.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tidemill::nn;
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  (void)parse_checkpoint(bytes);
  // Past the checksum, which a mutation never gets right by itself.
  auto parsed = parse_checkpoint(bytes + tidemill::sha256_hex(bytes));
  if (parsed && !parse_checkpoint(to_bytes(*parsed))) __builtin_trap();
  return 0;
}
