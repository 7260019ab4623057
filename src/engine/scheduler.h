// Which step may start: the graph of a plan while it runs. Pure bookkeeping, a constant amount of work for
// each edge of the graph.
#pragma once

#include <optional>
#include <queue>
#include <string>
#include <vector>

#include "engine/events.h"
#include "pipeline/plan.h"

namespace tidemill::engine {

class Scheduler {
 public:
  Scheduler(const pipeline::Plan& plan, size_t most_parallel);

  // The steps of a phase may start from now on; at first those of the main phase. Ends winding down.
  void open(config::Phase phase);
  // Steps whose needs are met and that have not been returned before, in the plan's order. Each is to be
  // settled or enqueued.
  std::vector<size_t> take_ready();
  // Steps that cannot run any more, because what they need has not succeeded. Each is to be settled as
  // skipped.
  std::vector<size_t> take_blocked();
  // The step is to run when there is room for it.
  void enqueue(size_t step);
  // The next step to run; it counts as running from now on.
  std::optional<size_t> next();
  // It runs already: a process that has been taken over. Counts even where there is no room.
  void begin(size_t step);
  // It waits again, outside the queue.
  void put_back(size_t step);
  // It has ended: finished or reused steps make way for those that need them.
  void settle(size_t step, StepState state);
  // Nothing starts any more but steps that ask how another has ended.
  void wind_down();
  // Nothing starts any more.
  void halt() { mode_ = Mode::kHalted; }
  // Whether anything is kept from starting, and whether this step is.
  bool ending() const { return mode_ != Mode::kRunning; }
  bool is_open_to(size_t step) const;

  StepState state(size_t step) const { return states_[step]; }
  size_t running() const { return running_; }
  // Which of its needs keeps a step from running; "" when none does.
  std::string skip_reason(size_t step) const;

 private:
  enum class Mode { kRunning, kWindingDown, kHalted };
  bool may_start(size_t step) const;

  const pipeline::Plan& plan_;
  size_t most_parallel_;
  std::vector<StepState> states_;
  std::vector<size_t> open_needs_;               // of each step: how many of its needs have not ended
  std::vector<bool> hopeless_;                   // whether one of them has ended badly
  std::vector<std::vector<size_t>> dependents_;  // of each step
  std::vector<size_t> ready_, blocked_;
  std::priority_queue<size_t, std::vector<size_t>, std::greater<>> queue_;
  size_t running_ = 0;
  Mode mode_ = Mode::kRunning;
  config::Phase phase_ = config::Phase::kMain;
};

}  // namespace tidemill::engine
