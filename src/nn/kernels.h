// What a step does between convolutions, and the own backward-weights product: plain functions on pointers,
// one table for each element type and instruction set. Nothing here starts threads: a call does one block of
// work.
//
// Activations are [image][channel / 16][position][16] ("blocked"), channels padded to 16 with zeros.
// Weights are [out / 16][in / 16][kh][kw][in % 16][out % 16], blocks of 256.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tidemill::nn {

struct Bf16 {
  uint16_t bits = 0;
};

// The products take their operands in 32-bit words: one f32, or two bf16 that are multiplied and added
// together.
template <class T>
inline constexpr int kValuesPerWord = sizeof(T) == 2 ? 2 : 1;

// Batch normalisation, ReLU and 2x2 max-pool of one layer. Where normalise is false only a bias (beta) is
// added and mean and istd must hold 0 and 1.
template <class T>
struct NormPool {
  T* y = nullptr;  // convolution output; backward writes its gradient over it
  int batch = 0, channels = 0, size = 0;
  bool normalise = true, pool = false;
  T* out = nullptr;
  const T* dout = nullptr;
  uint8_t* index = nullptr;  // pooled: which of the four, 4: none (ReLU closed)
  const float *gamma = nullptr, *beta = nullptr;
  float *dgamma = nullptr, *dbeta = nullptr;
  float *mean = nullptr, *istd = nullptr, *running_mean = nullptr, *running_var = nullptr;
};

enum class Mode { kTraining, kEvaluation };

// One Adam update as PyTorch defines it: rate = lr / (1 - beta1^t), root = 1 / sqrt(1 - beta2^t).
struct AdamStep {
  float rate = 0, root = 1;
  static constexpr float kBeta1 = 0.9F, kBeta2 = 0.999F, kEpsilon = 1e-8F;
};

// The products take panels: a left operand's group of 16 rows as [depth / 16][16 rows][16 words], a right
// one's group of 32 columns as [depth][32 words], the depth filled up with words of zero to a multiple of 16.
// (A step of 16 words is what a matrix unit's tiles hold.)
inline constexpr int kPanelRows = 16, kPanelColumns = 32, kPanelStep = 16;
// Static, as all that kernels call: the linker must not choose a copy compiled for another processor.
static constexpr int panel_steps(int words) { return (words + kPanelStep - 1) / kPanelStep; }

// Operands of the backward-weights product of a 3x3 convolution with padding 1: images paired (bf16) or
// single (f32) are the depth of panels [in / 16][position] of x and [out / 32][position] of dy.
struct WeightGrad {
  uint32_t *x = nullptr, *dy = nullptr;
  float* dw = nullptr;
  int in = 0, out = 0, size = 0;
  int pairs = 0;     // of the images packed now
  bool add = false;  // to what dw holds
};

enum class Operand { kX, kDy };

// A 3x3 convolution with padding 1 on 2x2 pictures, where four of nine taps fall inside: forward (from x,
// with the forward copy of the weights) or the gradient with respect to x (from dy, with the backward copy).
template <class T>
struct TinyConv {
  // [image / 8][position][channel / 16][image % 8][channel % 16]: rows of neighbouring images would otherwise
  // lie whole pages apart and share the sets of the cache.
  const T* from = nullptr;
  T* to = nullptr;
  const T* weights = nullptr;
  int batch = 0;
  int from_channels = 0, to_channels = 0;
  // Between weight blocks of neighbouring groups of 16 channels, in blocks of 256.
  size_t from_stride = 0, to_stride = 0;
  bool backward = false;
};
inline constexpr int kTinyConvImages = 8;

// Winograd's F(4x4, 3x3) for 3x3 convolutions with padding 1 (Lavin & Gray 2016, arXiv 1509.09308; the points
// of interpolation after Barabasz et al. 2020, arXiv 1803.10986): pictures, of a size that is a multiple of
// 4, are cut into tiles of 6x6 that overlap by two and give 4x4 outputs each. In the transformed domain a
// convolution is 36 products of matrices, one for each element of the tile: 36 multiplications for an output
// tile instead of 144.
//
// Their operands lie in panels [group][element], elements winograd_part() words apart.
inline constexpr int kWinogradElements = 36;
// lanes: kPanelRows or kPanelColumns.
static constexpr size_t winograd_part(int words, int lanes) {
  // 16 more: parts a multiple of 4 KiB apart would share the sets of the cache.
  return static_cast<size_t>(panel_steps(words)) * kPanelStep * lanes + 16;
}

