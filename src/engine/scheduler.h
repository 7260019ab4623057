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

  // Steps whose needs are met and that have not been returned before, in the plan's order. Each is to be
  // settled or enqueued.
  std::vector<size_t> take_ready();
  // The step is to run when there is room for it.
  void enqueue(size_t step) { queue_.push(step); }
  // The next step to run; it counts as running from now on.
  std::optional<size_t> next();
  // It waits again, outside the queue.
  void put_back(size_t step);
  // It has ended: finished or reused steps make way for those that need them.
  void settle(size_t step, StepState state);
  // Nothing starts any more.
  void halt() { halted_ = true; }
  bool halted() const { return halted_; }

  StepState state(size_t step) const { return states_[step]; }
  size_t running() const { return running_; }
  // Why a step that is still waiting will not run.
  std::string skip_reason(size_t step) const;

 private:
  const pipeline::Plan& plan_;
  size_t most_parallel_;
  std::vector<StepState> states_;
  std::vector<size_t> open_needs_;               // of each step: how many of its needs are not met
  std::vector<std::vector<size_t>> dependents_;  // of each step
  std::vector<size_t> ready_;
  std::priority_queue<size_t, std::vector<size_t>, std::greater<>> queue_;
  size_t running_ = 0;
  bool halted_ = false;
};

}  // namespace tidemill::engine
