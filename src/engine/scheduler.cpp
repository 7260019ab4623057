#include "engine/scheduler.h"

#include <algorithm>

namespace tidemill::engine {

Scheduler::Scheduler(const pipeline::Plan& plan, size_t most_parallel)
    : plan_(plan),
      most_parallel_(most_parallel),
      states_(plan.steps.size(), StepState::kWaiting),
      open_needs_(plan.steps.size()),
      dependents_(plan.steps.size()) {
  for (size_t i = 0; i < plan.steps.size(); ++i) {
    open_needs_[i] = plan.steps[i].needs.size();
    for (size_t need : plan.steps[i].needs) dependents_[need].push_back(i);
    if (open_needs_[i] == 0) ready_.push_back(i);
  }
}

std::vector<size_t> Scheduler::take_ready() {
  if (halted_) return {};
  std::sort(ready_.begin(), ready_.end());
  return std::exchange(ready_, {});
}

std::optional<size_t> Scheduler::next() {
  if (halted_ || queue_.empty() || running_ >= most_parallel_) return std::nullopt;
  size_t step = queue_.top();
  queue_.pop();
  states_[step] = StepState::kRunning;
  ++running_;
  return step;
}

void Scheduler::put_back(size_t step) {
  states_[step] = StepState::kWaiting;
  --running_;
}

void Scheduler::settle(size_t step, StepState state) {
  if (states_[step] == StepState::kRunning) --running_;
  states_[step] = state;
  if (!succeeded(state)) return;
  for (size_t dependent : dependents_[step])
    if (--open_needs_[dependent] == 0) ready_.push_back(dependent);
}

std::string Scheduler::skip_reason(size_t step) const {
  for (size_t need : plan_.steps[step].needs) {
    if (states_[need] == StepState::kSkipped)
      return fmt::format("needs {}, which was skipped", plan_.steps[need].name);
    if (states_[need] != StepState::kWaiting && !succeeded(states_[need]))
      return fmt::format("needs {}, which failed", plan_.steps[need].name);
  }
  return "another step failed";
}

}  // namespace tidemill::engine
