#include "config/retry.h"

#include <algorithm>
#include <charconv>

#include "base/text.h"

namespace tidemill::config {
namespace {

constexpr int kMostRetries = 100;
constexpr int kLongestDelay = 24 * 3600;

Result<FailureRule> read_rule(const Node& node, std::string_view what) {
  std::string text = TRY(as_text(node, what));
  static const std::vector<std::string> kinds = {"exit", "signal", "timeout", "memory"};
  auto found = std::find(kinds.begin(), kinds.end(), text);
  if (found != kinds.end()) return FailureRule{static_cast<FailureKind>(found - kinds.begin()), {}};
  int status = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), status);
  bool is_number = error == std::errc() && end == text.data() + text.size() && !text.empty();
  if (is_number && status >= 1 && status <= 255) return FailureRule{FailureKind::kExit, status};
  return fail_at(node.place, "'{}' in {} is neither an exit status (1 to 255) nor one of {}{}", text, what,
                 join(kinds, ", "), did_you_mean(text, kinds));
}

Result<std::vector<FailureRule>> read_rules(const Node* node, std::string_view what) {
  std::vector<FailureRule> rules;
  if (node == nullptr || node->kind == Node::Kind::kNull) return rules;
  if (node->kind != Node::Kind::kList) return fail_at(node->place, "{} must be a list", what);
  for (const auto& item : node->items) rules.push_back(TRY(read_rule(item, what)));
  return rules;
}

bool any_matches(const std::vector<FailureRule>& rules, const Failure& failure) {
  return std::any_of(rules.begin(), rules.end(), [&](const auto& rule) { return rule.matches(failure); });
}

}  // namespace

std::string_view to_string(FailureKind kind) {
  switch (kind) {
    case FailureKind::kExit:
      return "exit";
    case FailureKind::kSignal:
      return "signal";
    case FailureKind::kTimeout:
      return "timeout";
    case FailureKind::kMemory:
      return "memory";
    case FailureKind::kInfrastructure:
      return "infrastructure";
  }
  return "";
}

int RetryPolicy::budget(const Failure& failure) const {
  if (failure.kind == FailureKind::kInfrastructure) return infrastructure;
  if (any_matches(not_after, failure)) return 0;
  return after.empty() || any_matches(after, failure) ? times : 0;
}

Result<RetryPolicy> read_retry(const Node* node) {
  RetryPolicy policy;
  if (node == nullptr || node->kind == Node::Kind::kNull) return policy;
  const Node* times = node->is_map() ? node->find("times") : node;
  if (times != nullptr) {
    policy.times = static_cast<int>(TRY(as_int(*times, "retry", 0, kMostRetries)));
    if (policy.times == 0) policy.infrastructure = 0;
  }
  if (!node->is_map()) return policy;
  TRY(check_keys(*node, {"times", "infrastructure", "after", "not_after", "delay", "factor", "max_delay"},
                 "retry"));
  if (const Node* infrastructure = node->find("infrastructure"))
    policy.infrastructure =
        static_cast<int>(TRY(as_int(*infrastructure, "retry.infrastructure", 0, kMostRetries)));
  policy.after = TRY(read_rules(node->find("after"), "retry.after"));
  policy.not_after = TRY(read_rules(node->find("not_after"), "retry.not_after"));
  if (const Node* delay = node->find("delay"))
    policy.delay = std::chrono::seconds(TRY(as_int(*delay, "retry.delay (seconds)", 0, kLongestDelay)));
  if (const Node* factor = node->find("factor"))
    policy.factor = static_cast<int>(TRY(as_int(*factor, "retry.factor", 1, 100)));
  if (const Node* most = node->find("max_delay"))
    policy.max_delay =
        std::chrono::seconds(TRY(as_int(*most, "retry.max_delay (seconds)", 0, kLongestDelay)));
  return policy;
}

}  // namespace tidemill::config
