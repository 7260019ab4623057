// The training loop: schedule, shuffles, evaluation after each epoch, the alarm for a dead net, checkpoints.
#pragma once

#include <atomic>
#include <functional>

#include "nn/trainer.h"

namespace tidemill::nn {

enum class Schedule {
  kOneCycle,  // linear to the peak over the first fifth of all steps, then linear to zero
  kWarmup,    // linear to the peak over 500 steps, constant after
  kConstant,
};
std::string_view to_string(Schedule schedule);
Result<Schedule> parse_schedule(std::string_view text);  // one-cycle, warmup, constant

// The learning rate of step 0, 1, .. of total_steps.
float learning_rate_at(Schedule schedule, float peak, uint64_t step, uint64_t total_steps);

struct FitConfig {
  int epochs = 1;
  Schedule schedule = Schedule::kOneCycle;
  float learning_rate = 1e-3F;  // the peak
  int interval_steps = 50;      // how often on_interval is called
};

struct IntervalReport {
  uint64_t step = 0;  // steps done so far, of total_steps
  uint64_t total_steps = 0;
  int epoch = 0;    // from 0
  double loss = 0;  // mean over the interval
  double accuracy = 0;
  double images_per_second = 0;
  double active_fraction = 0;
  float learning_rate = 0;
};

struct EpochReport {
  int epoch = 0;  // from 0
  uint64_t step = 0;
  double loss = 0;  // training, mean over the epoch
  double accuracy = 0;
  double seconds = 0;  // training alone
  Evaluation test;
};

struct FitCallbacks {
  std::function<void(const IntervalReport&)> on_interval;
  // An error stops the training and is returned. A checkpoint is written here: trainer.state().
  std::function<Result<>(const EpochReport&)> on_epoch;
  const std::atomic<bool>* cancelled = nullptr;  // looked at before each step
};

struct FitResult {
  Evaluation test;  // after the last epoch
  double seconds = 0;
  uint64_t steps = 0;
};

// Goes on from trainer.step(), so a trainer whose state was set continues where it stopped. Each epoch has
// floor(images / batch) steps over a fresh shuffle.
// kInvalid: no full batch in train, labels outside the classes. kCancelled: cancelled. kInvalid with an
// explanation: the net has collapsed (active fraction below 1 % for 100 steps, or loss at ln(classes) for
// 200).
Result<FitResult> fit(Trainer& trainer, const Dataset& train, const Dataset& test, const FitConfig& config,
                      const FitCallbacks& callbacks = {});

}  // namespace tidemill::nn
