// The linear layers behind the convolutions, in f32: forward, cross-entropy, backward.
#pragma once

#include <span>
#include <vector>

#include "nn/buffer.h"
#include "nn/kernels.h"
#include "nn/plan.h"

namespace tidemill::nn {

struct LossResult {
  double loss = 0;  // sum over the images, label smoothing left out
  int correct = 0;
};

class Head {
 public:
  struct Linear {
    LinearPlan plan;
    Param weights, bias;
    Buffer<float> out, dout;  // [batch][out]
    Buffer<uint8_t> open;     // ReLU open and kept by dropout
  };

  Head(const std::vector<LinearPlan>& plan, int batch, float dropout, float smoothing);

  float* features() { return features_.data(); }    // [batch][in of the first layer]
  float* dfeatures() { return dfeatures_.data(); }  // written by backward
  const float* logits() const { return linears_.back().out.data(); }

  // seed and step choose dropout's draws in training.
  void forward(Mode mode, uint64_t seed, uint64_t step);
  // Of the first `count` images; in training the gradient of the logits is left for backward.
  LossResult loss(std::span<const uint8_t> labels, int count);
  void backward();
  void update(const Kernels<float>& kernels, const AdamStep& step);

  // Open units of the last hidden layer in the latest forward pass, 0..1.
  double active_fraction() const;
  std::vector<Linear>& linears() { return linears_; }
  const std::vector<Linear>& linears() const { return linears_; }

 private:
  void activate(Linear& linear, Mode mode, uint64_t seed, uint64_t step, size_t number);

  int batch_;
  float dropout_, smoothing_;
  Buffer<float> features_, dfeatures_;
  std::vector<Linear> linears_;
};

}  // namespace tidemill::nn