// Words that hold one value of each tile.
template <class T>
static constexpr int winograd_words(int tiles) {
  return (tiles + kValuesPerWord<T> - 1) / kValuesPerWord<T>;
}

// Tiles of images [first, first + images), row by row, into panels.
template <class T>
struct WinogradTiles {
  const T* from = nullptr;
  int channels = 0, size = 0;  // size: a multiple of 4
  int first = 0, images = 0;
  uint32_t* to = nullptr;
};

// Forward: x, y and the forward weights; gradient with respect to x: dy, dx and the backward weights.
template <class T>
struct WinogradProduct {
  const uint32_t *tiles = nullptr, *weights = nullptr;
  T* to = nullptr;
  int from_channels = 0, to_channels = 0, size = 0;
  int first = 0, images = 0;
};

struct WinogradGrad {
  const uint32_t *x = nullptr, *dy = nullptr;
  float* dw = nullptr;
  int in = 0, tiles = 0;
  bool add = false;  // to what dw holds
};

// Master, moments and gradient, and the transformed copies: forward [out / 32][element][in][32 out], backward
// [in / 32][element][out][32 in], of the weights turned by 180 degrees.
struct WinogradWeights {
  float *p = nullptr, *m = nullptr, *v = nullptr;
  const float* g = nullptr;
  uint32_t *forward = nullptr, *backward = nullptr;
  int in = 0, out = 0;
};

template <class T>
struct Kernels {
  void (*norm_forward)(const NormPool<T>&, int block, Mode mode) = nullptr;
  void (*norm_backward)(const NormPool<T>&, int block) = nullptr;
  // count is a multiple of 16.
  void (*adam)(float* p, float* m, float* v, const float* g, size_t count, const AdamStep&) = nullptr;
  // Blocks [begin, end) of 256 weights: updates the master (step may be null: none) and writes the copies for
  // forward (bf16: pairs of input channels interleaved; f32: fwd is null, the master serves) and for
  // backward-data (transposed).
  void (*adam_publish)(float* p, float* m, float* v, const float* g, T* fwd, T* bwd, size_t begin, size_t end,
                       const AdamStep* step) = nullptr;
  // Packs one block of 16 channels of images [first, first + count).
  void (*pack)(const WeightGrad&, const T* source, Operand operand, int block, int first,
               int count) = nullptr;
  // All taps of 32 output channels (index out_block) and of all input channels.
  void (*weight_grad)(const WeightGrad&, int out_block) = nullptr;
  // count is a multiple of 16.
  void (*to_f32)(const T* from, float* to, size_t count) = nullptr;
  void (*from_f32)(const float* from, T* to, size_t count) = nullptr;
  // 32 output channels (index pair) of one of the four output positions, all images.
  void (*tiny_conv)(const TinyConv<T>&, int pair, int position) = nullptr;

  // 16 channels (index block) as left operand of a product: rows are tiles, depth is channels.
  void (*winograd_tiles)(const WinogradTiles<T>&, int block) = nullptr;
  // 16 channels as left operand of the gradient: rows are channels, depth is tiles.
  void (*winograd_grad_x)(const WinogradTiles<T>&, int block) = nullptr;
  // 16 channels of dy as right operand of the gradient: columns are channels, depth is tiles.
  void (*winograd_grad_dy)(const WinogradTiles<T>&, int block) = nullptr;
  // 32 output channels (index pair) of all tiles.
  void (*winograd_product)(const WinogradProduct<T>&, int pair) = nullptr;
  // All taps of 32 output channels (index pair) and of all input channels.
  void (*winograd_weight_grad)(const WinogradGrad&, int pair) = nullptr;
  // Adam (step may be null: none) and both copies of 16 x 16 channels.
  void (*winograd_publish)(const WinogradWeights&, int out_block, int in_block,
                           const AdamStep* step) = nullptr;
};

enum class Isa { kPortable, kAvx512, kAvx512Bf16, kAmx };
Isa best_isa();  // of this processor

// The best table at or below isa.
const Kernels<float>& f32_kernels(Isa isa);
const Kernels<Bf16>& bf16_kernels(Isa isa);

}  // namespace tidemill::nn
