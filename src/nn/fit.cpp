#include "nn/fit.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <numeric>
#include <random>

namespace tidemill::nn {
namespace {

constexpr std::array<std::string_view, 3> kScheduleNames = {"one-cycle", "warmup", "constant"};
constexpr uint64_t kWarmupSteps = 500;
constexpr double kRisingShare = 0.2;

constexpr double kDeadFraction = 0.01;
constexpr int kDeadSteps = 100;
constexpr double kGuessingBand = 0.01;
constexpr int kGuessingSteps = 200;

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Written out, so that the order is the same with every standard library.
std::vector<uint32_t> shuffled(size_t count, uint64_t seed, uint64_t epoch) {
  std::vector<uint32_t> order(count);
  std::iota(order.begin(), order.end(), 0U);
  std::mt19937_64 random(seed * 0x9E3779B97F4A7C15ULL + epoch);
  for (size_t i = count; i > 1; --i) std::swap(order[i - 1], order[random() % i]);
  return order;
}

struct Sums {
  double loss = 0;
  uint64_t correct = 0, steps = 0;

  void add(const StepResult& step) {
    loss += step.loss;
    correct += static_cast<uint64_t>(step.correct);
    ++steps;
  }
  double mean_loss() const { return steps ? loss / static_cast<double>(steps) : 0; }
  double accuracy(int batch) const {
    return steps ? static_cast<double>(correct) / (static_cast<double>(steps) * batch) : 0;
  }
};

// Notices a net that has stopped learning for good: the narrow layer before the last is silent, or the answer
// is a guess.
class CollapseAlarm {
 public:
  explicit CollapseAlarm(int classes) : guessing_loss_(std::log(classes)) {}

  Result<> check(double loss, double active_fraction, uint64_t step) {
    if (!std::isfinite(loss))
      return fail(Code::kInvalid, "the loss is not a finite number at step {}: lower the learning rate",
                  step);
    dead_ = active_fraction < kDeadFraction ? dead_ + 1 : 0;
    guessing_ = std::abs(loss - guessing_loss_) < kGuessingBand ? guessing_ + 1 : 0;
    if (dead_ >= kDeadSteps)
      return fail(Code::kInvalid,
                  "the net has collapsed: at step {} less than 1 % of the last hidden layer's units have "
                  "been active for {} "
                  "steps. Use schedule one-cycle or warmup, a lower learning rate, or less dropout",
                  step, kDeadSteps);
    if (guessing_ >= kGuessingSteps)
      return fail(Code::kInvalid,
                  "the net has collapsed: at step {} the loss has stood at {:.4f}, that of guessing, for {} "
                  "steps. Use "
                  "schedule one-cycle or warmup, a lower learning rate, or less dropout",
                  step, guessing_loss_, kGuessingSteps);
    return {};
  }

 private:
  double guessing_loss_;
  int dead_ = 0, guessing_ = 0;
};

Result<> check_data(const Dataset& data, std::string_view what, int classes) {
  constexpr size_t kImageBytes = size_t{NetSpec::kChannels} * NetSpec::kImageSize * NetSpec::kImageSize;
  if (data.images.size() != data.labels.size() * kImageBytes)
    return fail(Code::kInvalid, "the {} set has {} labels and {} bytes of images, not {} an image", what,
                data.labels.size(), data.images.size(), kImageBytes);
  for (size_t i = 0; i < data.labels.size(); ++i)
    if (data.labels[i] >= classes)
      return fail(Code::kInvalid, "image {} of the {} set has the label {}; the net has {} classes", i, what,
                  data.labels[i], classes);
  return {};
}

// One call of fit().
class Loop {
 public:
  Loop(Trainer& trainer, const Dataset& train, const Dataset& test, const FitConfig& config,
       const FitCallbacks& callbacks)
      : trainer_(trainer),
        train_(train),
        test_(test),
        config_(config),
        callbacks_(callbacks),
        batch_(trainer.config().batch_size),
        steps_per_epoch_(train.size() / static_cast<size_t>(batch_)),
        total_(steps_per_epoch_ * static_cast<uint64_t>(config.epochs)),
        alarm_(trainer.config().net.classes) {}

  Result<FitResult> run() {
    const uint64_t before = trainer_.step();
    bool evaluated = false;
    while (trainer_.step() < total_) {
      TRY(run_epoch(trainer_.step() / steps_per_epoch_));
      evaluated = true;
    }
    if (!evaluated) result_.test = trainer_.evaluate(test_);
    result_.steps = trainer_.step() - before;
    return result_;
  }

