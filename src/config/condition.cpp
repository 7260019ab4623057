#include "config/condition.h"

#include <cctype>

#include "base/text.h"

namespace tidemill::config {
namespace {

using Kind = Expression::Kind;

constexpr size_t kMostChars = 4096;
constexpr int kMostDepth = 50;

constexpr std::pair<std::string_view, Kind> kComparisons[] = {
    {"==", Kind::kEqual},   {"!=", Kind::kNotEqual}, {"<=", Kind::kAtMost},
    {">=", Kind::kAtLeast}, {"<", Kind::kLess},      {">", Kind::kGreater},
};

bool is_word_char(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-' || c == '.' || c == '+' ||
         c == '/' || c == ':' || c == '%' || (c & 0x80);
}

class Parser {
 public:
  Parser(std::string_view text, const Place& place) : text_(text), place_(place) {}

  Result<Expression> parse() {
    if (text_.size() > kMostChars)
      return fail_at(place_, "the condition is longer than {} characters", kMostChars);
    Expression whole = TRY(disjunction());
    skip_space();
    if (at_ < text_.size()) return unexpected("the end or an operator");
    return whole;
  }

 private:
  Place here() const { return {place_.file, place_.line, place_.column + static_cast<int>(at_)}; }

  void skip_space() {
    while (at_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[at_]))) ++at_;
  }

  // A sign, or a word that does not go on.
  bool take(std::string_view token) {
    skip_space();
    if (text_.substr(at_, token.size()) != token) return false;
    size_t end = at_ + token.size();
    if (is_word_char(token.back()) && end < text_.size() && is_word_char(text_[end])) return false;
    at_ = end;
    return true;
  }

  tl::unexpected<Error> unexpected(std::string_view wanted) const {
    std::string_view rest = text_.substr(at_, 20);
    return fail_at(here(), "expected {} in the condition '{}'{}", wanted, text_,
                   rest.empty() ? ", which ends here" : fmt::format(", not '{}'", rest));
  }

  Result<Expression> chain(Kind kind, std::string_view word, std::string_view sign,
                           Result<Expression> (Parser::*part)()) {
    Expression first = TRY((this->*part)());
    Expression all{kind, {}, {}, first.place};
    while (take(word) || take(sign)) {
      if (all.parts.empty()) all.parts.push_back(std::move(first));
      all.parts.push_back(TRY((this->*part)()));
    }
    return all.parts.empty() ? std::move(first) : std::move(all);
  }
  Result<Expression> disjunction() { return chain(Kind::kOr, "or", "||", &Parser::conjunction); }
  Result<Expression> conjunction() { return chain(Kind::kAnd, "and", "&&", &Parser::negation); }

  Result<Expression> negation() {
    skip_space();
    Place start = here();
    bool negated = take("not") || (text_.substr(at_, 2) != "!=" && take("!"));
    if (!negated) return comparison();
    if (++depth_ > kMostDepth) return fail_at(start, "the condition is nested too deeply");
    Expression inner = TRY(negation());
    --depth_;
    return Expression{Kind::kNot, {}, {std::move(inner)}, start};
  }

  Result<Expression> comparison() {
    Expression left = TRY(operand());
    skip_space();
    Place place = here();
    if (take("in")) return membership(std::move(left), place);
    for (const auto& [sign, kind] : kComparisons)
      if (take(sign)) {
        Expression right = TRY(operand());
        return Expression{kind, {}, {std::move(left), std::move(right)}, place};
      }
    return left;
  }

  Result<Expression> membership(Expression left, const Place& place) {
    Expression made{Kind::kIn, {}, {std::move(left)}, place};
    if (!take("[")) return unexpected("a list, [a, b],");
    do {
      made.parts.push_back(TRY(operand()));
    } while (take(","));
    if (!take("]")) return unexpected("',' or ']'");
    return made;
  }

  Result<Expression> operand() {
    skip_space();
    Place start = here();
    if (take("(")) {
      if (++depth_ > kMostDepth) return fail_at(start, "the condition is nested too deeply");
      Expression inner = TRY(disjunction());
      --depth_;
      if (!take(")")) return unexpected("')'");
      return inner;
    }
    std::string_view value = TRY(literal());
    return Expression{Kind::kValue, TRY(parse_template(value, start)), {}, start};
  }

  Result<std::string_view> literal() {
    size_t start = at_;
    if (at_ < text_.size() && (text_[at_] == '\'' || text_[at_] == '"')) {
      size_t end = text_.find(text_[at_], at_ + 1);
      if (end == std::string_view::npos) return fail_at(here(), "a text without its closing {}", text_[at_]);
      at_ = end + 1;
      return text_.substr(start + 1, end - start - 1);
    }
    while (at_ < text_.size()) {
      if (text_.substr(at_, 2) == "${") {
        size_t end = text_.find('}', at_);
        if (end == std::string_view::npos) return fail_at(here(), "'${{' without '}}'");
        at_ = end + 1;
      } else if (is_word_char(text_[at_])) {
        ++at_;
      } else {
        break;
      }
    }
    if (at_ == start) return unexpected("a value");
    return text_.substr(start, at_ - start);
  }

  std::string_view text_;
  Place place_;
  size_t at_ = 0;
  int depth_ = 0;
};

void collect(const Expression& expression, std::vector<const Template*>& found) {
  if (expression.kind == Kind::kValue) found.push_back(&expression.value);
  for (const auto& part : expression.parts) collect(part, found);
}

}  // namespace

std::vector<const Template*> Condition::templates() const {
  std::vector<const Template*> found;
  collect(root, found);
  return found;
}

Result<Condition> parse_condition(std::string_view text, const Place& place) {
  Expression root = TRY(Parser(text, place).parse());
  return Condition{std::string(trim(text)), std::move(root)};
}

}  // namespace tidemill::config
