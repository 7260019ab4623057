#include "common/png.h"

#include <libdeflate.h>

#include <cstdlib>
#include <cstring>
#include <string_view>

#include "common/residual_code.h"

namespace tidemill::cifar10 {
namespace {

constexpr uint8_t kSignature[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
constexpr size_t kPixel = 3;  // bytes

enum Filter : uint8_t { kNone, kSub, kUp, kAverage, kPaeth };

uint32_t big_endian(const uint8_t* at) {
  return uint32_t{at[0]} << 24 | uint32_t{at[1]} << 16 | uint32_t{at[2]} << 8 | at[3];
}

void put_big_endian(uint8_t* at, uint32_t value) {
  for (int i = 0; i < 4; ++i) at[i] = static_cast<uint8_t>(value >> (24 - 8 * i));
}

inline uint8_t paeth(int left, int up, int up_left) {
  int to_left = std::abs(up - up_left), to_up = std::abs(left - up_left),
      to_both = std::abs(left + up - 2 * up_left);
  if (to_left <= to_up && to_left <= to_both) return static_cast<uint8_t>(left);
  return static_cast<uint8_t>(to_up <= to_both ? up : up_left);
}

// Undoes the filter of one row in place; above is the finished row before it (zeros for the first).
bool unfilter(uint8_t filter, uint8_t* row, const uint8_t* above, size_t bytes) {
  switch (filter) {
    case kNone:
      return true;
    case kSub:
      for (size_t i = kPixel; i < bytes; ++i) row[i] = static_cast<uint8_t>(row[i] + row[i - kPixel]);
      return true;
    case kUp:
      for (size_t i = 0; i < bytes; ++i) row[i] = static_cast<uint8_t>(row[i] + above[i]);
      return true;
    case kAverage:
      for (size_t i = 0; i < bytes; ++i) {
        int left = i < kPixel ? 0 : row[i - kPixel];
        row[i] = static_cast<uint8_t>(row[i] + (left + above[i]) / 2);
      }
      return true;
    case kPaeth:
      for (size_t i = 0; i < kPixel; ++i) row[i] = static_cast<uint8_t>(row[i] + above[i]);
      for (size_t i = kPixel; i < bytes; ++i)
        row[i] = static_cast<uint8_t>(row[i] + paeth(row[i - kPixel], above[i], above[i - kPixel]));
      return true;
    default:
      return false;
  }
}

}  // namespace

// ---- Reading ----

struct PngDecoder::State {
  uint64_t max_pixels;
  std::unique_ptr<libdeflate_decompressor, decltype(&libdeflate_free_decompressor)> inflater{
      libdeflate_alloc_decompressor(), &libdeflate_free_decompressor};
  std::vector<uint8_t> compressed, filtered, pixels;
  uint32_t width = 0, height = 0;

  Result<> read_header(std::span<const uint8_t> data, size_t at) {
    if (data.size() != 13)
      return fail(Code::kInvalid, "byte {}: the PNG header chunk has {} bytes, not 13", at, data.size());
    width = big_endian(&data[0]);
    height = big_endian(&data[4]);
    if (width == 0 || height == 0 || uint64_t{width} * height > max_pixels)
      return fail(Code::kInvalid, "byte {}: an image of {} x {} pixels is refused (limit {} pixels)", at,
                  width, height, max_pixels);
    if (data[8] != 8 || data[9] != 2 || data[10] != 0 || data[11] != 0 || data[12] != 0)
      return fail(
          Code::kInvalid,
          "byte {}: only 8-bit RGB PNG without interlace is read (this one has depth {}, colour type {}, "
          "interlace {})",
          at, data[8], data[9], data[12]);
    return {};
  }

