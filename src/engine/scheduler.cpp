#include "engine/scheduler.h"

#include <algorithm>

namespace tidemill::engine {

Scheduler::Scheduler(const pipeline::Plan& plan, size_t most_parallel)
    : plan_(plan),
      most_parallel_(most_parallel),
      states_(plan.steps.size(), StepState::kWaiting),
      open_needs_(plan.steps.size()),
      hopeless_(plan.steps.size()),
      dependents_(plan.steps.size()) {
  for (size_t i = 0; i < plan.steps.size(); ++i) {
    open_needs_[i] = plan.steps[i].needs.size();
    for (size_t need : plan.steps[i].needs) dependents_[need].push_back(i);
    if (open_needs_[i] == 0 && plan.steps[i].phase == phase_) ready_.push_back(i);
  }
}

void Scheduler::open(config::Phase phase) {
  mode_ = Mode::kRunning;
  phase_ = phase;
  for (size_t i = 0; i < plan_.steps.size(); ++i)
    if (plan_.steps[i].phase == phase && open_needs_[i] == 0 && !hopeless_[i]) ready_.push_back(i);
}

std::vector<size_t> Scheduler::take_ready() {
  std::erase_if(ready_, [this](size_t step) { return !may_start(step); });
  std::sort(ready_.begin(), ready_.end());
  return std::exchange(ready_, {});
}

std::vector<size_t> Scheduler::take_blocked() {
  std::erase_if(blocked_, [this](size_t step) { return states_[step] != StepState::kWaiting; });
  return std::exchange(blocked_, {});
}

bool Scheduler::is_open_to(size_t step) const {
  return mode_ == Mode::kRunning || (mode_ == Mode::kWindingDown && !plan_.steps[step].tolerated.empty());
}

bool Scheduler::may_start(size_t step) const {
  return states_[step] == StepState::kWaiting && is_open_to(step);
}

void Scheduler::enqueue(size_t step) {
  if (may_start(step)) queue_.push(step);
}

void Scheduler::wind_down() {
  if (mode_ == Mode::kRunning) mode_ = Mode::kWindingDown;
}

std::optional<size_t> Scheduler::next() {
  while (!queue_.empty() && !may_start(queue_.top())) queue_.pop();
  if (queue_.empty() || running_ >= most_parallel_) return std::nullopt;
  size_t step = queue_.top();
  queue_.pop();
  begin(step);
  return step;
}

void Scheduler::begin(size_t step) {
  states_[step] = StepState::kRunning;
  ++running_;
}

void Scheduler::put_back(size_t step) {
  states_[step] = StepState::kWaiting;
  --running_;
}

void Scheduler::settle(size_t step, StepState state) {
  if (states_[step] == StepState::kRunning) --running_;
  states_[step] = state;
  for (size_t dependent : dependents_[step]) {
    bool met = succeeded(state) || plan_.steps[dependent].tolerates(step);
    if (!met && !hopeless_[dependent]) {
      hopeless_[dependent] = true;
      blocked_.push_back(dependent);
    }
    bool has_turn = plan_.steps[dependent].phase == phase_;
    if (--open_needs_[dependent] == 0 && !hopeless_[dependent] && has_turn) ready_.push_back(dependent);
  }
}

std::string Scheduler::skip_reason(size_t step) const {
  for (size_t need : plan_.steps[step].needs) {
    if (plan_.steps[step].tolerates(need)) continue;
    if (states_[need] == StepState::kSkipped)
      return fmt::format("needs {}, which was skipped", plan_.steps[need].name);
    const bool has_ended = states_[need] != StepState::kWaiting && states_[need] != StepState::kRunning;
    if (has_ended && !succeeded(states_[need]))
      return fmt::format("needs {}, which {}", plan_.steps[need].name,
                         states_[need] == StepState::kKilled ? "was interrupted" : "failed");
  }
  return "";
}

}  // namespace tidemill::engine
