#include "nn/conv.h"

#include <algorithm>
#include <unordered_map>

#include <dnnl.hpp>

namespace tidemill::nn {
namespace {

using dnnl::memory;
using Tag = memory::format_tag;
using Type = memory::data_type;
using Arguments = std::unordered_map<int, memory>;

dnnl::engine& engine() {
  static dnnl::engine instance(dnnl::engine::kind::cpu, 0);
  return instance;
}
dnnl::stream& stream() {
  static dnnl::stream instance(engine());
  return instance;
}

// Images packed at a time: each operand then fits half a megabyte at 512 channels.
template <class T>
int images_at_a_time(const BlockPlan& plan, int batch) {
  const int budget = sizeof(T) == 2 ? 512 : 256;
  return std::min(batch, std::max(2, budget / (plan.in_size * plan.in_size)));
}

}  // namespace

template <class T>
struct Conv<T>::State {
  BlockPlan plan;
  int batch;
  const Kernels<T>& kernels;
  PackSpace& space;
  T *x, *y;
  Param weights;
  Buffer<T> forward_copy, backward_copy;
  memory library_weights;  // first block: in the layout its primitive chose
  dnnl::convolution_forward forward;
  dnnl::convolution_backward_data backward_data;
  dnnl::convolution_backward_weights backward_weights;
  dnnl::reorder publish_first;
  Arguments forward_args, data_args, weight_args, publish_args;

  State(const BlockPlan& p, int b, const Kernels<T>& k, PackSpace& s, T* x_, T* y_, T* dx)
      : plan(p), batch(b), kernels(k), space(s), x(x_), y(y_), weights(p.weights()) {
    build(dx);
  }

  void build(T* dx) {
    constexpr bool kBf16 = sizeof(T) == 2;
    const Type type = kBf16 ? Type::bf16 : Type::f32;
    const memory::dims kernel = {plan.padded_out, plan.padded_in, plan.kernel, plan.kernel};
    const memory::desc source({batch, plan.padded_in, plan.in_size, plan.in_size}, type,
                              plan.first ? Tag::nchw : Tag::nChw16c);
    const memory::desc result({batch, plan.padded_out, plan.out_size, plan.out_size}, type, Tag::nChw16c);
    const memory::desc master(kernel, Type::f32, plan.first ? Tag::Ohwi16o : Tag::OIhw16i16o);
    const memory::desc forward_weights(kernel, type,
                                       plan.first ? Tag::any : (kBf16 ? Tag::OIhw8i16o2i : Tag::OIhw16i16o));
    const memory::dims stride = {1, 1}, pad = {plan.padding, plan.padding};
    const auto direct = dnnl::algorithm::convolution_direct;

    const dnnl::convolution_forward::primitive_desc forward_desc(
        {dnnl::prop_kind::forward_training, direct, source, forward_weights, result, stride, pad, pad},
        engine());
    forward = dnnl::convolution_forward(forward_desc);
    backward_weights = dnnl::convolution_backward_weights(dnnl::convolution_backward_weights::primitive_desc(
        {direct, source, master, result, stride, pad, pad}, engine(), forward_desc));

    const memory x_memory(source, engine(), x), y_memory(result, engine(), y);
    const memory gradient(master, engine(), weights.g.data());
    if (plan.first) {
      const memory master_memory(master, engine(), weights.p.data());
      library_weights = memory(forward_desc.weights_desc(), engine());
      publish_first = dnnl::reorder(master_memory, library_weights);
      publish_args = {{DNNL_ARG_FROM, master_memory}, {DNNL_ARG_TO, library_weights}};
    } else {
      if (kBf16) forward_copy = Buffer<T>(plan.weights());
      backward_copy = Buffer<T>(plan.weights());
      void* copy = kBf16 ? static_cast<void*>(forward_copy.data()) : weights.p.data();
      library_weights = memory(forward_weights, engine(), copy);
      const memory::desc backward_weights_desc(kernel, type, kBf16 ? Tag::OIhw8o16i2o : Tag::OIhw16o16i);
      backward_data = dnnl::convolution_backward_data(dnnl::convolution_backward_data::primitive_desc(
          {direct, source, backward_weights_desc, result, stride, pad, pad}, engine(), forward_desc));
      data_args = {{DNNL_ARG_DIFF_DST, y_memory},
                   {DNNL_ARG_WEIGHTS, memory(backward_weights_desc, engine(), backward_copy.data())},
                   {DNNL_ARG_DIFF_SRC, memory(source, engine(), dx)}};
    }
    forward_args = {{DNNL_ARG_SRC, x_memory}, {DNNL_ARG_WEIGHTS, library_weights}, {DNNL_ARG_DST, y_memory}};
    weight_args = {
        {DNNL_ARG_SRC, x_memory}, {DNNL_ARG_DIFF_DST, y_memory}, {DNNL_ARG_DIFF_WEIGHTS, gradient}};
  }

