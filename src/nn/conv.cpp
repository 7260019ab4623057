#include "nn/conv.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <unordered_map>
#include <vector>

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

// oneDNN has kernels for blocks of 16 channels with AVX-512 only, and none but its slow reference elsewhere.
bool has_kernels_for_blocks_of_16() {
  const auto isa = static_cast<unsigned>(dnnl::get_effective_cpu_isa());
  const auto needed = static_cast<unsigned>(dnnl::cpu_isa::avx512_core);
  return (isa & needed) == needed;
}

// A primitive with its arguments. Where it wants another layout than the plan keeps, reorders run before and
// after.
class Pass {
 public:
  Pass() = default;
  explicit Pass(dnnl::primitive primitive) : primitive_(std::move(primitive)) {}

  // kept: memory as the plan has it; wanted: what the primitive asks for.
  void read(int argument, const memory& kept, const memory::desc& wanted) {
    const memory own = matching(kept, wanted);
    if (own != kept) before_.push_back({dnnl::reorder(kept, own), kept, own});
    arguments_.emplace(argument, own);
  }
  void write(int argument, const memory& kept, const memory::desc& wanted) {
    const memory own = matching(kept, wanted);
    if (own != kept) after_.push_back({dnnl::reorder(own, kept), own, kept});
    arguments_.emplace(argument, own);
  }
  void run() {
    for (Move& move : before_) move.reorder.execute(stream(), move.from, move.to);
    primitive_.execute(stream(), arguments_);
    for (Move& move : after_) move.reorder.execute(stream(), move.from, move.to);
  }

 private:
  struct Move {
    dnnl::reorder reorder;
    memory from, to;
  };
  static memory matching(const memory& kept, const memory::desc& wanted) {
    return kept.get_desc() == wanted ? kept : memory(wanted, engine());
  }

  dnnl::primitive primitive_;
  Arguments arguments_;
  std::vector<Move> before_, after_;
};

// Images packed at a time: each operand then fits half a megabyte at 512 channels.
template <class T>
int images_at_a_time(const BlockPlan& plan, int batch) {
  const int budget = sizeof(T) == 2 ? 512 : 256;
  return std::min(batch, std::max(2, budget / (plan.in_size * plan.in_size)));
}

}  // namespace

template <class T>
struct Conv<T>::State {
  static constexpr bool kBf16 = sizeof(T) == 2;
  static constexpr Type kType = kBf16 ? Type::bf16 : Type::f32;

  BlockPlan plan;
  int batch;
  const Kernels<T>& kernels;
  PackSpace& space;
  T *x, *y, *dx;
  Param weights;
  Buffer<T> forward_copy, backward_copy;
  Pass forward, backward_data, backward_weights;
  std::optional<Winograd<T>> winograd;
  // The direct forward convolution's copy of the master, where one of oneDNN's reorders makes it: in the
  // first block and, for evaluation, beside Winograd's copies.
  memory master_memory, direct_copy;
  dnnl::reorder publish_direct;
  bool is_direct_copy_stale = false;

  State(const BlockPlan& p, int b, const Kernels<T>& k, PackSpace& s, T* x_, T* y_, T* dx_)
      : plan(p), batch(b), kernels(k), space(s), x(x_), y(y_), dx(dx_), weights(p.weights()) {
    if (plan.winograd) winograd.emplace(plan, batch, kernels, space);
    build();
  }

  // What lies where, and what oneDNN is asked for: the same, or `any` where it has no kernel for our layouts.
  struct Layout {
    memory::desc kept, asked;
    Layout(const memory::dims& dims, Type type, Tag tag)
        : kept(dims, type, tag), asked(dims, type, has_kernels_for_blocks_of_16() ? tag : Tag::any) {}
  };

