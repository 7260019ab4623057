// The planned net with all its memory: walks the step.
#pragma once

#include <span>
#include <vector>

#include "nn/conv.h"
#include "nn/head.h"
#include "nn/trainer.h"

namespace tidemill::nn {

struct NetworkOptions {
  int batch = 32;
  float dropout = 0, smoothing = 0;
  uint64_t seed = 1;
  Isa isa = Isa::kPortable;
};

// One tensor of the state_dict and where it lies. Frozen tensors (param and buffer null) are zero or the step
// count.
struct Slot {
  std::string name;
  std::vector<int64_t> shape;
  Param* param = nullptr;           // trained
  float* buffer = nullptr;          // running statistics, not trained
  const BlockPlan* conv = nullptr;  // blocked layout
  enum class Frozen { kNo, kZeroBias, kStepCount } frozen = Frozen::kNo;

  size_t count() const;
  std::vector<float> gather(const float* stored) const;
  void scatter(std::span<const float> values, float* stored) const;
};

template <class T>
class Network {
 public:
  Network(const NetPlan& plan, const NetworkOptions& options);

  void initialise(Init init);
  T* images() { return images_.data(); }  // [batch][3][32][32]
  Head& head() { return head_; }
  const Head& head() const { return head_; }

  void forward(Mode mode, uint64_t step);
  // Gradients and one Adam update (the step_number-th, from 1); the loss must have been taken.
  void backward(float learning_rate, uint64_t step_number);
  void publish();  // after weights were changed from outside

  std::vector<Slot>& slots() { return slots_; }
  const std::vector<Slot>& slots() const { return slots_; }
  const std::vector<PieceTime>& piece_times() const { return times_; }
  void clear_times() { times_.clear(); }

 private:
  struct Block {
    Block(const BlockPlan& plan, int batch, const Kernels<T>& kernels, PackSpace& space, T* x, T* y, T* dx)
        : conv(plan, batch, kernels, space, x, y, dx) {}
    Conv<T> conv;
    Param gamma, beta;
    Buffer<float> mean, istd, running_mean, running_var;
    Buffer<uint8_t> index;
    NormPool<T> norm;
  };

  void allocate(const NetPlan& plan);
  void add_block(const BlockPlan& plan, size_t number, T* x);
  void make_slots();
  void add_head_slots();
  template <class F>
  void timed(const char* name, F work);
  template <class F>
  void over_channels(const Block& block, F work);
  void gather_features();
  void scatter_features();
  void update_block(Block& block, const AdamStep& adam);

  NetworkOptions options_;
  const Kernels<T>& kernels_;
  const Kernels<float>& head_kernels_;
  Head head_;
  PackSpace space_;
  Buffer<T> images_, dx_[2], dfeatures_;
  std::vector<Buffer<T>> outputs_, convolved_;
  std::vector<Block> blocks_;
  std::vector<Slot> slots_;
  Mode mode_ = Mode::kTraining;  // of the latest forward pass; training alone is timed
  std::vector<PieceTime> times_;
};

extern template class Network<float>;
extern template class Network<Bf16>;

}  // namespace tidemill::nn
