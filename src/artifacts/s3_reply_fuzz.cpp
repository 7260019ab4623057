#include <cstddef>
#include <cstdint>

#include "artifacts/s3_reply.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view xml(reinterpret_cast<const char*>(data), size);
  static_cast<void>(tidemill::artifacts::read_listing(xml));
  static_cast<void>(tidemill::artifacts::read_upload_id(xml));
  static_cast<void>(tidemill::artifacts::read_problem(xml));
  return 0;
}
