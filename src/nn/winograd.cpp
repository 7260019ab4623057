#include "nn/winograd.h"

#include <algorithm>

namespace tidemill::nn {
namespace {

int tiles_per_image(const BlockPlan& plan) { return plan.in_size * plan.in_size / 16; }

// Both operands of a chunk then fit the last cache beside the weights, and the sums run long.
int images_of_chunk(const BlockPlan& plan, int batch) {
  constexpr int kTiles = 256;
  return std::clamp(kTiles / tiles_per_image(plan), 1, batch);
}

template <class T>
size_t weight_words(int from, int to) {
  return static_cast<size_t>(to / kPanelColumns) * kWinogradElements *
         winograd_part(from / kValuesPerWord<T>, kPanelColumns);
}

}  // namespace

template <class T>
Winograd<T>::Winograd(const BlockPlan& plan, int batch, const Kernels<T>& kernels, PackSpace& space)
    : plan_(plan),
      batch_(batch),
      kernels_(kernels),
      space_(space),
      forward_weights_(weight_words<T>(plan.padded_in, plan.padded_out)),
      backward_weights_(weight_words<T>(plan.padded_out, plan.padded_in)) {}

template <class T>
int Winograd<T>::images_at_a_time() const {
  return images_of_chunk(plan_, batch_);
}

template <class T>
typename Winograd<T>::Space Winograd<T>::space_for(const BlockPlan& plan, int batch) {
  const size_t tiles = static_cast<size_t>(images_of_chunk(plan, batch)) * tiles_per_image(plan);
  const int words = winograd_words<T>(static_cast<int>(tiles));
  const int widest = std::max(plan.padded_in, plan.padded_out);
  const size_t rows_of_tiles =
      (tiles + kPanelRows - 1) / kPanelRows * winograd_part(widest / kValuesPerWord<T>, kPanelRows);
  const size_t rows_of_channels = widest / kPanelRows * winograd_part(words, kPanelRows);
  const size_t columns = plan.padded_out / kPanelColumns * winograd_part(words, kPanelColumns);
  return {kWinogradElements * std::max(rows_of_tiles, rows_of_channels), kWinogradElements * columns};
}

template <class T>
void Winograd<T>::product(const T* from, T* to, int from_channels, int to_channels,
                          const Buffer<uint32_t>& weights) {
  const int step = images_at_a_time();
#pragma omp parallel
  for (int first = 0; first < batch_; first += step) {
    const int count = std::min(step, batch_ - first);
    const WinogradTiles<T> tiles{from, from_channels, plan_.in_size, first, count, space_.x.data()};
    const WinogradProduct<T> work{space_.x.data(), weights.data(), to,    from_channels,
                                  to_channels,     plan_.in_size,  first, count};
#pragma omp for schedule(static)
    for (int block = 0; block < from_channels / 16; ++block) kernels_.winograd_tiles(tiles, block);
#pragma omp for schedule(static)
    for (int pair = 0; pair < to_channels / 32; ++pair) kernels_.winograd_product(work, pair);
  }
}

template <class T>
void Winograd<T>::forward(const T* x, T* y) {
  product(x, y, plan_.padded_in, plan_.padded_out, forward_weights_);
}

template <class T>
void Winograd<T>::backward_data(const T* dy, T* dx) {
  product(dy, dx, plan_.padded_out, plan_.padded_in, backward_weights_);
}

template <class T>
void Winograd<T>::backward_weights(const T* x, const T* dy, float* dw) {
  const int step = images_at_a_time();
#pragma omp parallel
  for (int first = 0; first < batch_; first += step) {
    const int count = std::min(step, batch_ - first);
    const WinogradTiles<T> left{x, plan_.padded_in, plan_.in_size, first, count, space_.x.data()};
    const WinogradTiles<T> right{dy, plan_.padded_out, plan_.in_size, first, count, space_.dy.data()};
    const WinogradGrad work{
        space_.x.data(), space_.dy.data(), dw, plan_.padded_in, count * tiles_per_image(plan_), first > 0};
#pragma omp for schedule(static) nowait
    for (int block = 0; block < plan_.padded_in / 16; ++block) kernels_.winograd_grad_x(left, block);
#pragma omp for schedule(static)
    for (int block = 0; block < plan_.padded_out / 16; ++block) kernels_.winograd_grad_dy(right, block);
#pragma omp for schedule(static)
    for (int pair = 0; pair < plan_.padded_out / 32; ++pair) kernels_.winograd_weight_grad(work, pair);
  }
}

template <class T>
void Winograd<T>::update(Param& weights, const AdamStep* step) {
  const WinogradWeights work{weights.p.data(), weights.m.data(),        weights.v.data(),
                             weights.g.data(), forward_weights_.data(), backward_weights_.data(),
                             plan_.padded_in,  plan_.padded_out};
#pragma omp parallel for collapse(2) schedule(static)
  for (int out = 0; out < plan_.padded_out / 16; ++out)
    for (int in = 0; in < plan_.padded_in / 16; ++in) kernels_.winograd_publish(work, out, in, step);
}

template class Winograd<float>;
template class Winograd<Bf16>;

}  // namespace tidemill::nn
