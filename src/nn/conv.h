// One convolution of the plan: forward, both gradients, and its weights in the layouts each of them wants.
#pragma once

#include <memory>

#include "nn/buffer.h"
#include "nn/kernels.h"
#include "nn/plan.h"
#include "nn/winograd.h"

namespace tidemill::nn {

template <class T>
class Conv {
 public:
  // x and y are the activations it reads and writes; dx may be null in the first block. All outlive it.
  // Throws dnnl::error where the processor has no such convolution.
  Conv(const BlockPlan& plan, int batch, const Kernels<T>& kernels, PackSpace& space, T* x, T* y, T* dx);
  ~Conv();
  Conv(Conv&&) noexcept;

  // Evaluation takes the direct convolution everywhere: it rounds least, and logits are what an export is
  // checked by.
  void forward(Mode mode);
  // dy lies in y.
  void backward_data();
  void backward_weights();  // into weights().g
  // Adam (step null: none) and the copies that forward and backward_data read.
  void update(const AdamStep* step);

  Param& weights();
  const BlockPlan& plan() const;

  // Words that PackSpace must hold.
  static typename Winograd<T>::Space space_for(const BlockPlan& plan, int batch);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

extern template class Conv<float>;
extern template class Conv<Bf16>;

}  // namespace tidemill::nn
