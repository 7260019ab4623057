// Random identifiers from the kernel's generator.
#pragma once

#include <cstdint>
#include <string>

namespace tidemill {

std::string new_run_id();    // 32 lower-case hex digits: a version 4 UUID without dashes, as MLflow's
std::string new_uuid();      // the same with dashes
std::string new_run_name();  // "adjective-noun-123"
uint64_t random_u64();
std::string random_bytes(size_t count);  // for keys and secrets

}  // namespace tidemill
