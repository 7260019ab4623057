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

// Operands of the backward-weights product of a 3x3 convolution with padding 1: images paired (bf16) or
// single (f32) in 32-bit elements. x: [in / 8][position][pair][8]; dy: [out / 32][position][pair][32].
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
  const T* from = nullptr;
  T* to = nullptr;
  const T* weights = nullptr;
  int batch = 0;  // at least kTinyConvImages
  int from_channels = 0, to_channels = 0;
  // Between weight blocks of neighbouring groups of 16 channels, in blocks of 256.
  size_t from_stride = 0, to_stride = 0;
  bool backward = false;
};
inline constexpr int kTinyConvImages = 8;

template <class T>
struct Kernels {
  // Images that share one 32-bit element.
  int images_per_element = 1;
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
};

enum class Isa { kPortable, kAvx512, kAvx512Bf16 };
Isa best_isa();  // of this processor

// The best table at or below isa.
const Kernels<float>& f32_kernels(Isa isa);
const Kernels<Bf16>& bf16_kernels(Isa isa);

}  // namespace tidemill::nn
