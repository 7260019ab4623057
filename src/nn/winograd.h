// A 3x3 convolution by Winograd's F(4x4, 3x3) (see kernels.h): a quarter of the direct one's
// multiplications, at the price of one more rounding of both operands to the element type.
#pragma once

#include "nn/buffer.h"
#include "nn/kernels.h"
#include "nn/plan.h"

namespace tidemill::nn {

// Packed operands; one pair serves all layers.
struct PackSpace {
  Buffer<uint32_t> x, dy;
};

template <class T>
class Winograd {
 public:
  Winograd(const BlockPlan& plan, int batch, const Kernels<T>& kernels, PackSpace& space);

  void forward(const T* x, T* y);
  void backward_data(const T* dy, T* dx);
  void backward_weights(const T* x, const T* dy, float* dw);
  // Adam (step null: none) and the transformed copies that forward and backward_data read.
  void update(Param& weights, const AdamStep* step);

  // Words that PackSpace must hold.
  struct Space {
    size_t x = 0, dy = 0;
  };
  static Space space_for(const BlockPlan& plan, int batch);

 private:
  void product(const T* from, T* to, int from_channels, int to_channels, const Buffer<uint32_t>& weights);
  int images_at_a_time() const;

  const BlockPlan& plan_;
  int batch_;
  const Kernels<T>& kernels_;
  PackSpace& space_;
  Buffer<uint32_t> forward_weights_, backward_weights_;
};

extern template class Winograd<float>;
extern template class Winograd<Bf16>;

}  // namespace tidemill::nn
