#include "tracking/chunk.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <tuple>

namespace tidemill::tracking {
namespace {

constexpr unsigned char kVersion = 1;
// Two differences of 5 + 64 bits and a value of 2 + 6 + 6 + 64 bits.
constexpr size_t kMaxPointBits = 2 * (5 + 64) + 78;
constexpr uint32_t kMaxPoints = 65'535;

// Prefix, its length, and how many bits of the zigzagged difference follow.
struct Width {
  unsigned prefix, prefix_bits, bits;
};
constexpr std::array<Width, 6> kWidths = {
    {{0b0, 1, 0}, {0b10, 2, 7}, {0b110, 3, 12}, {0b1110, 4, 20}, {0b11110, 5, 32}, {0b11111, 5, 64}}};

uint64_t zigzag(uint64_t difference) {
  return (difference << 1) ^ static_cast<uint64_t>(static_cast<int64_t>(difference) >> 63);
}
uint64_t unzigzag(uint64_t coded) { return (coded >> 1) ^ (~(coded & 1) + 1); }

uint64_t value_bits(double value) {
  return std::isnan(value) ? std::bit_cast<uint64_t>(std::numeric_limits<double>::quiet_NaN())
                           : std::bit_cast<uint64_t>(value);
}

uint64_t load_big_endian(const unsigned char* bytes) {
  uint64_t word;
  std::memcpy(&word, bytes, sizeof word);
  return std::endian::native == std::endian::little ? __builtin_bswap64(word) : word;
}

void store_big_endian(unsigned char* bytes, uint64_t word) {
  if (std::endian::native == std::endian::little) word = __builtin_bswap64(word);
  std::memcpy(bytes, &word, sizeof word);
}

class BitReader {
 public:
  explicit BitReader(std::string_view bytes) : bytes_(bytes), end_(bytes.size() * 8) {}

  // Zeros beyond the end; overrun() tells.
  uint64_t take(unsigned count) {
    if (count == 0) return 0;
    if (count > 32) {
      uint64_t high = take(count - 32);
      return high << 32 | take(32);
    }
    size_t at = bit_ / 8;
    unsigned offset = bit_ % 8;
    bit_ += count;
    uint64_t word;
    if (at + 8 <= bytes_.size()) {
      word = load_big_endian(reinterpret_cast<const unsigned char*>(bytes_.data()) + at);
    } else {
      unsigned char last[8] = {};
      if (at < bytes_.size()) std::memcpy(last, bytes_.data() + at, bytes_.size() - at);
      word = load_big_endian(last);
    }
    return word << offset >> (64 - count);
  }
  uint64_t take_difference() {
    for (const Width& width : kWidths) {
      if (width.prefix_bits == 5) return unzigzag(take(take(1) ? 64 : 32));
      if (take(1) == 0) return unzigzag(take(width.bits));
    }
    return 0;
  }
  bool overrun() const { return bit_ > end_; }
  size_t position() const { return bit_; }