  // Walks the chunks, fills width, height and the joined IDAT data; returns the offset of the first IDAT.
  Result<size_t> read_chunks(std::span<const uint8_t> png) {
    if (png.size() < sizeof kSignature || memcmp(png.data(), kSignature, sizeof kSignature) != 0)
      return fail(Code::kInvalid, "byte 0: not a PNG file");
    compressed.clear();
    width = height = 0;
    size_t first_data = 0;
    for (size_t at = sizeof kSignature;;) {
      if (png.size() - at < 12) return fail(Code::kInvalid, "byte {}: the PNG file is truncated", png.size());
      size_t length = big_endian(&png[at]);
      if (length > png.size() - at - 12)
        return fail(Code::kInvalid,
                    "byte {}: the PNG file is truncated: a chunk of {} bytes starts at byte {}", png.size(),
                    length, at);
      std::string_view type(reinterpret_cast<const char*>(&png[at + 4]), 4);
      auto data = png.subspan(at + 8, length);
      if (libdeflate_crc32(0, &png[at + 4], length + 4) != big_endian(&png[at + 8 + length]))
        return fail(Code::kInvalid, "byte {}: the checksum of a PNG chunk is wrong", at);
      if (type == "IHDR")
        TRY(read_header(data, at));
      else if (width == 0)
        return fail(Code::kInvalid, "byte {}: the PNG file does not begin with its header", at);
      if (type == "IDAT") {
        if (first_data == 0) first_data = at;
        compressed.insert(compressed.end(), data.begin(), data.end());
      }
      if (type == "IEND") return first_data;
      at += 12 + length;
    }
  }
};

PngDecoder::PngDecoder(uint64_t max_pixels) : state_(std::make_unique<State>()) {
  state_->max_pixels = max_pixels;
}
PngDecoder::~PngDecoder() = default;
PngDecoder::PngDecoder(PngDecoder&&) noexcept = default;

Result<PngView> PngDecoder::decode(std::span<const uint8_t> png) {
  State& s = *state_;
  size_t first_data = TRY(s.read_chunks(png));
  const size_t row_bytes = s.width * kPixel;
  s.filtered.resize((row_bytes + 1) * s.height);
  size_t got = 0;
  libdeflate_result inflated = libdeflate_zlib_decompress(
      s.inflater.get(), s.compressed.data(), s.compressed.size(), s.filtered.data(), s.filtered.size(), &got);
  if (inflated != LIBDEFLATE_SUCCESS || got != s.filtered.size())
    return fail(Code::kInvalid, "byte {}: the PNG's pixel data is damaged or incomplete", first_data);
  s.pixels.resize(row_bytes * s.height);
  const std::vector<uint8_t> zeros(row_bytes);
  const uint8_t* above = zeros.data();
  for (size_t y = 0; y < s.height; ++y) {
    const uint8_t* source = &s.filtered[y * (row_bytes + 1)];
    uint8_t* row = &s.pixels[y * row_bytes];
    memcpy(row, source + 1, row_bytes);
    if (!unfilter(source[0], row, above, row_bytes))
      return fail(Code::kInvalid, "byte {}: row {} has the unknown filter {}", first_data, y, source[0]);
    above = row;
  }
  return PngView{s.width, s.height, s.pixels};
}

// ---- Writing ----

struct PngEncoder::State {
  uint32_t width, height;
  ResidualCode code;
  std::vector<uint8_t> filtered, png;
  std::vector<uint8_t> candidates[5];
};

PngEncoder::PngEncoder(uint32_t width, uint32_t height) : state_(std::make_unique<State>()) {
  State& s = *state_;
  s.width = width;
  s.height = height;
  size_t row_bytes = width * kPixel;
  s.filtered.resize((row_bytes + 1) * height);
  for (auto& candidate : s.candidates) candidate.resize(row_bytes);
  s.png.resize(8 + 25 + 12 + ResidualCode::bound(s.filtered.size()) + 12);
}
PngEncoder::~PngEncoder() = default;
PngEncoder::PngEncoder(PngEncoder&&) noexcept = default;

namespace {

// Sum of the bytes read as signed: the usual guess of how well a filtered row compresses.
uint32_t cost(const uint8_t* row, size_t bytes) {
  uint32_t sum = 0;
  for (size_t i = 0; i < bytes; ++i) sum += row[i] < 128 ? row[i] : 256U - row[i];
  return sum;
}

// Each candidate filter of a row, without branches, so that the compiler vectorises the loops.
void filter_sub(const uint8_t* row, uint8_t* out, size_t bytes) {
  memcpy(out, row, kPixel);
  for (size_t i = kPixel; i < bytes; ++i) out[i] = static_cast<uint8_t>(row[i] - row[i - kPixel]);
}
void filter_up(const uint8_t* row, const uint8_t* above, uint8_t* out, size_t bytes) {
  for (size_t i = 0; i < bytes; ++i) out[i] = static_cast<uint8_t>(row[i] - above[i]);
}
void filter_paeth(const uint8_t* row, const uint8_t* above, uint8_t* out, size_t bytes) {
  for (size_t i = 0; i < kPixel; ++i) out[i] = static_cast<uint8_t>(row[i] - above[i]);
  for (size_t i = kPixel; i < bytes; ++i) {
    auto left = static_cast<int16_t>(row[i - kPixel]), up = static_cast<int16_t>(above[i]);
    auto up_left = static_cast<int16_t>(above[i - kPixel]);
    auto to_left = static_cast<int16_t>(up - up_left), to_up = static_cast<int16_t>(left - up_left);
    auto to_both = static_cast<int16_t>(to_left + to_up);
    to_left = static_cast<int16_t>(to_left < 0 ? -to_left : to_left);
    to_up = static_cast<int16_t>(to_up < 0 ? -to_up : to_up);
    to_both = static_cast<int16_t>(to_both < 0 ? -to_both : to_both);
    int16_t vertical = to_up <= to_both ? up : up_left;
    bool use_left = (to_left <= to_up) & (to_left <= to_both);
    out[i] = static_cast<uint8_t>(row[i] - (use_left ? left : vertical));
  }
}

uint8_t* put_chunk_head(uint8_t* at, const char (&type)[5], size_t length) {
  put_big_endian(at, static_cast<uint32_t>(length));
  memcpy(at + 4, type, 4);
  return at + 8;
}

// data: the chunk's data, which lies behind its head already.
uint8_t* end_chunk(uint8_t* data, size_t length) {
  put_big_endian(data + length, libdeflate_crc32(0, data - 4, length + 4));
  return data + length + 4;
}

}  // namespace

std::span<const uint8_t> PngEncoder::encode(std::span<const uint8_t> rgb) {
  State& s = *state_;
  const size_t row_bytes = s.width * kPixel;
  uint64_t total_cost = 0;
  for (size_t y = 0; y < s.height; ++y) {
    const uint8_t* row = &rgb[y * row_bytes];
    uint8_t best = kSub;
    filter_sub(row, s.candidates[kSub].data(), row_bytes);
    uint32_t best_cost = cost(s.candidates[kSub].data(), row_bytes);
    if (y > 0) {
      filter_up(row, row - row_bytes, s.candidates[kUp].data(), row_bytes);
      filter_paeth(row, row - row_bytes, s.candidates[kPaeth].data(), row_bytes);
      for (uint8_t filter : {kUp, kPaeth}) {
        uint32_t filter_cost = cost(s.candidates[filter].data(), row_bytes);
        if (filter_cost < best_cost) best = filter, best_cost = filter_cost;
      }
    }
    total_cost += best_cost;
    uint8_t* out = &s.filtered[y * (row_bytes + 1)];
    out[0] = best;
    memcpy(out + 1, s.candidates[best].data(), row_bytes);
  }

  uint8_t* at = s.png.data();
  memcpy(at, kSignature, sizeof kSignature);
  uint8_t* header = put_chunk_head(at + sizeof kSignature, "IHDR", 13);
  put_big_endian(header, s.width);
  put_big_endian(header + 4, s.height);
  constexpr uint8_t kFormat[5] = {8, 2, 0, 0, 0};  // depth, RGB, deflate, adaptive filters, no interlace
  memcpy(header + 8, kFormat, sizeof kFormat);
  at = end_chunk(header, 13);

  uint8_t* data = at + 8;
  const size_t length = s.code.compress(s.filtered, total_cost, data);
  put_chunk_head(at, "IDAT", length);
  at = end_chunk(data, length);
  at = end_chunk(put_chunk_head(at, "IEND", 0), 0);
  return {s.png.data(), static_cast<size_t>(at - s.png.data())};
}

}  // namespace tidemill::cifar10