  void own_weight_grad() {
    const int step = images_at_a_time<T>(plan, batch);
    const int in_blocks = plan.padded_in / 16, out_blocks = plan.padded_out / 16;
#pragma omp parallel
    for (int first = 0; first < batch; first += step) {
      const int count = std::min(step, batch - first);
      WeightGrad w{
          space.x.data(), space.dy.data(), weights.g.data(), plan.padded_in, plan.padded_out, plan.in_size, 0,
          first > 0};
      w.pairs = (count + kernels.images_per_element - 1) / kernels.images_per_element;
#pragma omp for schedule(static) nowait
      for (int c = 0; c < in_blocks; ++c) kernels.pack(w, x, Operand::kX, c, first, count);
#pragma omp for schedule(static)
      for (int c = 0; c < out_blocks; ++c) kernels.pack(w, y, Operand::kDy, c, first, count);
#pragma omp for schedule(static)
      for (int j = 0; j < out_blocks / 2; ++j) kernels.weight_grad(w, j);
    }
  }
};

template <class T>
Conv<T>::Conv(const BlockPlan& plan, int batch, const Kernels<T>& kernels, PackSpace& space, T* x, T* y,
              T* dx)
    : state_(std::make_unique<State>(plan, batch, kernels, space, x, y, dx)) {}
template <class T>
Conv<T>::~Conv() = default;
template <class T>
Conv<T>::Conv(Conv&&) noexcept = default;

template <class T>
void Conv<T>::forward() {
  state_->forward.execute(stream(), state_->forward_args);
}

template <class T>
void Conv<T>::backward_data() {
  state_->backward_data.execute(stream(), state_->data_args);
}

template <class T>
void Conv<T>::backward_weights() {
  if (state_->plan.own_weight_grad)
    state_->own_weight_grad();
  else
    backward_weights_by_library();
}

template <class T>
void Conv<T>::backward_weights_by_library() {
  state_->backward_weights.execute(stream(), state_->weight_args);
}

template <class T>
void Conv<T>::update(const AdamStep* step) {
  State& s = *state_;
  Param& w = s.weights;
  if (s.plan.first) {
    if (step) s.kernels.adam(w.p.data(), w.m.data(), w.v.data(), w.g.data(), w.p.size(), *step);
    s.publish_first.execute(stream(), s.publish_args);
    return;
  }
  constexpr long kChunk = 16;
  const long blocks = static_cast<long>(w.p.size() / 256);
#pragma omp parallel for schedule(static)
  for (long begin = 0; begin < blocks; begin += kChunk)
    s.kernels.adam_publish(w.p.data(), w.m.data(), w.v.data(), w.g.data(), s.forward_copy.data(),
                           s.backward_copy.data(), begin, std::min(begin + kChunk, blocks), step);
}

template <class T>
Param& Conv<T>::weights() {
  return state_->weights;
}
template <class T>
const BlockPlan& Conv<T>::plan() const {
  return state_->plan;
}

template <class T>
size_t Conv<T>::pack_elements(const BlockPlan& plan, int batch, int channels) {
  if (!plan.own_weight_grad) return 0;
  constexpr int kShare = sizeof(T) == 2 ? 2 : 1;
  const int pairs = (images_at_a_time<T>(plan, batch) + kShare - 1) / kShare;
  return static_cast<size_t>(channels) * plan.in_size * plan.in_size * pairs;
}

template class Conv<float>;
template class Conv<Bf16>;

}  // namespace tidemill::nn
