// The loop over a trainer that learns or dies as the test says: the schedule, order, reports, alarms and
// resuming.
#include "nn/fit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <set>

namespace tidemill::nn {
namespace {

using testing::HasSubstr;

// Does what it is told in place of a net.
class ScriptedTrainer : public Trainer {
 public:
  explicit ScriptedTrainer(int batch) {
    config_.net = make_net(ModelType::kSimple, 10).value();
    config_.batch_size = batch;
  }
  StepResult train_step(const Dataset&, std::span<const uint32_t> indices, float rate) override {
    seen.emplace_back(indices.begin(), indices.end());
    rates.push_back(rate);
    ++step_;
    return {loss, 1};
  }
  Evaluation evaluate(const Dataset& data) override {
    ++evaluations;
    Evaluation e;
    e.total = data.size();
    return e;
  }
  std::vector<float> logits(const Dataset&) override { return {}; }
  double active_fraction() const override { return active; }
  std::vector<NamedTensor> state_dict() const override { return {}; }
  Result<> load_state_dict(std::span<const NamedTensor>) override { return {}; }
  TrainerState state() const override { return {step_, 1, {}}; }
  Result<> set_state(const TrainerState& state) override {
    step_ = state.step;
    return {};
  }
  uint64_t step() const override { return step_; }
  Precision precision() const override { return Precision::kF32; }
  int threads() const override { return 1; }
  const TrainerConfig& config() const override { return config_; }
  std::vector<PieceTime> piece_times() const override { return {}; }

  double loss = 1, active = 0.5;
  int evaluations = 0;
  std::vector<std::vector<uint32_t>> seen;
  std::vector<float> rates;

 private:
  TrainerConfig config_;
  uint64_t step_ = 0;
};

struct Images {
  explicit Images(size_t count) : pixels(count * 3072), labels(count) {}
  Dataset set() const { return {pixels, labels}; }
  std::vector<uint8_t> pixels, labels;
};

TEST(Fit, EachEpochVisitsEveryImageAtMostOnceInAnotherOrder) {
  ScriptedTrainer trainer(4);
  const Images train(10), test(3);
  ASSERT_TRUE(fit(trainer, train.set(), test.set(), {.epochs = 2}));
  ASSERT_EQ(trainer.seen.size(), 4U);  // two steps an epoch: the incomplete batch is left out
  for (int epoch = 0; epoch < 2; ++epoch) {
    std::set<uint32_t> images;
    for (int s = 0; s < 2; ++s)
      images.insert(trainer.seen[epoch * 2 + s].begin(), trainer.seen[epoch * 2 + s].end());
    EXPECT_EQ(images.size(), 8U);
    EXPECT_LT(*images.rbegin(), 10U);
  }
  EXPECT_NE(trainer.seen[0], trainer.seen[2]);
  EXPECT_EQ(trainer.evaluations, 2);
}

TEST(Fit, ContinuesInTheMiddleOfAnEpochWithTheSameBatchesAndRates) {
  const Images train(40), test(1);
  ScriptedTrainer whole(4), second(4);
  ASSERT_TRUE(fit(whole, train.set(), test.set(), {.epochs = 2}));
  ASSERT_TRUE(second.set_state({7, 1, {}}));
  const auto result = fit(second, train.set(), test.set(), {.epochs = 2});
  ASSERT_TRUE(result);
  EXPECT_EQ(result->steps, 13U);
  EXPECT_EQ(second.seen, std::vector(whole.seen.begin() + 7, whole.seen.end()));
  EXPECT_EQ(second.rates, std::vector(whole.rates.begin() + 7, whole.rates.end()));
}

TEST(Fit, AFinishedTrainerIsOnlyEvaluated) {
  const Images train(8), test(1);
  ScriptedTrainer trainer(4);
  ASSERT_TRUE(trainer.set_state({2, 1, {}}));
  const auto result = fit(trainer, train.set(), test.set(), {});
  ASSERT_TRUE(result);
  EXPECT_EQ(result->steps, 0U);
  EXPECT_EQ(trainer.evaluations, 1);
}

TEST(Fit, SchedulesRiseAndFallAsDescribed) {
  EXPECT_FLOAT_EQ(learning_rate_at(Schedule::kOneCycle, 1, 0, 100), 0);
  EXPECT_FLOAT_EQ(learning_rate_at(Schedule::kOneCycle, 1, 10, 100), 0.5F);
  EXPECT_FLOAT_EQ(learning_rate_at(Schedule::kOneCycle, 1, 20, 100), 1);
  EXPECT_FLOAT_EQ(learning_rate_at(Schedule::kOneCycle, 1, 60, 100), 0.5F);
  EXPECT_FLOAT_EQ(learning_rate_at(Schedule::kOneCycle, 1, 100, 100), 0);
  EXPECT_FLOAT_EQ(learning_rate_at(Schedule::kWarmup, 2, 249, 100), 1);
  EXPECT_FLOAT_EQ(learning_rate_at(Schedule::kWarmup, 2, 5000, 100), 2);
  EXPECT_FLOAT_EQ(learning_rate_at(Schedule::kConstant, 3, 7, 100), 3);
  for (Schedule s : {Schedule::kOneCycle, Schedule::kWarmup, Schedule::kConstant})
    EXPECT_EQ(parse_schedule(to_string(s)).value(), s);
  EXPECT_THAT(parse_schedule("cosine").error().message, HasSubstr("one-cycle"));
}

TEST(Fit, ReportsEveryIntervalAndTheRestAtTheEndOfAnEpoch) {
  const Images train(10), test(1);
  ScriptedTrainer trainer(2);
  std::vector<uint64_t> at;
  std::vector<uint64_t> epochs;
  FitCallbacks callbacks;
  callbacks.on_interval = [&](const IntervalReport& r) {
    at.push_back(r.step);
    EXPECT_EQ(r.total_steps, 10U);
    EXPECT_DOUBLE_EQ(r.loss, 1);
    EXPECT_DOUBLE_EQ(r.accuracy, 0.5);
  };
  callbacks.on_epoch = [&](const EpochReport& r) -> Result<> {
    epochs.push_back(r.step);
    return {};
  };
  ASSERT_TRUE(fit(trainer, train.set(), test.set(), {.epochs = 2, .interval_steps = 3}, callbacks));
  EXPECT_THAT(at, testing::ElementsAre(3, 5, 6, 9, 10));
  EXPECT_THAT(epochs, testing::ElementsAre(5, 10));
}

TEST(Fit, StopsAtOnceWhenCancelledOrWhenACallbackFails) {
  const Images train(400), test(1);
  ScriptedTrainer trainer(2);
  std::atomic<bool> cancelled = false;
  FitCallbacks callbacks;
  callbacks.cancelled = &cancelled;
  callbacks.on_interval = [&](const IntervalReport&) { cancelled = true; };
  auto result = fit(trainer, train.set(), test.set(), {.interval_steps = 5}, callbacks);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Code::kCancelled);
  EXPECT_EQ(trainer.step(), 5U);

