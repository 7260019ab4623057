#include "pipeline/gate.h"

#include <cmath>
#include <vector>

#include "base/text.h"

namespace tidemill::pipeline {

GateVerdict judge_gate(const config::Gate& gate, const GateLimits& limits, double value,
                       std::optional<double> champion) {
  const bool lower = gate.goal == config::Gate::Goal::kLower;
  const std::string what = fmt::format("{} {:.6g}", gate.metric, value);
  if (std::isnan(value)) return {false, gate.metric + " is not a number"};
  if (limits.least && !(value >= *limits.least))
    return {false, fmt::format("{} is below {:.6g}", what, *limits.least)};
  if (limits.most && !(value <= *limits.most))
    return {false, fmt::format("{} is above {:.6g}", what, *limits.most)};
  std::vector<std::string> parts;
  if (limits.least) parts.push_back(fmt::format(">= {:.6g}", *limits.least));
  if (limits.most) parts.push_back(fmt::format("<= {:.6g}", *limits.most));
  if (limits.over_champion && champion) {
    const double wanted = lower ? *champion - *limits.over_champion : *champion + *limits.over_champion;
    // Differences of numbers with few digits have a rounding error.
    const double slack = 1e-12 * std::max(std::abs(wanted), std::abs(value));
    if (lower ? value > wanted + slack : value < wanted - slack)
      return {false, fmt::format("{} is {} {:.6g}: the champion has {:.6g}, and {:.6g} is to be gained", what,
                                 lower ? "above" : "below", wanted, *champion, *limits.over_champion)};
    parts.push_back(fmt::format("champion {:.6g}", *champion));
  } else if (limits.over_champion) {
    parts.push_back("no champion yet");
  }
  return {true, parts.empty() ? what : what + " " + join(parts, ", ")};
}

}  // namespace tidemill::pipeline
