#include "nn/network.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "nn/random.h"

namespace tidemill::nn {
namespace {

template <class T>
const Kernels<T>& kernels_for(Isa isa) {
  if constexpr (sizeof(T) == 2)
    return bf16_kernels(isa);
  else
    return f32_kernels(isa);
}

}  // namespace

size_t Slot::count() const {
  size_t n = 1;
  for (int64_t extent : shape) n *= static_cast<size_t>(extent);
  return n;
}

namespace {

// Calls f(position in PyTorch's order, position in ours).
template <class F>
void each_weight(const BlockPlan& p, F f) {
  size_t at = 0;
  for (int o = 0; o < p.out; ++o)
    for (int i = 0; i < p.in; ++i)
      for (int kh = 0; kh < p.kernel; ++kh)
        for (int kw = 0; kw < p.kernel; ++kw) f(at++, p.weight_at(o, i, kh, kw));
}

}  // namespace

std::vector<float> Slot::gather(const float* stored) const {
  std::vector<float> values(count());
  if (conv)
    each_weight(*conv, [&](size_t to, size_t from) { values[to] = stored[from]; });
  else
    std::copy_n(stored, values.size(), values.begin());
  return values;
}

void Slot::scatter(std::span<const float> values, float* stored) const {
  if (conv)
    each_weight(*conv, [&](size_t from, size_t to) { stored[to] = values[from]; });
  else
    std::copy(values.begin(), values.end(), stored);
}

template <class T>
Network<T>::Network(const NetPlan& plan, const NetworkOptions& options)
    : options_(options),
      kernels_(kernels_for<T>(options.isa)),
      head_kernels_(f32_kernels(options.isa)),
      head_(plan.linears, options.batch, options.dropout, options.smoothing) {
  NetPlan fitted = plan;
  // Without AVX-512 oneDNN's kernels are the faster ones.
  if (options.isa == Isa::kPortable)
    for (BlockPlan& block : fitted.blocks) block.winograd = block.tiny = false;
  allocate(fitted);
  make_slots();
}

template <class T>
void Network<T>::allocate(const NetPlan& plan) {
  size_t largest = 0;
  typename Winograd<T>::Space space;
  for (const BlockPlan& b : plan.blocks) {
    if (!b.first) largest = std::max(largest, static_cast<size_t>(b.padded_in) * b.in_size * b.in_size);
    const auto needed = Conv<T>::space_for(b, options_.batch);
    space = {std::max(space.x, needed.x), std::max(space.dy, needed.dy)};
  }
  space_ = {Buffer<uint32_t>(space.x), Buffer<uint32_t>(space.dy)};
  images_ = Buffer<T>(static_cast<size_t>(options_.batch) * NetSpec::kChannels * NetSpec::kImageSize *
                      NetSpec::kImageSize);
  for (Buffer<T>& dx : dx_) dx = Buffer<T>(largest * options_.batch);
  blocks_.reserve(plan.blocks.size());
  for (size_t i = 0; i < plan.blocks.size(); ++i)
    add_block(plan.blocks[i], i, i == 0 ? images_.data() : outputs_.back().data());
  dfeatures_ = Buffer<T>(outputs_.back().size());
  for (size_t i = 0; i < blocks_.size(); ++i) {
    const bool last = i + 1 == blocks_.size();
    blocks_[i].norm.dout = last ? dfeatures_.data() : dx_[(i + 1) % 2].data();
  }
}

template <class T>
void Network<T>::add_block(const BlockPlan& plan, size_t number, T* x) {
  const size_t channels = plan.padded_out, batch = options_.batch;
  const size_t results = batch * channels * plan.result_size() * plan.result_size();
  convolved_.emplace_back(batch * channels * plan.out_size * plan.out_size);
  outputs_.emplace_back(results);
  Block& b = blocks_.emplace_back(plan, options_.batch, kernels_, space_, x, convolved_.back().data(),
                                  plan.first ? nullptr : dx_[number % 2].data());
  b.gamma = Param(channels), b.beta = Param(channels);
  for (Buffer<float>* p : {&b.mean, &b.istd, &b.running_mean, &b.running_var}) *p = Buffer<float>(channels);
  if (plan.pool) b.index = Buffer<uint8_t>(results);
  for (size_t c = 0; c < channels; ++c) b.gamma.p[c] = b.istd[c] = b.running_var[c] = 1;
  NormPool<T>& n = b.norm;
  n.y = convolved_.back().data(), n.out = outputs_.back().data(), n.index = b.index.data();
  n.batch = options_.batch, n.channels = plan.padded_out, n.size = plan.out_size;
  n.normalise = !plan.norm_name.empty(), n.pool = plan.pool;
  n.gamma = b.gamma.p.data(), n.beta = b.beta.p.data();
  n.dgamma = b.gamma.g.data(), n.dbeta = b.beta.g.data();
  n.mean = b.mean.data(), n.istd = b.istd.data();
  n.running_mean = b.running_mean.data(), n.running_var = b.running_var.data();
}

template <class T>
void Network<T>::make_slots() {
  for (Block& b : blocks_) {
    const BlockPlan& p = b.conv.plan();
    const std::vector<int64_t> channels = {p.out};
    slots_.push_back(
        {p.conv_name + ".weight", {p.out, p.in, p.kernel, p.kernel}, &b.conv.weights(), nullptr, &p});
    if (p.norm_name.empty()) {
      slots_.push_back({p.conv_name + ".bias", channels, &b.beta});
      continue;
    }
    slots_.push_back({p.conv_name + ".bias", channels, nullptr, nullptr, nullptr, Slot::Frozen::kZeroBias});
    slots_.push_back({p.norm_name + ".weight", channels, &b.gamma});
    slots_.push_back({p.norm_name + ".bias", channels, &b.beta});
    slots_.push_back({p.norm_name + ".running_mean", channels, nullptr, b.running_mean.data()});
    slots_.push_back({p.norm_name + ".running_var", channels, nullptr, b.running_var.data()});
    slots_.push_back(
        {p.norm_name + ".num_batches_tracked", {}, nullptr, nullptr, nullptr, Slot::Frozen::kStepCount});
  }
  add_head_slots();
}

template <class T>
void Network<T>::add_head_slots() {
  for (Head::Linear& l : head_.linears()) {
    slots_.push_back({l.plan.name + ".weight", {l.plan.out, l.plan.in}, &l.weights});
    slots_.push_back({l.plan.name + ".bias", {l.plan.out}, &l.bias});
  }
}

template <class T>
void Network<T>::initialise(Init init) {
  uint64_t number = 0;
  auto normal = [&](size_t count, double sigma) {
    const Stream draws(options_.seed, Purpose::kInit, number++);
    std::vector<float> values(count);
    for (size_t i = 0; i < count; ++i) values[i] = static_cast<float>(sigma * draws.normal(i));
    return values;
  };
  auto uniform = [&](size_t count, double bound) {
    const Stream draws(options_.seed, Purpose::kInit, number++);
    std::vector<float> values(count);
    for (size_t i = 0; i < count; ++i) values[i] = static_cast<float>(bound * (2 * draws.uniform(i) - 1));
    return values;
  };
  for (Slot& s : slots_) {
    if (!s.param || (s.shape.size() == 1 && !s.name.starts_with("classifier"))) continue;
    const bool bias = s.shape.size() == 1;
    if (bias && init == Init::kHe) continue;
    double fan_in = 1, fan_out = 1;
    // A bias follows its weight, and shares the weight's fan.
    const std::vector<int64_t>& shape = bias ? (&s - 1)->shape : s.shape;
    for (size_t i = 1; i < shape.size(); ++i) fan_in *= static_cast<double>(shape[i]);
    for (size_t i = 0; i < shape.size(); ++i) fan_out *= i == 1 ? 1 : static_cast<double>(shape[i]);
    const double fan = s.conv ? fan_out : fan_in;
    s.scatter(
        init == Init::kHe ? normal(s.count(), std::sqrt(2 / fan)) : uniform(s.count(), 1 / std::sqrt(fan_in)),
        s.param->p.data());
  }
  publish();
}

template <class T>
void Network<T>::publish() {
  for (Block& b : blocks_) b.conv.update(nullptr);
}

template <class T>
template <class F>
void Network<T>::timed(const char* name, F work) {
  if (mode_ == Mode::kEvaluation) return work();
  const auto start = std::chrono::steady_clock::now();
  work();
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const auto known =
      std::find_if(times_.begin(), times_.end(), [&](const PieceTime& t) { return t.name == name; });
  if (known == times_.end())
    times_.push_back({name, seconds});
  else
    known->seconds += seconds;
}

template <class T>
template <class F>
void Network<T>::over_channels(const Block& block, F work) {
  const int count = block.norm.channels / 16;
#pragma omp parallel for schedule(static)
  for (int c = 0; c < count; ++c) work(c);
}

template <class T>
void Network<T>::forward(Mode mode, uint64_t step) {
  mode_ = mode;
  for (Block& b : blocks_) {
    timed("conv fwd", [&] { b.conv.forward(mode); });
    timed("norm fwd", [&] { over_channels(b, [&](int c) { kernels_.norm_forward(b.norm, c, mode); }); });
  }
  timed("head fwd", [&] {
    gather_features();
    head_.forward(mode, options_.seed, step);
  });
}

// [c / 16][position][16] -> [c][position]
template <class T>
void Network<T>::gather_features() {
  const NormPool<T>& last = blocks_.back().norm;
  const BlockPlan& plan = blocks_.back().conv.plan();
  const int positions = plan.result_size() * plan.result_size();
  const size_t per_image = static_cast<size_t>(last.channels) * positions;
  for (int n = 0; n < options_.batch; ++n)
    for (int c = 0; c < last.channels; c += 16)
      for (int p = 0; p < positions; ++p) {
        float lanes[16];
        kernels_.to_f32(last.out + n * per_image + static_cast<size_t>(c) * positions + p * 16, lanes, 16);
        for (int k = 0; k < 16 && c + k < plan.out; ++k)
          head_.features()[(static_cast<size_t>(n) * plan.out + c + k) * positions + p] = lanes[k];
      }
}

template <class T>
void Network<T>::scatter_features() {
  const BlockPlan& plan = blocks_.back().conv.plan();
  const int positions = plan.result_size() * plan.result_size();
  const size_t per_image = static_cast<size_t>(plan.padded_out) * positions;
  for (int n = 0; n < options_.batch; ++n)
    for (int c = 0; c < plan.padded_out; c += 16)
      for (int p = 0; p < positions; ++p) {
        float lanes[16] = {};
        for (int k = 0; k < 16 && c + k < plan.out; ++k)
          lanes[k] = head_.dfeatures()[(static_cast<size_t>(n) * plan.out + c + k) * positions + p];
        kernels_.from_f32(
            lanes, dfeatures_.data() + n * per_image + static_cast<size_t>(c) * positions + p * 16, 16);
      }
}

template <class T>
void Network<T>::backward(float learning_rate, uint64_t step_number) {
  const double t = static_cast<double>(step_number);
  const AdamStep adam{static_cast<float>(learning_rate / (1 - std::pow(double{AdamStep::kBeta1}, t))),
                      static_cast<float>(1 / std::sqrt(1 - std::pow(double{AdamStep::kBeta2}, t)))};
  timed("head bwd", [&] {
    head_.backward();
    scatter_features();
  });
  timed("adam", [&] { head_.update(head_kernels_, adam); });
  for (size_t i = blocks_.size(); i-- > 0;) {
    Block& b = blocks_[i];
    timed("norm bwd", [&] { over_channels(b, [&](int c) { kernels_.norm_backward(b.norm, c); }); });
    // Before its weights change.
    if (!b.conv.plan().first) timed("conv bwd data", [&] { b.conv.backward_data(); });
    timed("conv bwd weights", [&] { b.conv.backward_weights(); });
    // At once, while the gradient is in cache.
    timed("adam", [&] { update_block(b, adam); });
  }
}

template <class T>
void Network<T>::update_block(Block& b, const AdamStep& adam) {
  b.conv.update(&adam);
  for (Param* w : {&b.gamma, &b.beta}) {
    if (w == &b.gamma && !b.norm.normalise) continue;
    head_kernels_.adam(w->p.data(), w->m.data(), w->v.data(), w->g.data(), w->p.size(), adam);
  }
}

template class Network<float>;
template class Network<Bf16>;

}  // namespace tidemill::nn