  callbacks = {};
  callbacks.on_epoch = [](const EpochReport&) -> Result<> {
    return fail(Code::kUnavailable, "the disk is full");
  };
  result = fit(trainer, train.set(), test.set(), {.epochs = 3}, callbacks);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().message, "the disk is full");
  EXPECT_EQ(trainer.step(), 200U);
}

TEST(Fit, ADeadHiddenLayerStopsTheTraining) {
  const Images train(2000), test(1);
  ScriptedTrainer trainer(2);
  trainer.active = 0.005;
  const auto result = fit(trainer, train.set(), test.set(), {});
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Code::kInvalid);
  EXPECT_THAT(result.error().message, HasSubstr("collapsed"));
  EXPECT_EQ(trainer.step(), 100U);
}

TEST(Fit, ALossThatStaysAtGuessingStopsTheTraining) {
  const Images train(2000), test(1);
  ScriptedTrainer trainer(2);
  trainer.loss = std::log(10) + 0.003;
  const auto result = fit(trainer, train.set(), test.set(), {});
  ASSERT_FALSE(result);
  EXPECT_THAT(result.error().message, HasSubstr("2.3026"));
  EXPECT_EQ(trainer.step(), 200U);
}

TEST(Fit, ALossThatIsNoNumberStopsTheTraining) {
  const Images train(20), test(1);
  ScriptedTrainer trainer(2);
  trainer.loss = std::numeric_limits<double>::quiet_NaN();
  const auto result = fit(trainer, train.set(), test.set(), {});
  ASSERT_FALSE(result);
  EXPECT_THAT(result.error().message, HasSubstr("step 1"));
}

TEST(Fit, RefusesDataAndSettingsThatCannotWork) {
  ScriptedTrainer trainer(4);
  const Images good(8), small(3), none(0);
  Images wrong_label(8), wrong_size(8);
  wrong_label.labels[5] = 10;
  wrong_size.pixels.pop_back();
  auto message = [&](const Images& train, const Images& test, const FitConfig& config = {}) {
    const auto result = fit(trainer, train.set(), test.set(), config);
    return result ? std::string("accepted") : result.error().message;
  };
  EXPECT_THAT(message(small, good), HasSubstr("smaller batch size"));
  EXPECT_THAT(message(good, none), HasSubstr("test set is empty"));
  EXPECT_THAT(message(wrong_label, good), HasSubstr("image 5 of the training set has the label 10"));
  EXPECT_THAT(message(good, wrong_size), HasSubstr("test set"));
  EXPECT_THAT(message(good, good, {.epochs = 0}), HasSubstr("epochs"));
  EXPECT_THAT(message(good, good, {.learning_rate = -1}), HasSubstr("learning rate"));
  EXPECT_THAT(message(good, good, {.interval_steps = 0}), HasSubstr("interval"));
  EXPECT_EQ(trainer.step(), 0U);
}

}  // namespace
}  // namespace tidemill::nn
