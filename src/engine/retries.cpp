#include "engine/retries.h"

#include <algorithm>
#include <cmath>

#include "base/id.h"

namespace tidemill::engine {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

std::optional<milliseconds> next_delay(const config::RetryPolicy& policy, const config::Failure& failure,
                                       FailureCount& count, double uniform, milliseconds most) {
  int& failures = failure.kind == config::FailureKind::kInfrastructure ? count.infrastructure : count.own;
  if (++failures > policy.budget(failure) || most.count() <= 0) return std::nullopt;
  // Full jitter: steps that failed together do not come back together.
  double longest = std::min(static_cast<double>(policy.delay.count()) * std::pow(policy.factor, failures - 1),
                            static_cast<double>(policy.max_delay.count()));
  longest = std::min(longest, static_cast<double>(most.count()));
  return milliseconds(static_cast<int64_t>(longest * uniform));
}

Retries::Retries(std::function<double()> random) : random_(std::move(random)) {
  if (!random_) random_ = [] { return std::ldexp(static_cast<double>(random_u64() >> 11), -53); };
}

std::optional<milliseconds> Retries::wait(size_t step, const config::RetryPolicy& policy,
                                          const config::Failure& failure, milliseconds most) {
  auto delay = next_delay(policy, failure, counts_[step], random_(), most);
  if (delay) waiting_[step] = steady_clock::now() + *delay;
  return delay;
}

std::vector<size_t> Retries::due(Time now) {
  std::vector<size_t> steps;
  for (const auto& [step, until] : waiting_)
    if (until <= now) steps.push_back(step);
  for (size_t step : steps) waiting_.erase(step);
  return steps;
}

milliseconds Retries::until_next(milliseconds most) const {
  auto now = steady_clock::now();
  for (const auto& [step, until] : waiting_)
    most = std::min(most, std::chrono::ceil<milliseconds>(std::max(until, now) - now));
  return most;
}

}  // namespace tidemill::engine
