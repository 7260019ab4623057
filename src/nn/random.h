// Random numbers by counter: draw i of a stream is a function of (seed, purpose, step, i) and of nothing
// else, so results depend neither on the thread count nor on what was drawn before.
#pragma once

#include <cmath>
#include <cstdint>

namespace tidemill::nn {

enum class Purpose : uint64_t { kInit = 1, kShuffle, kDropout, kAugment };

// SplitMix64's output function.
constexpr uint64_t mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBULL;
  return x ^ (x >> 31);
}

class Stream {
 public:
  Stream(uint64_t seed, Purpose purpose, uint64_t step)
      : key_(mix(mix(mix(seed + 0x9E3779B97F4A7C15ULL) + static_cast<uint64_t>(purpose)) + step)) {}

  uint64_t bits(uint64_t i) const { return mix(key_ + (i + 1) * 0x9E3779B97F4A7C15ULL); }
  // [0, 1)
  double uniform(uint64_t i) const { return static_cast<double>(bits(i) >> 11) * 0x1p-53; }
  // Mean 0, deviation 1 (Box-Muller).
  double normal(uint64_t i) const {
    return std::sqrt(-2 * std::log(1 - uniform(2 * i))) * std::cos(2 * M_PI * uniform(2 * i + 1));
  }

 private:
  uint64_t key_;
};

}  // namespace tidemill::nn
