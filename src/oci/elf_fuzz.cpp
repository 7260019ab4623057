// Any bytes: the ELF reader answers or refuses, and never changes what the loader reads.
#include "oci/elf.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string bytes(reinterpret_cast<const char*>(data), size);
  auto before = tidemill::oci::parse_elf(bytes);
  auto after = tidemill::oci::parse_elf(tidemill::oci::without_symbols(std::move(bytes)));
  if (before && (!after || before->needed != after->needed || before->interpreter != after->interpreter))
    __builtin_trap();
  return 0;
}
