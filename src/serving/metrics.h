// Counters and histograms of the server, printed in Prometheus' text format.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace tidemill::serving {

// By which door a request came.
enum class Door { kPredictHttp, kPredictGrpc, kV2Http, kV2Grpc };
constexpr size_t kDoors = 4;
std::string_view to_string(Door door);

// Durations in fixed buckets from 50 us to 10 s. Thread-safe without locks.
class Histogram {
 public:
  void observe(std::chrono::nanoseconds duration);
  // `labels`: "" or "a=\"b\"".
  void print(std::string& out, std::string_view name, std::string_view labels) const;

 private:
  static constexpr std::array<uint32_t, 16> kUpperMicros = {50,     100,     250,     500,     1000,   2500,
                                                            5000,   10000,   25000,   50000,   100000, 250000,
                                                            500000, 1000000, 2500000, 10000000};
  std::array<std::atomic<uint64_t>, kUpperMicros.size() + 1> buckets_{};
  std::atomic<uint64_t> sum_ns_{0};
};

// What went on since the start.
class Metrics {
 public:
  // One answered request: from its last byte read to its answer handed over. `error` is null on success.
  void answered(Door door, const Error* error, std::chrono::nanoseconds duration);

  Histogram queue;                      // from queued to taken by a worker
  Histogram inference;                  // inside ONNX Runtime
  std::atomic<uint64_t> inferences{0};  // calls of the model that succeeded
  std::atomic<int64_t> running{0};      // calls of the model now

  struct Now {
    std::string_view model, version;
    size_t queued = 0;
    bool ready = false;
  };
  std::string print(const Now& now) const;

 private:
  static constexpr size_t kCodes = 9;  // success, then each Code
  std::array<std::array<std::atomic<uint64_t>, kCodes>, kDoors> answers_{};
  std::array<Histogram, kDoors> durations_;
};

}  // namespace tidemill::serving