 private:
  Result<> run_epoch(uint64_t epoch) {
    const std::vector<uint32_t> order = shuffled(train_.size(), trainer_.config().seed, epoch);
    const auto start = Clock::now();
    Sums sums, interval;
    auto interval_start = start;
    for (uint64_t s = trainer_.step() - epoch * steps_per_epoch_; s < steps_per_epoch_; ++s) {
      if (callbacks_.cancelled && callbacks_.cancelled->load(std::memory_order_relaxed))
        return fail(Code::kCancelled, "training was cancelled at step {} of {}", trainer_.step(), total_);
      const float rate = learning_rate_at(config_.schedule, config_.learning_rate, trainer_.step(), total_);
      const auto batch =
          std::span(order).subspan(s * static_cast<size_t>(batch_), static_cast<size_t>(batch_));
      const StepResult step = trainer_.train_step(train_, batch, rate);
      sums.add(step);
      interval.add(step);
      TRY(alarm_.check(step.loss, trainer_.active_fraction(), trainer_.step()));
      const bool due = trainer_.step() % static_cast<uint64_t>(config_.interval_steps) == 0;
      if (due || s + 1 == steps_per_epoch_) {
        report_interval(interval, static_cast<int>(epoch), rate, seconds_since(interval_start));
        interval = {};
        interval_start = Clock::now();
      }
    }
    return end_epoch(sums, static_cast<int>(epoch), seconds_since(start));
  }

  void report_interval(const Sums& sums, int epoch, float rate, double seconds) const {
    if (!callbacks_.on_interval) return;
    const double images = static_cast<double>(sums.steps) * batch_;
    callbacks_.on_interval({trainer_.step(), total_, epoch, sums.mean_loss(), sums.accuracy(batch_),
                            seconds > 0 ? images / seconds : 0, trainer_.active_fraction(), rate});
  }

  Result<> end_epoch(const Sums& sums, int epoch, double seconds) {
    result_.seconds += seconds;
    result_.test = trainer_.evaluate(test_);
    if (!callbacks_.on_epoch) return {};
    return callbacks_.on_epoch(
        {epoch, trainer_.step(), sums.mean_loss(), sums.accuracy(batch_), seconds, result_.test});
  }

  Trainer& trainer_;
  const Dataset &train_, &test_;
  const FitConfig& config_;
  const FitCallbacks& callbacks_;
  int batch_;
  uint64_t steps_per_epoch_, total_;
  CollapseAlarm alarm_;
  FitResult result_;
};

}  // namespace

std::string_view to_string(Schedule schedule) { return kScheduleNames[static_cast<size_t>(schedule)]; }

Result<Schedule> parse_schedule(std::string_view text) {
  for (size_t i = 0; i < kScheduleNames.size(); ++i)
    if (text == kScheduleNames[i]) return static_cast<Schedule>(i);
  return fail(Code::kInvalid, "unknown schedule '{}': use one-cycle, warmup or constant", text);
}

float learning_rate_at(Schedule schedule, float peak, uint64_t step, uint64_t total_steps) {
  if (schedule == Schedule::kConstant) return peak;
  if (schedule == Schedule::kWarmup)
    return peak * std::min(1.0F, static_cast<float>(step + 1) / static_cast<float>(kWarmupSteps));
  const double x = total_steps ? static_cast<double>(step) / static_cast<double>(total_steps) : 0;
  return peak * static_cast<float>(x < kRisingShare ? x / kRisingShare
                                                    : std::max(0.0, (1 - x) / (1 - kRisingShare)));
}

Result<FitResult> fit(Trainer& trainer, const Dataset& train, const Dataset& test, const FitConfig& config,
                      const FitCallbacks& callbacks) {
  const TrainerConfig& net = trainer.config();
  TRY(check_data(train, "training", net.net.classes));
  TRY(check_data(test, "test", net.net.classes));
  if (train.size() < static_cast<size_t>(net.batch_size))
    return fail(Code::kInvalid,
                "the training set has {} images, less than one batch of {}: use a smaller batch size",
                train.size(), net.batch_size);
  if (test.size() == 0) return fail(Code::kInvalid, "the test set is empty");
  if (config.epochs < 1) return fail(Code::kInvalid, "{} epochs: at least 1 is needed", config.epochs);
  if (config.interval_steps < 1)
    return fail(Code::kInvalid, "an interval of {} steps: at least 1 is needed", config.interval_steps);
  if (!(config.learning_rate > 0) || !std::isfinite(config.learning_rate))
    return fail(Code::kInvalid, "the learning rate is {}: it must be above 0", config.learning_rate);
  return Loop(trainer, train, test, config, callbacks).run();
}

}  // namespace tidemill::nn