 private:
  std::string_view bytes_;
  size_t bit_ = 0;
  size_t end_;
};

bool take_value(BitReader& in, ChunkState& state) {
  if (in.take(1) == 0) return true;
  if (in.take(1) == 1) {
    state.leading = static_cast<unsigned>(in.take(6));
    unsigned meaningful = static_cast<unsigned>(in.take(6)) + 1;
    if (state.leading + meaningful > 64) return false;
    state.trailing = 64 - state.leading - meaningful;
  } else if (state.leading == 64) {
    return false;  // refers to a window that was never given
  }
  state.value_bits ^= in.take(64 - state.leading - state.trailing) << state.trailing;
  return true;
}

// Calls each(point) for all points; returns the state after the last one and the position of the next.
template <class Each>
Result<std::pair<ChunkState, size_t>> walk(std::string_view bytes, Each each) {
  if (bytes.size() < Chunk::kHeaderBytes) return fail(Code::kInternal, "damaged metric chunk: too short");
  if (static_cast<unsigned char>(bytes[0]) != kVersion)
    return fail(Code::kInternal, "damaged metric chunk: unknown format {}",
                static_cast<unsigned char>(bytes[0]));
  uint32_t count =
      static_cast<unsigned char>(bytes[1]) | static_cast<uint32_t>(static_cast<unsigned char>(bytes[2])) << 8;
  BitReader in(bytes.substr(Chunk::kHeaderBytes));
  ChunkState state;
  for (; state.count < count; ++state.count) {
    uint64_t timestamp_change = in.take_difference();
    uint64_t step_change = in.take_difference();
    if (state.count == 0) {
      state.timestamp = timestamp_change;
      state.step = step_change;
    } else {
      state.timestamp += state.timestamp_delta += timestamp_change;
      state.step += state.step_delta += step_change;
    }
    if (!take_value(in, state) || in.overrun())
      return fail(Code::kInternal, "damaged metric chunk: point {} of {} cannot be read", state.count + 1,
                  count);
    each(Point{static_cast<int64_t>(state.timestamp), static_cast<int64_t>(state.step),
               std::bit_cast<double>(state.value_bits)});
  }
  return std::pair(state, Chunk::kHeaderBytes * 8 + in.position());
}

double order_value(double value) { return std::isnan(value) ? 0 : value; }

}  // namespace

bool later(const Point& a, const Point& b) {
  return std::tuple(a.step, a.timestamp, order_value(a.value)) >
         std::tuple(b.step, b.timestamp, order_value(b.value));
}

bool same_point(const Point& a, const Point& b) {
  return a.timestamp == b.timestamp && a.step == b.step &&
         (a.value == b.value || (std::isnan(a.value) && std::isnan(b.value)));
}

Chunk::Chunk() { data_[0] = kVersion; }

Result<Chunk> Chunk::load(std::string_view bytes) {
  if (bytes.size() > kMaxBytes) return fail(Code::kInternal, "damaged metric chunk: {} bytes", bytes.size());
  auto [state, bit] = TRY(walk(bytes, [](const Point&) {}));
  Chunk chunk;
  std::memcpy(chunk.data_.data(), bytes.data(), (bit + 7) / 8);
  if (bit % 8 != 0)
    chunk.data_[bit / 8] &= static_cast<unsigned char>(0xFF00u >> bit % 8);  // put() needs zeros
  chunk.bit_ = bit;
  chunk.state_ = state;
  return chunk;
}

bool Chunk::append(const Point& point) {
  if (bit_ + kMaxPointBits > kMaxBytes * 8 || state_.count == kMaxPoints) return false;
  auto timestamp = static_cast<uint64_t>(point.timestamp);
  auto step = static_cast<uint64_t>(point.step);
  if (state_.count == 0) {
    put_difference(timestamp);
    put_difference(step);
  } else {
    uint64_t timestamp_delta = timestamp - state_.timestamp;
    uint64_t step_delta = step - state_.step;
    put_difference(timestamp_delta - state_.timestamp_delta);
    put_difference(step_delta - state_.step_delta);
    state_.timestamp_delta = timestamp_delta;
    state_.step_delta = step_delta;
  }
  state_.timestamp = timestamp;
  state_.step = step;
  put_value(value_bits(point.value));
  ++state_.count;
  data_[1] = static_cast<unsigned char>(state_.count & 0xFF);
  data_[2] = static_cast<unsigned char>(state_.count >> 8);
  return true;
}

std::string_view Chunk::bytes() const {
  return {reinterpret_cast<const char*>(data_.data()), (bit_ + 7) / 8};
}

void Chunk::put(uint64_t bits, unsigned count) {
  if (count > 32) {
    put(bits >> 32, count - 32);
    put(bits & 0xFFFF'FFFF, 32);
    return;
  }
  unsigned char* at = data_.data() + bit_ / 8;
  store_big_endian(at, load_big_endian(at) | bits << (64 - bit_ % 8 - count));
  bit_ += count;
}

void Chunk::put_difference(uint64_t difference) {
  uint64_t coded = zigzag(difference);
  for (const Width& width : kWidths) {
    if (width.bits < 64 && coded >> width.bits != 0) continue;
    put(width.prefix, width.prefix_bits);
    if (width.bits > 0) put(coded, width.bits);
    return;
  }
}

void Chunk::put_value(uint64_t bits) {
  uint64_t changed = bits ^ state_.value_bits;
  state_.value_bits = bits;
  if (changed == 0) {
    put(0, 1);
    return;
  }
  auto leading = static_cast<unsigned>(std::countl_zero(changed));
  auto trailing = static_cast<unsigned>(std::countr_zero(changed));
  bool fits = state_.leading != 64 && leading >= state_.leading && trailing >= state_.trailing;
  // A new window costs 12 bits more; worth it when it is that much narrower.
  if (!fits || leading + trailing > state_.leading + state_.trailing + 12) {
    put(0b11, 2);
    put(leading, 6);
    put(63 - leading - trailing, 6);
    state_.leading = leading;
    state_.trailing = trailing;
  } else {
    put(0b10, 2);
  }
  put(changed >> state_.trailing, 64 - state_.leading - state_.trailing);
}

Result<> decode_chunk(std::string_view bytes, std::vector<Point>& out) {
  TRY(walk(bytes, [&](const Point& point) { out.push_back(point); }));
  return {};
}

}  // namespace tidemill::tracking
