#include "base/id.h"

#include <sys/random.h>

#include <array>
#include <cstdlib>
#include <string_view>

#include <fmt/format.h>

namespace tidemill {

static void fill_random(void* out, size_t size) {
  auto* bytes = static_cast<unsigned char*>(out);
  while (size > 0) {
    ssize_t got = getrandom(bytes, size, 0);
    if (got < 0) std::abort();  // only for a bad pointer: size and flags are ours
    bytes += got;
    size -= static_cast<size_t>(got);
  }
}

std::string random_bytes(size_t count) {
  std::string bytes(count, '\0');
  fill_random(bytes.data(), count);
  return bytes;
}

uint64_t random_u64() {
  uint64_t value = 0;
  fill_random(&value, sizeof value);
  return value;
}

std::string new_run_id() {
  std::array<unsigned char, 16> bytes{};
  fill_random(bytes.data(), bytes.size());
  bytes[6] = static_cast<unsigned char>((bytes[6] & 0x0F) | 0x40);
  bytes[8] = static_cast<unsigned char>((bytes[8] & 0x3F) | 0x80);
  return fmt::format("{:02x}", fmt::join(bytes, ""));
}

std::string new_uuid() {
  std::string id = new_run_id();
  for (size_t at : {8, 13, 18, 23}) id.insert(at, 1, '-');
  return id;
}

std::string new_run_name() {
  constexpr std::array<std::string_view, 32> kAdjectives = {
      "amber", "bold",  "brisk", "calm",  "clear", "crisp",  "deep",   "eager", "early", "fair",  "fleet",
      "fresh", "glad",  "keen",  "kind",  "light", "lively", "lucid",  "mild",  "neat",  "noble", "plain",
      "quick", "quiet", "rapid", "sharp", "sleek", "solid",  "steady", "swift", "tidal", "warm"};
  constexpr std::array<std::string_view, 32> kNouns = {
      "anchor",  "basin",  "bay",    "beacon", "brook",  "buoy",  "canal", "cape",
      "channel", "coast",  "cove",   "creek",  "delta",  "dune",  "eddy",  "fjord",
      "gull",    "harbor", "heron",  "inlet",  "lagoon", "marsh", "mill",  "otter",
      "pier",    "reef",   "ripple", "sluice", "strait", "tide",  "wave",  "weir"};
  uint64_t r = random_u64();
  return fmt::format("{}-{}-{}", kAdjectives[r % 32], kNouns[r / 32 % 32], r / 1024 % 900 + 100);
}

}  // namespace tidemill
