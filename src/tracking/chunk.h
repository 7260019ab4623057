// Points of one metric as a compressed block of at most about a kilobyte, four to a database page. Timestamps
// and steps are stored as differences of differences, values as the exclusive or with the value before, after
// Pelkonen et al., "Gorilla: A fast, scalable, in-memory time series database", VLDB 2015.
//
// Format: one byte version (1), two bytes number of points (little-endian), then a bit stream, high bit
// first.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace tidemill::tracking {

struct Point {
  int64_t timestamp = 0;
  int64_t step = 0;
  double value = 0;
};

// The order in which MLflow decides which point is the latest: step, timestamp, value; NaN counts as zero
// there.
bool later(const Point& a, const Point& b);
// Same timestamp, step and value; NaN equals NaN.
bool same_point(const Point& a, const Point& b);

// What coding the next point depends on.
struct ChunkState {
  uint64_t timestamp = 0, timestamp_delta = 0;
  uint64_t step = 0, step_delta = 0;
  uint64_t value_bits = 0;
  unsigned leading = 64, trailing = 64;  // the window of the last written bits; 64: none yet
  uint32_t count = 0;
};

class Chunk {
 public:
  static constexpr size_t kMaxBytes = 1000;
  static constexpr size_t kHeaderBytes = 3;

  Chunk();
  // Continues a stored chunk. kInternal when it is damaged.
  static Result<Chunk> load(std::string_view bytes);

  uint32_t count() const { return state_.count; }
  bool empty() const { return state_.count == 0; }
  // False when the chunk is full: start another one.
  bool append(const Point& point);
  std::string_view bytes() const;

 private:
  void put(uint64_t bits, unsigned count);
  void put_difference(uint64_t difference);
  void put_value(uint64_t bits);

  // Room for a point that begins just below the limit, and for the eight-byte stores of put().
  std::array<unsigned char, kMaxBytes + 16> data_{};
  size_t bit_ = kHeaderBytes * 8;
  ChunkState state_;
};

// Appends the chunk's points. kInternal when the bytes are not a whole, well-formed chunk; never reads beyond
// them.
Result<> decode_chunk(std::string_view bytes, std::vector<Point>& out);

}  // namespace tidemill::tracking
