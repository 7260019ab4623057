// Every kernel against its portable twin, and the own convolutions against oneDNN's.
#include "nn/kernels.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "nn/conv.h"

namespace tidemill::nn {
namespace {

float value(float x) { return x; }
float value(Bf16 x) { return std::bit_cast<float>(static_cast<uint32_t>(x.bits) << 16); }

template <class T>
const Kernels<T>& kernels_of(Isa isa) {
  if constexpr (sizeof(T) == 2)
    return bf16_kernels(isa);
  else
    return f32_kernels(isa);
}

template <class T>
Buffer<T> random_values(size_t count, unsigned seed, float scale = 1) {
  std::mt19937 draw(seed);
  std::normal_distribution<float> normal(0, scale);
  Buffer<float> wide(round_up16(count));
  // Quarters: ties in the pool and sums at zero are common.
  for (size_t i = 0; i < count; ++i) wide[i] = scale == 1 ? std::round(normal(draw) * 4) / 4 : normal(draw);
  Buffer<T> out(round_up16(count));
  kernels_of<T>(Isa::kPortable).from_f32(wide.data(), out.data(), round_up16(count));
  return out;
}

template <class T>
double relative_difference(const T* a, const T* b, size_t count) {
  double difference = 0, size = 0;
  for (size_t i = 0; i < count; ++i) {
    difference += std::pow(value(a[i]) - value(b[i]), 2);
    size += std::pow(value(a[i]), 2);
  }
  return std::sqrt(difference / std::max(size, 1e-30));
}

template <class T>
class KernelTest : public testing::Test {};
using Elements = testing::Types<float, Bf16>;
TYPED_TEST_SUITE(KernelTest, Elements);

template <class T>
struct NormRun {
  static constexpr int kBatch = 3, kChannels = 32, kSize = 6;
  static constexpr size_t kCount = size_t{kBatch} * kChannels * kSize * kSize;
  Buffer<T> y = random_values<T>(kCount, 1), out{kCount}, dout = random_values<T>(kCount, 2);
  Buffer<uint8_t> index{kCount};
  Param gamma{kChannels}, beta{kChannels};
  Buffer<float> mean{kChannels}, istd{kChannels}, running_mean{kChannels}, running_var{kChannels};

  NormRun(Isa isa, bool pool, bool normalise) {
    for (int c = 0; c < kChannels; ++c) {
      gamma.p[c] = c % 3 ? 1.0F : 0.5F;
      // Some channels closed everywhere.
      beta.p[c] = c % 5 == 0 ? -50.0F : 0.25F;
      istd[c] = running_var[c] = 1;
    }
    NormPool<T> l{y.data(), kBatch, kChannels, kSize, normalise, pool, out.data(), dout.data(), index.data()};
    l.gamma = gamma.p.data(), l.beta = beta.p.data(), l.dgamma = gamma.g.data(), l.dbeta = beta.g.data();
    l.mean = mean.data(), l.istd = istd.data();
    l.running_mean = running_mean.data(), l.running_var = running_var.data();
    for (int block = 0; block < kChannels / 16; ++block) {
      kernels_of<T>(isa).norm_forward(l, block, Mode::kTraining);
      kernels_of<T>(isa).norm_backward(l, block);
    }
  }
};

TYPED_TEST(KernelTest, NormalisationAndPoolAgreeWithTheirTwins) {
  const double tolerance = sizeof(TypeParam) == 2 ? 4e-3 : 1e-5;
  for (bool pool : {false, true})
    for (bool normalise : {false, true}) {
      const NormRun<TypeParam> twin(Isa::kPortable, pool, normalise), best(best_isa(), pool, normalise);
      const size_t outputs = twin.kCount / (pool ? 4 : 1);
      EXPECT_LT(relative_difference(twin.out.data(), best.out.data(), outputs), tolerance);
      EXPECT_LT(relative_difference(twin.y.data(), best.y.data(), twin.kCount), tolerance);
      EXPECT_LT(relative_difference(twin.beta.g.data(), best.beta.g.data(), 32), 1e-4);
      EXPECT_LT(relative_difference(twin.gamma.g.data(), best.gamma.g.data(), 32), 1e-4);
      EXPECT_LT(relative_difference(twin.running_mean.data(), best.running_mean.data(), 32), 1e-5);
      if (pool && !normalise) {
        EXPECT_EQ(std::memcmp(twin.index.data(), best.index.data(), outputs), 0);
      }
    }
}

TYPED_TEST(KernelTest, AdamAndTheCopiesAgreeWithTheirTwins) {
  const size_t count = 3 * 256;
  const AdamStep step{1e-2F, 1.5F};
  auto run = [&](Isa isa, Param& w, Buffer<TypeParam>& fwd, Buffer<TypeParam>& bwd) {
    w = Param(count);
    const Buffer<float> p = random_values<float>(count, 5), g = random_values<float>(count, 6);
    std::copy_n(p.data(), count, w.p.data());
    std::copy_n(g.data(), count, w.g.data());
    fwd = Buffer<TypeParam>(count), bwd = Buffer<TypeParam>(count);
    kernels_of<TypeParam>(isa).adam_publish(w.p.data(), w.m.data(), w.v.data(), w.g.data(), fwd.data(),
                                            bwd.data(), 0, 3, &step);
  };
  Param twin, best;
  Buffer<TypeParam> twin_fwd, twin_bwd, best_fwd, best_bwd;
  run(Isa::kPortable, twin, twin_fwd, twin_bwd);
  run(best_isa(), best, best_fwd, best_bwd);
  EXPECT_LT(relative_difference(twin.p.data(), best.p.data(), count), 1e-6);
  EXPECT_LT(relative_difference(twin_bwd.data(), best_bwd.data(), count), 5e-4);
  EXPECT_LT(relative_difference(twin_fwd.data(), best_fwd.data(), count), 5e-4);
}

template <class T>
PackSpace space_of(const BlockPlan& plan, int batch) {
  const auto needed = Conv<T>::space_for(plan, batch);
  return {Buffer<uint32_t>(needed.x), Buffer<uint32_t>(needed.dy)};
}

// What a convolution gives in each direction, for one choice of algorithm.
template <class T>
struct Passes {
  Buffer<T> y, dx;
  std::vector<float> dw;

