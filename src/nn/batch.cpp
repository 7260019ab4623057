#include "nn/batch.h"

#include <algorithm>
#include <array>

#include "nn/random.h"

namespace tidemill::nn {
namespace {

constexpr int kSize = NetSpec::kImageSize;
constexpr int kMaxShift = 4;
static_assert(kSize % 16 == 0);

struct Move {
  bool flip = false;
  int dx = 0, dy = 0;
};

Move draw_move(Augment augment, const Stream& draws, int image) {
  Move move;
  if (augment == Augment::kNone) return move;
  const uint64_t bits = draws.bits(image);
  move.flip = bits & 1;
  if (augment == Augment::kFlipShift) {
    move.dx = static_cast<int>((bits >> 8 & 0xFFFF) % (2 * kMaxShift + 1)) - kMaxShift;
    move.dy = static_cast<int>((bits >> 32 & 0xFFFF) % (2 * kMaxShift + 1)) - kMaxShift;
  }
  return move;
}

// Normalised value of each byte, by channel.
const std::array<std::array<float, 256>, 3>& values() {
  static const auto table = [] {
    std::array<std::array<float, 256>, 3> t;
    for (int c = 0; c < 3; ++c)
      for (int i = 0; i < 256; ++i) t[c][i] = (static_cast<float>(i) / 255.0F - kMean[c]) / kStd[c];
    return t;
  }();
  return table;
}

// What a shift brings in from outside is the channel's mean: zero.
void fill_row(const uint8_t* channel, int y, const Move& move, const std::array<float, 256>& value,
              float* row) {
  const int from_y = y + move.dy;
  for (int x = 0; x < kSize; ++x) {
    const int from_x = (move.flip ? kSize - 1 - x : x) + move.dx;
    const bool inside = from_x >= 0 && from_x < kSize && from_y >= 0 && from_y < kSize;
    row[x] = inside ? value[channel[from_y * kSize + from_x]] : 0;
  }
}

}  // namespace

template <class T>
void fill_batch(const Dataset& data, std::span<const uint32_t> indices, int batch, Augment augment,
                uint64_t seed, uint64_t step, const Kernels<T>& kernels, T* out) {
  const Stream draws(seed, Purpose::kAugment, step);
  const int count = static_cast<int>(indices.size());
#pragma omp parallel for schedule(static)
  for (int n = 0; n < batch; ++n) {
    const uint8_t* image = data.images.data() + size_t{indices[std::min(n, count - 1)]} * 3 * kSize * kSize;
    const Move move = draw_move(augment, draws, n);
    for (int c = 0; c < 3; ++c)
      for (int y = 0; y < kSize; ++y) {
        float row[kSize];
        fill_row(image + c * kSize * kSize, y, move, values()[c], row);
        kernels.from_f32(row, out + (static_cast<size_t>(n * 3 + c) * kSize + y) * kSize, kSize);
      }
  }
}

template void fill_batch(const Dataset&, std::span<const uint32_t>, int, Augment, uint64_t, uint64_t,
                         const Kernels<float>&, float*);
template void fill_batch(const Dataset&, std::span<const uint32_t>, int, Augment, uint64_t, uint64_t,
                         const Kernels<Bf16>&, Bf16*);

}  // namespace tidemill::nn
