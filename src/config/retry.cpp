#include "config/retry.h"

#include <algorithm>
#include <charconv>

#include <re2/re2.h>

#include "base/text.h"
#include "config/problems.h"

namespace tidemill::config {
namespace {

constexpr int kMostRetries = 100;
constexpr int kLongestDelay = 24 * 3600;

Result<FailureRule> read_log_rule(const Node& node, std::string_view what) {
  TRY(check_keys(node, {"log"}, what));
  const Node* log = node.find("log");
  if (log == nullptr || log->text.empty())
    return fail_at(node.place, "a map in {} is {{log: PATTERN}}", what);
  return FailureRule{.in_log = TRY_IN(log->place.to_string(), Pattern::compile(TRY(as_text(*log, "log"))))};
}

Result<FailureRule> read_rule(const Node& node, std::string_view what) {
  if (node.is_map()) return read_log_rule(node, what);
  std::string text = TRY(as_text(node, what));
  if (text == to_string(FailureKind::kInfrastructure))
    return fail_at(node.place,
                   "{}: failures of the infrastructure are counted apart: retry.infrastructure says "
                   "how often they are tried again",
                   what);
  static const std::vector<std::string> kinds = {"exit", "signal", "timeout", "memory"};
  auto found = std::find(kinds.begin(), kinds.end(), text);
  if (found != kinds.end()) return FailureRule{.kind = static_cast<FailureKind>(found - kinds.begin())};
  int status = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), status);
  bool is_number = error == std::errc() && end == text.data() + text.size() && !text.empty();
  if (is_number && status >= 1 && status <= 255)
    return FailureRule{.kind = FailureKind::kExit, .exit_status = status};
  return fail_at(
      node.place, "'{}' in {} is neither an exit status (1 to 255), nor {{log: PATTERN}}, nor one of {}{}",
      text, what, join(kinds, ", "),
      text == "oom" || text == "out_of_memory" ? " (did you mean 'memory'?)" : did_you_mean(text, kinds));
}

std::vector<FailureRule> read_rules(const Node& node, std::string_view what, Problems& problems) {
  std::vector<FailureRule> rules;
  if (node.kind == Node::Kind::kNull) return rules;
  if (node.kind != Node::Kind::kList || node.items.empty())
    problems.keep(fail_at(node.place, "{} must be a list of what it is about, as in [timeout, 75]", what));
  for (const auto& item : node.items)
    if (auto rule = problems.keep(read_rule(item, what))) rules.push_back(std::move(*rule));
  return rules;
}

bool any_matches(const std::vector<FailureRule>& rules, const Failure& failure) {
  return std::any_of(rules.begin(), rules.end(), [&](const auto& rule) { return rule.matches(failure); });
}

Result<double> read_more_memory(const Node& node) {
  const std::string text = TRY(as_text(node, "retry.more_memory"));
  double times = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), times);
  if (error != std::errc() || end != text.data() + text.size() || !(times > 1 && times <= 10))
    return fail_at(node.place,
                   "retry.more_memory must be a number above 1, at most 10, such as 1.5, not '{}'", text);
  return times;
}

// Whether what is said of the step's own failures can ever matter.
Result<> check_sense(const Node& node, const RetryPolicy& policy) {
  if (node.entries.empty())
    return fail_at(node.place, "retry needs times: how often the step is tried again");
  for (const char* key : {"after", "not_after", "more_memory"})
    if (node.find(key) != nullptr && policy.times == 0)
      return fail_at(node.place, "retry.{} means nothing without times: how often the step is tried again",
                     key);
  if (policy.more_memory > 1 && policy.budget({FailureKind::kMemory}) == 0)
    return fail_at(node.place,
                   "retry.more_memory: the step is not tried again when memory has run out (after, "
                   "not_after)");
  if (policy.delay > policy.max_delay && node.find("delay") != nullptr && node.find("max_delay") != nullptr)
    return fail_at(node.place, "retry.delay is longer than retry.max_delay");
  return {};
}

Result<std::chrono::milliseconds> read_delay(const Node& node, std::string_view what) {
  return as_duration(node, what, 0, kLongestDelay);
}

}  // namespace

struct Pattern::Compiled {
  Compiled(std::string_view text, const re2::RE2::Options& options)
      : expression(re2::StringPiece(text.data(), text.size()), options) {}

  re2::RE2 expression;
};

Result<Pattern> Pattern::compile(std::string_view text) {
  re2::RE2::Options options(re2::RE2::Quiet);
  options.set_max_mem(1 << 20);
  Pattern pattern;
  auto compiled = std::make_shared<Compiled>(text, options);
  if (!compiled->expression.ok())
    return fail(Code::kInvalid, "'{}' is not a regular expression: {}", text, compiled->expression.error());
  pattern.compiled_ = std::move(compiled);
  return pattern;
}

bool Pattern::is_in(std::string_view text) const {
  return re2::RE2::PartialMatch(re2::StringPiece(text.data(), text.size()), compiled_->expression);
}

bool FailureRule::matches(const Failure& failure) const {
  if (kind && *kind != failure.kind) return false;
  if (exit_status && *exit_status != failure.exit_status) return false;
  auto holds_it = [this](const std::string& line) { return in_log->is_in(line); };
  return !in_log || std::any_of(failure.last_lines.begin(), failure.last_lines.end(), holds_it);
}

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

RetryPolicy read_retry(const Node& node, Problems& problems) {
  RetryPolicy policy;
  if (node.kind == Node::Kind::kNull) return policy;
  const size_t before = problems.count();
  auto keep = [&](auto result, auto& to) {
    if (auto value = problems.keep(std::move(result))) to = static_cast<std::decay_t<decltype(to)>>(*value);
  };
  if (const Node* times = node.is_map() ? node.find("times") : &node) {
    keep(as_int(*times, "retry", 0, kMostRetries), policy.times);
    if (policy.times == 0) policy.infrastructure = 0;
  }
  if (!node.is_map()) return policy;
  check_keys(node,
             {"times", "infrastructure", "after", "not_after", "delay", "factor", "max_delay", "more_memory"},
             "retry", problems);
  if (const Node* infrastructure = node.find("infrastructure"))
    keep(as_int(*infrastructure, "retry.infrastructure", 0, kMostRetries), policy.infrastructure);
  if (const Node* after = node.find("after")) policy.after = read_rules(*after, "retry.after", problems);
  if (const Node* not_after = node.find("not_after"))
    policy.not_after = read_rules(*not_after, "retry.not_after", problems);
  if (const Node* delay = node.find("delay")) keep(read_delay(*delay, "retry.delay"), policy.delay);
  if (const Node* factor = node.find("factor")) keep(as_int(*factor, "retry.factor", 1, 100), policy.factor);
  if (const Node* most = node.find("max_delay")) keep(read_delay(*most, "retry.max_delay"), policy.max_delay);
  if (const Node* more = node.find("more_memory")) keep(read_more_memory(*more), policy.more_memory);
  if (problems.count() == before) problems.keep(check_sense(node, policy));
  return policy;
}

}  // namespace tidemill::config