  Passes(const BlockPlan& plan, int batch, Isa isa) {
    const size_t positions = static_cast<size_t>(plan.in_size) * plan.in_size;
    const Buffer<T> dy = random_values<T>(batch * plan.padded_out * positions, 4, 0.7F);
    Buffer<T> x = random_values<T>(batch * plan.padded_in * positions, 3, 0.7F);
    const Buffer<float> weights = random_values<float>(plan.weights(), 5, 0.1F);
    y = Buffer<T>(dy.size()), dx = Buffer<T>(x.size());
    PackSpace space = space_of<T>(plan, batch);
    Conv<T> conv(plan, batch, kernels_of<T>(isa), space, x.data(), y.data(), dx.data());
    std::copy_n(weights.data(), weights.size(), conv.weights().p.data());
    conv.update(nullptr);
    conv.forward(Mode::kTraining);
    Buffer<T> output(y.size());
    std::copy_n(y.data(), y.size(), output.data());
    std::copy_n(dy.data(), dy.size(), y.data());
    conv.backward_data();
    conv.backward_weights();
    dw.assign(conv.weights().g.data(), conv.weights().g.data() + plan.weights());
    y = std::move(output);
  }
};

template <class T>
void expect_agreement(BlockPlan plan, int batch, bool BlockPlan::* own, double tolerance) {
  const Passes<T> library(plan, batch, best_isa());
  plan.*own = true;
  for (Isa isa : {Isa::kPortable, Isa::kAvx512, Isa::kAvx512Bf16, Isa::kAmx}) {
    if (isa > best_isa()) break;
    const Passes<T> ours(plan, batch, isa);
    const std::string what = fmt::format("{} pictures of {}", batch, plan.in_size);
    EXPECT_LT(relative_difference(library.y.data(), ours.y.data(), ours.y.size()), tolerance) << what;
    EXPECT_LT(relative_difference(library.dx.data(), ours.dx.data(), ours.dx.size()), tolerance) << what;
    EXPECT_LT(relative_difference(library.dw.data(), ours.dw.data(), ours.dw.size()), tolerance) << what;
  }
}

TYPED_TEST(KernelTest, WinogradAgreesWithTheDirectConvolution) {
  if (sizeof(TypeParam) == 2 && best_isa() < Isa::kAvx512)
    GTEST_SKIP() << "no bf16 convolution on this processor";
  // bf16: operands are rounded once more.
  const double tolerance = sizeof(TypeParam) == 2 ? 2e-2 : 5e-6;
  for (auto [size, batch] : {std::pair{4, 2}, {4, 70}, {4, 7}, {8, 17}, {16, 5}, {32, 2}})
    expect_agreement<TypeParam>({"conv", "norm", 64, 96, 64, 96, 3, 1, size, size}, batch,
                                &BlockPlan::winograd, tolerance);
}

TYPED_TEST(KernelTest, TinyConvolutionsAgreeWithTheLibrary) {
  if (sizeof(TypeParam) == 2 && best_isa() < Isa::kAvx512)
    GTEST_SKIP() << "no bf16 convolution on this processor";
  for (int batch : {16, 8, 13, 3, 300})
    expect_agreement<TypeParam>({"conv", "norm", 96, 64, 96, 64, 3, 1, 2, 2}, batch, &BlockPlan::tiny,
                                sizeof(TypeParam) == 2 ? 2e-3 : 1e-5);
}

TYPED_TEST(KernelTest, WinogradUpdatesTheMasterAsTheDirectConvolutionDoes) {
  const AdamStep step{1e-2F, 1.5F};
  BlockPlan plan{"conv", "norm", 64, 32, 64, 32, 3, 1, 4, 4};
  Buffer<TypeParam> x(2 * 64 * 16), y(2 * 32 * 16), dx(x.size());
  auto updated = [&](bool winograd) {
    plan.winograd = winograd;
    PackSpace space = space_of<TypeParam>(plan, 2);
    Conv<TypeParam> conv(plan, 2, kernels_of<TypeParam>(best_isa()), space, x.data(), y.data(), dx.data());
    const Buffer<float> p = random_values<float>(plan.weights(), 5),
                        g = random_values<float>(plan.weights(), 6);
    std::copy_n(p.data(), p.size(), conv.weights().p.data());
    std::copy_n(g.data(), g.size(), conv.weights().g.data());
    conv.update(&step);
    return std::vector<float>(conv.weights().p.data(), conv.weights().p.data() + p.size());
  };
  if (sizeof(TypeParam) == 2 && best_isa() < Isa::kAvx512)
    GTEST_SKIP() << "no bf16 convolution on this processor";
  const std::vector<float> direct = updated(false), own = updated(true);
  EXPECT_LT(relative_difference(direct.data(), own.data(), direct.size()), 1e-6);
}

}  // namespace
}  // namespace tidemill::nn
