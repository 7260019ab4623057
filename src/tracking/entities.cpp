#include "tracking/entities.h"

#include <algorithm>
#include <array>

namespace tidemill::tracking {

constexpr std::array<std::string_view, 5> kStatusNames = {"RUNNING", "SCHEDULED", "FINISHED", "FAILED",
                                                          "KILLED"};

std::string_view to_string(RunStatus status) { return kStatusNames.at(static_cast<size_t>(status) - 1); }

std::optional<RunStatus> run_status_from(std::string_view name) {
  auto found = std::find(kStatusNames.begin(), kStatusNames.end(), name);
  if (found == kStatusNames.end()) return std::nullopt;
  return static_cast<RunStatus>(found - kStatusNames.begin() + 1);
}

std::string_view to_string(Lifecycle stage) { return stage == Lifecycle::kActive ? "active" : "deleted"; }

static std::string_view value_of(const std::vector<KeyValue>& pairs, std::string_view key) {
  for (const auto& [name, value] : pairs)
    if (name == key) return value;
  return "";
}

std::string_view Run::tag(std::string_view key) const { return value_of(tags, key); }
std::string_view Run::param(std::string_view key) const { return value_of(params, key); }

std::optional<double> Run::metric(std::string_view key) const {
  for (const Metric& metric : metrics)
    if (metric.key == key) return metric.value;
  return std::nullopt;
}

}  // namespace tidemill::tracking