  void build() {
    const memory::dims kernel = {plan.padded_out, plan.padded_in, plan.kernel, plan.kernel};
    const Layout source({batch, plan.padded_in, plan.in_size, plan.in_size}, kType,
                        plan.first ? Tag::nchw : Tag::nChw16c);
    const Layout result({batch, plan.padded_out, plan.out_size, plan.out_size}, kType, Tag::nChw16c);
    const Layout master(kernel, Type::f32, plan.first ? Tag::Ohwi16o : Tag::OIhw16i16o);
    const memory::dims stride = {1, 1}, pad = {plan.padding, plan.padding};
    const auto direct = dnnl::algorithm::convolution_direct;
    const memory x_memory(source.kept, engine(), x), y_memory(result.kept, engine(), y);

    const Layout copy(kernel, kType, kBf16 ? Tag::OIhw8i16o2i : Tag::OIhw16i16o);
    const memory::desc any(kernel, kType, Tag::any);
    const dnnl::convolution_forward::primitive_desc forward_desc(
        {dnnl::prop_kind::forward_training, direct, source.asked, plan.first ? any : copy.asked, result.asked,
         stride, pad, pad},
        engine());
    forward = Pass(dnnl::convolution_forward(forward_desc));
    forward.read(DNNL_ARG_SRC, x_memory, forward_desc.src_desc());
    forward.read(DNNL_ARG_WEIGHTS, forward_weights(copy.kept, master.kept, forward_desc.weights_desc()),
                 forward_desc.weights_desc());
    forward.write(DNNL_ARG_DST, y_memory, forward_desc.dst_desc());

    if (winograd) return;
    const dnnl::convolution_backward_weights::primitive_desc weights_desc(
        {direct, source.asked, master.asked, result.asked, stride, pad, pad}, engine(), forward_desc);
    backward_weights = Pass(dnnl::convolution_backward_weights(weights_desc));
    backward_weights.read(DNNL_ARG_SRC, x_memory, weights_desc.src_desc());
    backward_weights.read(DNNL_ARG_DIFF_DST, y_memory, weights_desc.diff_dst_desc());
    backward_weights.write(DNNL_ARG_DIFF_WEIGHTS, memory(master.kept, engine(), weights.g.data()),
                           weights_desc.diff_weights_desc());

    if (plan.first) return;
    backward_copy = Buffer<T>(plan.weights());
    const Layout data_copy(kernel, kType, kBf16 ? Tag::OIhw8o16i2o : Tag::OIhw16o16i);
    const dnnl::convolution_backward_data::primitive_desc data_desc(
        {direct, source.asked, data_copy.asked, result.asked, stride, pad, pad}, engine(), forward_desc);
    backward_data = Pass(dnnl::convolution_backward_data(data_desc));
    backward_data.read(DNNL_ARG_DIFF_DST, y_memory, data_desc.diff_dst_desc());
    backward_data.read(DNNL_ARG_WEIGHTS, memory(data_copy.kept, engine(), backward_copy.data()),
                       data_desc.weights_desc());
    backward_data.write(DNNL_ARG_DIFF_SRC, memory(source.kept, engine(), dx), data_desc.diff_src_desc());
  }

  memory forward_weights(const memory::desc& copy, const memory::desc& master, const memory::desc& wanted) {
    if (!plan.first && !kBf16) return memory(copy, engine(), weights.p.data());
    if (plan.first || winograd) {
      master_memory = memory(master, engine(), weights.p.data());
      direct_copy = memory(plan.first ? wanted : copy, engine());
      publish_direct = dnnl::reorder(master_memory, direct_copy);
      return direct_copy;
    }
    forward_copy = Buffer<T>(plan.weights());
    return memory(copy, engine(), forward_copy.data());
  }

  void direct_forward() {
    if (is_direct_copy_stale && direct_copy) publish_direct.execute(stream(), master_memory, direct_copy);
    is_direct_copy_stale = false;
    forward.run();
  }

