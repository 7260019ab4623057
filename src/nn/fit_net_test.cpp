// Whole trainings of real nets on made-up pictures: learning, dying, stopping and going on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "nn/checkpoint.h"
#include "nn/fit.h"

namespace tidemill::nn {
namespace {

using testing::HasSubstr;

// Noise over a gradient whose direction and colour say the class.
struct Pictures {
  explicit Pictures(size_t count, uint32_t seed) : images(count * 3072), labels(count) {
    std::mt19937 draw(seed);
    for (size_t n = 0; n < count; ++n) {
      labels[n] = static_cast<uint8_t>(draw() % 10);
      const int tint = labels[n] % 3, slope_x = labels[n] / 3 - 1, slope_y = labels[n] % 4 - 1;
      for (int i = 0; i < 3072; ++i) {
        const int channel = i / 1024, y = i / 32 % 32, x = i % 32;
        const int level = 100 + 2 * slope_x * (x - 16) + 2 * slope_y * (y - 16) + (channel == tint ? 30 : 0);
        images[n * 3072 + i] = static_cast<uint8_t>(level + static_cast<int>(draw() % 60) - 30);
      }
    }
  }
  Dataset set() const { return {images, labels}; }
  std::vector<uint8_t> images, labels;
};

std::unique_ptr<Trainer> make(ModelType type, int batch, Precision precision = Precision::kAuto,
                              float dropout = 0) {
  TrainerConfig config;
  config.net = make_net(type, 10).value();
  config.batch_size = batch;
  config.precision = precision;
  config.dropout = dropout;
  auto trainer = Trainer::create(config);
  EXPECT_TRUE(trainer) << trainer.error().message;
  return std::move(*trainer);
}

void expect_same(const TrainerState& a, const TrainerState& b) {
  EXPECT_EQ(a.step, b.step);
  ASSERT_EQ(a.tensors.size(), b.tensors.size());
  for (size_t i = 0; i < a.tensors.size(); ++i)
    EXPECT_EQ(a.tensors[i].values, b.tensors[i].values) << a.tensors[i].name;
}

TEST(FitNet, TheSimpleNetLearnsWhatCanBeLearnt) {
  const Pictures train(640, 1), test(200, 2);
  const auto trainer = make(ModelType::kSimple, 32);
  const auto result = fit(*trainer, train.set(), test.set(), {.epochs = 6, .learning_rate = 3e-3F});
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_GT(result->test.accuracy, 0.9);
  EXPECT_EQ(result->test.total, 200U);
  EXPECT_EQ(result->test.predictions.size(), 200U);
}

// Full rate from the first step and dropout on both sides of the layer of 32 units kill it.
TEST(FitNet, TheAlarmNoticesANetThatDied) {
  const Pictures train(3000, 1), test(10, 2);
  const auto trainer = make(ModelType::kVgg11, 8, Precision::kAuto, 0.5F);
  const auto result =
      fit(*trainer, train.set(), test.set(), {.schedule = Schedule::kConstant, .learning_rate = 3e-2F});
  ASSERT_FALSE(result);
  EXPECT_THAT(result.error().message, HasSubstr("collapsed"));
  EXPECT_LE(trainer->step(), 300U);
}

TEST(FitNet, ATrainingContinuedFromItsCheckpointEndsWithTheSameBits) {
  const TempDir dir = TempDir::create().value();
  const fs::path path = dir.path() / "checkpoint";
  const Pictures train(96, 1), test(20, 2);
  const FitConfig config = {.epochs = 3};

  const auto whole = make(ModelType::kSimple, 16, Precision::kF32);
  ASSERT_TRUE(fit(*whole, train.set(), test.set(), config));

  const auto stopped = make(ModelType::kSimple, 16, Precision::kF32);
  FitCallbacks callbacks;
  callbacks.on_epoch = [&](const EpochReport& report) -> Result<> {
    TRY(write_checkpoint({stopped->state(), {{"epoch", fmt::format("{}", report.epoch)}}}, path));
    return fail(Code::kCancelled, "stop here");
  };
  ASSERT_FALSE(fit(*stopped, train.set(), test.set(), config, callbacks));

  const auto read = read_checkpoint(path);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->state.step, 6U);
  const auto continued = make(ModelType::kSimple, 16, Precision::kF32);
  ASSERT_TRUE(continued->set_state(read->state));
  ASSERT_TRUE(fit(*continued, train.set(), test.set(), config));
  expect_same(whole->state(), continued->state());
}

TEST(FitNet, AnExportedNetAnswersAsTheOneThatWasTrained) {
  const Pictures train(32, 1), test(11, 2);
  const auto trained = make(ModelType::kVgg11, 8, Precision::kF32);
  ASSERT_TRUE(fit(*trained, train.set(), test.set(), {.epochs = 1}));
  std::vector<NamedTensor> tensors = trained->state_dict();
  const auto loaded = make(ModelType::kVgg11, 8, Precision::kF32);
  EXPECT_NE(loaded->logits(test.set()), trained->logits(test.set()));
  ASSERT_TRUE(loaded->load_state_dict(tensors));
  EXPECT_EQ(loaded->logits(test.set()), trained->logits(test.set()));
  EXPECT_EQ(loaded->evaluate(test.set()).loss, trained->evaluate(test.set()).loss);

  // A convolution's bias moves what is normalised, not the result, once the running mean moves with it.
  for (NamedTensor& tensor : tensors) {
    if (tensor.name != "features.0.bias" && tensor.name != "features.1.running_mean") continue;
    for (float& value : tensor.values) value += 0.25F;
  }
  ASSERT_TRUE(loaded->load_state_dict(tensors));
  const std::vector<float> expected = trained->logits(test.set()), found = loaded->logits(test.set());
  ASSERT_EQ(expected.size(), 110U);
  for (size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(found[i], expected[i], 1e-3) << i;
}

}  // namespace
}  // namespace tidemill::nn
