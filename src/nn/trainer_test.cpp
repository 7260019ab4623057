#include "nn/trainer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace tidemill::nn {
namespace {

struct Pictures {
  std::vector<uint8_t> images, labels;
  explicit Pictures(size_t count) : images(count * 3072), labels(count) {
    std::mt19937 draw(7);
    for (size_t n = 0; n < count; ++n) {
      labels[n] = draw() % 10;
      for (size_t i = 0; i < 3072; ++i)
        images[n * 3072 + i] = static_cast<uint8_t>(draw() % 150 + labels[n] * 10);
    }
  }
  Dataset data() const { return {images, labels}; }
};

std::unique_ptr<Trainer> make(ModelType type, Precision precision, int batch = 8,
                              KernelPath path = KernelPath::kBest) {
  TrainerConfig config;
  config.net = *make_net(type, 10);
  config.batch_size = batch;
  config.precision = precision;
  config.kernels = path;
  auto trainer = Trainer::create(config);
  EXPECT_TRUE(trainer) << trainer.error().message;
  return std::move(*trainer);
}

std::vector<uint32_t> batch_of(int size, uint32_t first = 0) {
  std::vector<uint32_t> indices(size);
  for (int i = 0; i < size; ++i) indices[i] = first + i;
  return indices;
}

NamedTensor& tensor(std::vector<NamedTensor>& tensors, const std::string& name) {
  for (NamedTensor& t : tensors)
    if (t.name == name) return t;
  ADD_FAILURE() << name;
  return tensors.front();
}

// After one step from zero moments m is a tenth of the gradient; a rate of 0 leaves the weights.
void check_gradient(ModelType type, KernelPath path, const std::vector<std::string>& names) {
  const Pictures pictures(8);
  const auto trainer = make(type, Precision::kF32, 8, path);
  const std::vector<NamedTensor> start = trainer->state_dict();
  trainer->train_step(pictures.data(), batch_of(8), 0);
  std::vector<NamedTensor> after = trainer->state().tensors;
  for (const std::string& name : names) {
    const std::vector<float>& m = tensor(after, "adam.m." + name).values;
    size_t at = 0;
    for (size_t i = 0; i < m.size(); ++i)
      if (std::abs(m[i]) > std::abs(m[at])) at = i;
    double loss[2];
    constexpr float kStep = 2e-3F;
    for (int side : {0, 1}) {
      std::vector<NamedTensor> moved = start;
      tensor(moved, name).values[at] += side ? kStep : -kStep;
      ASSERT_TRUE(trainer->load_state_dict(moved));
      loss[side] = trainer->train_step(pictures.data(), batch_of(8), 0).loss;
    }
    const double numeric = (loss[1] - loss[0]) / (2 * kStep), analytic = 10.0 * m[at];
    EXPECT_NEAR(numeric, analytic, 0.1 * std::abs(analytic) + 2e-3) << name;
  }
}

TEST(TrainerTest, GradientsMatchDifferencesOfTheLoss) {
  check_gradient(ModelType::kVgg11, KernelPath::kBest,
                 {"features.0.weight", "features.9.weight", "features.26.bias"});
  check_gradient(ModelType::kVgg11, KernelPath::kPortable, {"features.19.weight"});
  for (KernelPath path : {KernelPath::kBest, KernelPath::kPortable})
    check_gradient(ModelType::kSimple, path,
                   {"features.0.weight", "features.0.bias", "features.3.weight", "classifier.0.weight"});
}

TEST(TrainerTest, Bf16FollowsF32) {
  const Pictures pictures(64);
  auto bf16 = make(ModelType::kVgg11, Precision::kAuto, 16),
       f32 = make(ModelType::kVgg11, Precision::kF32, 16);
  if (bf16->precision() != Precision::kBf16) GTEST_SKIP() << "this processor does not multiply bf16";
  for (int s = 0; s < 3; ++s) {
    const auto indices = batch_of(16, 16 * s);
    const double a = bf16->train_step(pictures.data(), indices, 1e-5F).loss;
    EXPECT_NEAR(a, f32->train_step(pictures.data(), indices, 1e-5F).loss, 0.15);
  }
}

TEST(TrainerTest, ContinuesBitIdenticallyInF32) {
  const Pictures pictures(33);
  auto straight = make(ModelType::kSimple, Precision::kF32, 11),
       resumed = make(ModelType::kSimple, Precision::kF32, 11);
  straight->train_step(pictures.data(), batch_of(11), 1e-3F);
  ASSERT_TRUE(resumed->set_state(straight->state()));
  for (int s = 1; s < 3; ++s)
    for (auto* t : {&straight, &resumed}) (*t)->train_step(pictures.data(), batch_of(11, 11 * s), 1e-3F);
  const TrainerState a = straight->state(), b = resumed->state();
  for (size_t i = 0; i < a.tensors.size(); ++i)
    EXPECT_EQ(a.tensors[i].values, b.tensors[i].values) << a.tensors[i].name;
}

TEST(TrainerTest, EvaluatesAnIncompleteLastBatch) {
  const Pictures pictures(21);
  auto eights = make(ModelType::kSimple, Precision::kF32, 8),
       whole = make(ModelType::kSimple, Precision::kF32, 21);
  const Evaluation a = eights->evaluate(pictures.data()), b = whole->evaluate(pictures.data());
  EXPECT_EQ(a.total, 21U);
  EXPECT_EQ(a.predictions, b.predictions);
  EXPECT_NEAR(a.loss, b.loss, 1e-4);
}

TEST(TrainerTest, NamesTheMissingTensor) {
  auto trainer = make(ModelType::kSimple, Precision::kF32);
  auto tensors = trainer->state_dict();
  tensors.erase(tensors.begin());
  const auto loaded = trainer->load_state_dict(tensors);
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().message, "tensor 'features.0.weight' is missing");
}

}  // namespace
}  // namespace tidemill::nn
