#include "pipeline/condition.h"

#include <charconv>
#include <cmath>
#include <optional>

namespace tidemill::pipeline {
namespace {

using config::Expression;
using config::fail_at;
using Kind = Expression::Kind;

std::optional<double> to_number(std::string_view text) {
  double value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

bool equal(const std::string& left, const std::string& right) {
  auto a = to_number(left), b = to_number(right);
  return a && b ? *a == *b : left == right;
}

std::string shown(const std::string& value) {
  bool plain = !value.empty() && value.find_first_of(" '\"()[],=<>!&|") == std::string::npos;
  return plain ? value : "'" + value + "'";
}

std::string_view sign_of(Kind kind) {
  switch (kind) {
    case Kind::kEqual:
      return "==";
    case Kind::kNotEqual:
      return "!=";
    case Kind::kLess:
      return "<";
    case Kind::kAtMost:
      return "<=";
    case Kind::kGreater:
      return ">";
    case Kind::kAtLeast:
      return ">=";
    case Kind::kAnd:
      return "and";
    case Kind::kOr:
      return "or";
    default:
      return "";
  }
}

class Evaluation {
 public:
  explicit Evaluation(const ValueOf& value_of) : value_of_(value_of) {}

  Result<Truth> truth(const Expression& expression) const {
    switch (expression.kind) {
      case Kind::kValue:
        return truth_of_value(expression);
      case Kind::kNot: {
        Truth inner = TRY(truth(expression.parts[0]));
        return Truth{!inner.holds, "not (" + inner.shown + ")"};
      }
      case Kind::kAnd:
      case Kind::kOr:
        return chain(expression);
      case Kind::kIn:
        return membership(expression);
      default:
        return comparison(expression);
    }
  }

 private:
  Result<std::string> value(const Expression& expression) const {
    if (expression.kind == Kind::kValue) return value_of_(expression.value);
    return std::string(TRY(truth(expression)).holds ? "true" : "false");
  }

  Result<Truth> truth_of_value(const Expression& expression) const {
    std::string text = TRY(value_of_(expression.value));
    if (text == "true" || text == "True" || text == "1") return Truth{true, text};
    if (text == "false" || text == "False" || text == "0") return Truth{false, text};
    return fail_at(expression.place, "a condition must be true or false, not '{}'; compare it with something",
                   text);
  }

  // What is not looked at is not shown either.
  Result<Truth> chain(const Expression& expression) const {
    bool is_and = expression.kind == Kind::kAnd;
    Truth all{is_and, ""};
    for (const auto& part : expression.parts) {
      Truth one = TRY(truth(part));
      if (!all.shown.empty()) all.shown += fmt::format(" {} ", sign_of(expression.kind));
      all.shown += one.shown;
      all.holds = one.holds;
      if (one.holds != is_and) break;
    }
    return all;
  }

  Result<Truth> membership(const Expression& expression) const {
    std::string wanted = TRY(value(expression.parts[0]));
    Truth result{false, shown(wanted) + " in ["};
    for (size_t i = 1; i < expression.parts.size(); ++i) {
      std::string item = TRY(value(expression.parts[i]));
      result.holds = result.holds || equal(wanted, item);
      result.shown += (i > 1 ? ", " : "") + shown(item);
    }
    result.shown += "]";
    return result;
  }

  Result<Truth> comparison(const Expression& expression) const {
    std::string left = TRY(value(expression.parts[0])), right = TRY(value(expression.parts[1]));
    Truth result{false, fmt::format("{} {} {}", shown(left), sign_of(expression.kind), shown(right))};
    if (expression.kind == Kind::kEqual || expression.kind == Kind::kNotEqual) {
      result.holds = equal(left, right) == (expression.kind == Kind::kEqual);
      return result;
    }
    auto a = to_number(left), b = to_number(right);
    if (!a || !b)
      return fail_at(expression.place, "'{}' needs numbers on both sides, not {}", sign_of(expression.kind),
                     result.shown);
    // Comparisons with NaN, which a metric may be, do not hold.
    result.holds = expression.kind == Kind::kLess      ? *a < *b
                   : expression.kind == Kind::kAtMost  ? *a <= *b
                   : expression.kind == Kind::kGreater ? *a > *b
                                                       : *a >= *b;
    return result;
  }

  const ValueOf& value_of_;
};

}  // namespace

Result<Truth> evaluate(const config::Condition& condition, const ValueOf& value_of) {
  return Evaluation(value_of).truth(condition.root);
}

}  // namespace tidemill::pipeline