  void tiny_forward() {
    const size_t in_blocks = plan.padded_in / 16;
    const T* copy =
        reinterpret_cast<const T*>(kBf16 ? static_cast<const void*>(forward_copy.data()) : weights.p.data());
    over_tiny(x, {grouped(), y, copy, batch, plan.padded_in, plan.padded_out, 9, 9 * in_blocks, false});
  }
  void tiny_backward_data() {
    const size_t in_blocks = plan.padded_in / 16;
    over_tiny(y, {grouped(), dx, backward_copy.data(), batch, plan.padded_out, plan.padded_in, 9 * in_blocks,
                  9, true});
  }
  T* grouped() { return reinterpret_cast<T*>(space.x.data()); }
  void over_tiny(const T* from, const TinyConv<T>& work) {
    const int blocks = work.from_channels / 16;
#pragma omp parallel
    {
#pragma omp for schedule(static)
      for (int image = 0; image < batch; ++image)
        for (int block = 0; block < blocks; ++block)
          for (int position = 0; position < 4; ++position) {
            const size_t group = static_cast<size_t>(image / kTinyConvImages) * 4 + position;
            const size_t row = (group * blocks + block) * kTinyConvImages + image % kTinyConvImages;
            const size_t source = (static_cast<size_t>(image) * blocks + block) * 4 + position;
            std::memcpy(grouped() + row * 16, from + source * 16, 16 * sizeof(T));
          }
#pragma omp for collapse(2) schedule(static)
      for (int pair = 0; pair < work.to_channels / 32; ++pair)
        for (int position = 0; position < 4; ++position) kernels.tiny_conv(work, pair, position);
    }
  }

  void tiny_weight_grad() {
    const int step = images_at_a_time<T>(plan, batch);
    const int in_blocks = plan.padded_in / 16, out_blocks = plan.padded_out / 16;
#pragma omp parallel
    for (int first = 0; first < batch; first += step) {
      const int count = std::min(step, batch - first);
      WeightGrad w{
          space.x.data(), space.dy.data(), weights.g.data(), plan.padded_in, plan.padded_out, plan.in_size, 0,
          first > 0};
      w.pairs = (count + kValuesPerWord<T> - 1) / kValuesPerWord<T>;
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
void Conv<T>::forward(Mode mode) {
  State& s = *state_;
  if (s.plan.tiny)
    s.tiny_forward();
  else if (s.winograd && mode == Mode::kTraining)
    s.winograd->forward(s.x, s.y);
  else
    s.direct_forward();
}

template <class T>
void Conv<T>::backward_data() {
  State& s = *state_;
  if (s.plan.tiny)
    s.tiny_backward_data();
  else if (s.winograd)
    s.winograd->backward_data(s.y, s.dx);
  else
    s.backward_data.run();
}

template <class T>
void Conv<T>::backward_weights() {
  State& s = *state_;
  if (s.winograd)
    s.winograd->backward_weights(s.x, s.y, s.weights.g.data());
  else if (s.plan.tiny)
    s.tiny_weight_grad();
  else
    s.backward_weights.run();
}

template <class T>
void Conv<T>::update(const AdamStep* step) {
  State& s = *state_;
  Param& w = s.weights;
  if (s.plan.first) {
    if (step) s.kernels.adam(w.p.data(), w.m.data(), w.v.data(), w.g.data(), w.p.size(), *step);
    s.is_direct_copy_stale = true;
    return;
  }
  if (s.winograd) {
    s.winograd->update(w, step);
    s.is_direct_copy_stale = true;
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
typename Winograd<T>::Space Conv<T>::space_for(const BlockPlan& plan, int batch) {
  if (plan.winograd) return Winograd<T>::space_for(plan, batch);
  if (!plan.tiny) return {};
  const int pairs = (images_at_a_time<T>(plan, batch) + kValuesPerWord<T> - 1) / kValuesPerWord<T>;
  const size_t depth = static_cast<size_t>(panel_steps(pairs)) * kPanelStep;
  const size_t groups = (batch + kTinyConvImages - 1) / kTinyConvImages;
  const size_t widest = std::max(plan.padded_in, plan.padded_out);
  return {4 * std::max(plan.padded_in * depth, groups * kTinyConvImages * widest / kValuesPerWord<T>),
          4 * plan.padded_out * depth};
}

template class Conv<float>;
template class Conv<Bf16>;

}  // namespace tidemill::nn
