// Whether a value passes a gate. Pure.
#pragma once

#include <optional>
#include <string>

#include "config/gate.h"

namespace tidemill::pipeline {

struct GateLimits {
  std::optional<double> least, most, over_champion;
};
struct GateVerdict {
  bool passed = false;
  std::string
      text;  // "accuracy 0.65 is below 0.7"; of one that has passed: "accuracy 0.72 >= 0.7, champion 0.7"
};
// champion: its value; nullopt when there is none, which is nothing to be better than. A value that is not a
// number passes no gate.
GateVerdict judge_gate(const config::Gate& gate, const GateLimits& limits, double value,
                       std::optional<double> champion);

}  // namespace tidemill::pipeline
