#include "nn/head.h"

#include <algorithm>
#include <cmath>

#include <dnnl.h>

#include "nn/random.h"

namespace tidemill::nn {

Head::Head(const std::vector<LinearPlan>& plan, int batch, float dropout, float smoothing)
    : batch_(batch),
      dropout_(dropout),
      smoothing_(smoothing),
      features_(static_cast<size_t>(batch) * plan.front().in),
      dfeatures_(features_.size()) {
  for (const LinearPlan& p : plan) {
    const size_t outputs = static_cast<size_t>(batch) * p.out;
    linears_.push_back({p, Param(static_cast<size_t>(p.in) * p.out), Param(p.out), Buffer<float>(outputs),
                        Buffer<float>(outputs), Buffer<uint8_t>(outputs)});
  }
}

void Head::forward(Mode mode, uint64_t seed, uint64_t step) {
  const float* x = features_.data();
  for (size_t i = 0; i < linears_.size(); ++i) {
    Linear& l = linears_[i];
    const int in = l.plan.in, out = l.plan.out;
    for (int n = 0; n < batch_; ++n)
      std::copy_n(l.bias.p.data(), out, l.out.data() + static_cast<size_t>(n) * out);
    dnnl_sgemm('N', 'T', batch_, out, in, 1, x, in, l.weights.p.data(), in, 1, l.out.data(), out);
    if (l.plan.hidden) activate(l, mode, seed, step, i);
    x = l.out.data();
  }
}

void Head::activate(Linear& l, Mode mode, uint64_t seed, uint64_t step, size_t number) {
  const bool drop = mode == Mode::kTraining && l.plan.dropout && dropout_ > 0;
  const Stream draws(seed + number, Purpose::kDropout, step);
  const float scale = drop ? 1 / (1 - dropout_) : 1;
  for (size_t i = 0; i < l.out.size(); ++i) {
    const bool open = l.out[i] > 0 && (!drop || draws.uniform(i) >= dropout_);
    l.out[i] = open ? l.out[i] * scale : 0;
    l.open[i] = open;
  }
}

LossResult Head::loss(std::span<const uint8_t> labels, int count) {
  Linear& last = linears_.back();
  const int classes = last.plan.out;
  LossResult result;
  for (int n = 0; n < count; ++n) {
    const float* z = last.out.data() + static_cast<size_t>(n) * classes;
    float* d = last.dout.data() + static_cast<size_t>(n) * classes;
    const float* best = std::max_element(z, z + classes);
    double sum = 0;
    for (int k = 0; k < classes; ++k) sum += d[k] = std::exp(z[k] - *best);
    for (int k = 0; k < classes; ++k) {
      const float target = (k == labels[n] ? 1 - smoothing_ : 0) + smoothing_ / static_cast<float>(classes);
      d[k] = (d[k] / static_cast<float>(sum) - target) / static_cast<float>(batch_);
    }
    result.loss += std::log(sum) + *best - z[labels[n]];
    result.correct += best - z == labels[n];
  }
  return result;
}

void Head::backward() {
  for (size_t i = linears_.size(); i-- > 0;) {
    Linear& l = linears_[i];
    const int in = l.plan.in, out = l.plan.out;
    const float* x = i > 0 ? linears_[i - 1].out.data() : features_.data();
    float* dx = i > 0 ? linears_[i - 1].dout.data() : dfeatures_.data();
    if (l.plan.hidden) {
      const float scale = l.plan.dropout && dropout_ > 0 ? 1 / (1 - dropout_) : 1;
      for (size_t k = 0; k < l.dout.size(); ++k) l.dout[k] = l.open[k] ? l.dout[k] * scale : 0;
    }
    dnnl_sgemm('T', 'N', out, in, batch_, 1, l.dout.data(), out, x, in, 0, l.weights.g.data(), in);
    std::fill_n(l.bias.g.data(), out, 0.F);
    for (int n = 0; n < batch_; ++n)
      for (int k = 0; k < out; ++k) l.bias.g[k] += l.dout[static_cast<size_t>(n) * out + k];
    dnnl_sgemm('N', 'N', batch_, in, out, 1, l.dout.data(), out, l.weights.p.data(), in, 0, dx, in);
  }
}

void Head::update(const Kernels<float>& kernels, const AdamStep& step) {
  auto update = [&](Param& w) {
    constexpr long kChunk = 4096;
    const long count = static_cast<long>(w.p.size());
#pragma omp parallel for schedule(static) if (count > 2 * kChunk)
    for (long at = 0; at < count; at += kChunk)
      kernels.adam(w.p.data() + at, w.m.data() + at, w.v.data() + at, w.g.data() + at,
                   std::min(kChunk, count - at), step);
  };
  for (Linear& l : linears_) {
    update(l.weights);
    update(l.bias);
  }
}

double Head::active_fraction() const {
  for (size_t i = linears_.size(); i-- > 0;) {
    const Linear& l = linears_[i];
    if (!l.plan.hidden) continue;
    size_t open = 0;
    for (size_t k = 0; k < l.open.size(); ++k) open += l.open[k];
    return static_cast<double>(open) / static_cast<double>(l.open.size());
  }
  return 1;
}

}  // namespace tidemill::nn
