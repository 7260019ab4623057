#include "tracking/filter.h"

#include <charconv>
#include <cstdlib>
#include <span>

#include "base/text.h"
#include "db/regex.h"
#include "tracking/filter_names.h"
#include "tracking/filter_tokens.h"

namespace tidemill::tracking {
namespace {

constexpr size_t kMaxFilterBytes = 1 << 20;
constexpr int kMaxClauses = 200;  // SQLite's expression depth is 1000
constexpr int kMaxDepth = 100;
constexpr size_t kMaxListItems = 10'000;
constexpr size_t kMaxOrderKeys = 32;

std::string upper(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  return out;
}

struct NamedOp {
  std::string_view text;
  Op op;
};
constexpr NamedOp kNumberOps[] = {{"=", Op::kEq},           {"!=", Op::kNe},
                                  {">", Op::kGt},           {">=", Op::kGe},
                                  {"<", Op::kLt},           {"<=", Op::kLe},
                                  {"IN", Op::kIn},          {"NOT IN", Op::kNotIn},
                                  {"IS NULL", Op::kIsNull}, {"IS NOT NULL", Op::kIsNotNull}};
constexpr NamedOp kTextOps[] = {
    {"=", Op::kEq},         {"!=", Op::kNe},          {"LIKE", Op::kLike},
    {"ILIKE", Op::kIlike},  {"RLIKE", Op::kRegex},    {"IN", Op::kIn},
    {"NOT IN", Op::kNotIn}, {"IS NULL", Op::kIsNull}, {"IS NOT NULL", Op::kIsNotNull}};

constexpr size_t kMaxLikeBytes = 50'000;  // SQLite's SQLITE_LIMIT_LIKE_PATTERN_LENGTH

bool is_numeric(const Identifier& left) { return left.numeric || left.entity == Entity::kMetric; }

Result<Op> parse_op(std::string_view text, const Identifier& left, Subject subject) {
  std::span<const NamedOp> allowed = is_numeric(left) ? std::span<const NamedOp>(kNumberOps) : kTextOps;
  for (const NamedOp& named : allowed)
    if (named.text == text) return named.op;
  if (in_registry(subject))
    return fail(Code::kInvalid, "Invalid comparator for {}{}: {}", singular(left.entity),
                left.numeric ? " " + left.key : "", text);
  std::vector<std::string_view> names;
  for (const NamedOp& named : allowed) names.push_back(named.text);
  return fail(Code::kInvalid, "Invalid comparator '{}' not one of '{}", text, python_set(names));
}

void parse_number(std::string_view text, Clause& clause) {
  int64_t integer = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), integer);
  if (error == std::errc() && end == text.data() + text.size()) {
    clause.integer = integer;
    clause.number = static_cast<double>(integer);
    return;
  }
  // Not from_chars: it refuses "1." and says nothing of the sign of an overflow; the token has been checked.
  clause.number = std::strtod(std::string(text).c_str(), nullptr);
}

Error not_quoted(const Identifier& left, std::string_view value, Subject subject) {
  if (left.entity == Entity::kAttribute && in_registry(subject))
    return {Code::kInvalid,
            fmt::format("Expected a quoted string value or a list of quoted string values for "
                        "attributes. Got value {}",
                        value)};
  if (left.entity == Entity::kAttribute)
    return {Code::kInvalid,
            fmt::format("Expected a quoted string value for attributes. Got value {}", value)};
  if (left.entity == Entity::kDataset)
    return {Code::kInvalid,
            fmt::format("Expected a quoted string value for dataset attributes. Got value {}", value)};
  return {Code::kInvalid, fmt::format("Expected a quoted string value for {} (e.g. 'my-value'). Got value {}",
                                      singular(left.entity), value)};
}

bool is_text(const Token& token) {
  return token.kind == TokenKind::kString || (token.kind == TokenKind::kName && is_quoted(token.text, '"'));
}

Result<> parse_value(const Identifier& left, const Token& token, Subject subject, Clause& clause) {
  if (is_numeric(left)) {
    // The number of a version may stand in quotes.
    std::string text = in_registry(subject) ? unquote(token.text) : std::string(token.text);
    bool may_be_number = token.kind == TokenKind::kNumber || (in_registry(subject) && is_text(token));
    if (may_be_number) parse_number(text, clause);
    if (left.entity == Entity::kMetric) clause.integer.reset();  // 2^53 + 1 is stored as what is next to it
    if (in_registry(subject) && !clause.integer)
      return fail(Code::kInvalid, "Invalid value for numeric attribute '{}': {}", left.key, token.text);
    if (may_be_number) return {};
    if (left.numeric)
      return fail(Code::kInvalid, "Expected numeric value type for numeric attribute: {}. Found {}", left.key,
                  token.text);
    return fail(Code::kInvalid, "Expected numeric value type for metric. Found {}", token.text);
  }
  bool as_text = subject == Subject::kLoggedModels && token.kind == TokenKind::kNumber;  // as in MLflow
  if (is_text(token) || as_text) {
    clause.text = unquote(token.text);
    return {};
  }
  if (token.kind == TokenKind::kName)
    return fail(Code::kInvalid,
                "Parameter value is either not quoted or unidentified quote types used for string value {}. "
                "Use either single or double quotes.",
                token.text);
  return tl::unexpected<Error>(not_quoted(left, token.text, subject));
}

// Users look for the place in long filters.
std::string at_column(std::string_view text, size_t byte, std::string_view what) {
  size_t column = 1;
  for (char c : text.substr(0, byte))
    if ((static_cast<unsigned char>(c) & 0xC0) != 0x80) ++column;
  return fmt::format(" (column {} of the {})", column, what);
}

// The words of min(metrics.loss).
constexpr size_t kFunction = 0, kArgument = 2, kFunctionWords = 4;

Result<Aggregate> parse_function(std::string_view word) {
  std::string name = upper(word);
  if (name == "MIN") return Aggregate::kMin;
  if (name == "MAX") return Aggregate::kMax;
  if (name == "LAST") return Aggregate::kLast;
  return fail(Code::kInvalid, "Unknown function '{}'. Valid functions are min, max and last, of a metric",
              word);
}

// What stands between the parentheses.
Result<Identifier> parse_argument(std::string_view function, std::string_view text, Subject subject) {
  if (subject != Subject::kRuns)
    return fail(Code::kInvalid, "Only the metrics of runs have a {}()", function);
  Identifier argument = TRY(parse_identifier(text, subject, NameUse::kFilter));
  if (argument.entity == Entity::kMetric) return argument;
  return fail(Code::kInvalid, "{0}() takes a metric, as in {0}(metrics.loss). Got '{1}'", function, text);
}

class Parser {
 public:
  Parser(std::string_view filter, Subject subject)
      : filter_(filter), subject_(subject), tokens_(tokenize(filter)) {}

  Result<Filter> parse() {
    if (tokens_.empty()) return Filter{};
    Filter filter = TRY(any(0));
    if (at_ < tokens_.size()) return invalid();
    if (filter.kind == Filter::Kind::kAll) return filter;
    Filter all;
    all.parts.push_back(std::move(filter));
    return all;
  }

 private:
  using Part = Result<Filter> (Parser::*)(int);

  bool has(TokenKind kind, size_t ahead = 0) const {
    return at_ + ahead < tokens_.size() && tokens_[at_ + ahead].kind == kind;
  }
  bool is_word(std::string_view word, size_t ahead = 0) const {
    return has(TokenKind::kName, ahead) && upper(tokens_[at_ + ahead].text) == word;
  }
  bool take_word(std::string_view word) {
    bool there = is_word(word);
    if (there) ++at_;
    return there;
  }

  tl::unexpected<Error> at(size_t token, Error error) const {
    auto bytes = token < tokens_.size() ? tokens_[token].text.data() - filter_.data()
                                        : static_cast<ptrdiff_t>(filter_.size());
    error.message += at_column(filter_, static_cast<size_t>(bytes), "filter");
    return tl::unexpected<Error>(std::move(error));
  }
  tl::unexpected<Error> invalid() const {
    // A filter that stops short is told by its last word.
    size_t token = std::min(at_, tokens_.size() - 1);
    return at(token,
              {Code::kInvalid, fmt::format("Invalid clause(s) in filter string: '{}'", tokens_[token].text)});
  }

  Result<Filter> joined(Part part, std::string_view word, Filter::Kind kind, int depth) {
    Filter first = TRY((this->*part)(depth));
    if (!is_word(word)) return first;
    Filter all{.kind = kind};
    all.parts.push_back(std::move(first));
    while (take_word(word)) all.parts.push_back(TRY((this->*part)(depth)));
    return all;
  }
  Result<Filter> any(int depth) { return joined(&Parser::all, "OR", Filter::Kind::kAny, depth); }
  Result<Filter> all(int depth) { return joined(&Parser::one, "AND", Filter::Kind::kAll, depth); }

  Result<Filter> one(int depth) {
    if (depth > kMaxDepth)
      return at(at_, {Code::kInvalid, fmt::format("The filter string is nested deeper than {}", kMaxDepth)});
    if (take_word("NOT")) {
      Filter negated{.kind = Filter::Kind::kNot};
      negated.parts.push_back(TRY(one(depth + 1)));
      return negated;
    }
    if (has(TokenKind::kOpen)) {
      ++at_;
      Filter inner = TRY(any(depth + 1));
      if (!has(TokenKind::kClose)) return invalid();
      ++at_;
      return inner;
    }
    if (++clauses_ > kMaxClauses)
      return at(at_,
                {Code::kInvalid, fmt::format("The filter string has more than {} clauses", kMaxClauses)});
    return Filter{.kind = Filter::Kind::kClause, .clause = TRY(clause())};
  }

  // The operator's words, joined by a space; "" when there is none.
  std::string take_op() {
    size_t words = 0;
    if (has(TokenKind::kOperator) || is_word("LIKE") || is_word("ILIKE") || is_word("RLIKE") || is_word("IN"))
      words = 1;
    else if ((is_word("NOT") && is_word("IN", 1)) || (is_word("IS") && is_word("NULL", 1)))
      words = 2;
    else if (is_word("IS") && is_word("NOT", 1) && is_word("NULL", 2))
      words = 3;
    std::string op;
    for (; words > 0; --words) op += (op.empty() ? "" : " ") + upper(tokens_[at_++].text);
    return op;
  }

  struct Left {
    Identifier name;
    Aggregate aggregate = Aggregate::kLast;
  };

  Result<Left> take_function() {
    auto aggregate = parse_function(tokens_[at_].text);
    if (!aggregate) return at(at_, std::move(aggregate).error());
    size_t closed_at = at_ + kFunctionWords - 1;
    for (size_t expected = at_ + kArgument; expected <= closed_at; ++expected)
      if (expected >= tokens_.size() ||
          tokens_[expected].kind != (expected == closed_at ? TokenKind::kClose : TokenKind::kName)) {
        at_ = expected;
        return invalid();
      }
    auto name = parse_argument(tokens_[at_].text, tokens_[at_ + kArgument].text, subject_);
    if (!name) return at(at_ + kArgument, std::move(name).error());
    at_ = closed_at + 1;
    return Left{std::move(*name), *aggregate};
  }

  Result<Clause> clause() {
    if (!has(TokenKind::kName) || is_word("AND") || is_word("OR")) return invalid();
    size_t name_at = at_;
    Left left;
    bool is_function = has(TokenKind::kOpen, 1);
    if (is_function)
      left = TRY(take_function());
    else
      ++at_;
    size_t op_at = at_;
    std::string op_text = take_op();
    if (op_text.empty()) {
      at_ = name_at;
      return invalid();
    }
    if (!is_function) {
      auto name = parse_identifier(tokens_[name_at].text, subject_, NameUse::kFilter);
      if (!name) return at(name_at, std::move(name).error());
      left.name = std::move(*name);
    }
    auto op = parse_op(op_text, left.name, subject_);
    if (!op) return at(op_at, std::move(op).error());
    Clause clause{.entity = left.name.entity, .key = left.name.key, .aggregate = left.aggregate, .op = *op};
    if (clause.op == Op::kIsNull || clause.op == Op::kIsNotNull) return clause;
    bool is_list = clause.op == Op::kIn || clause.op == Op::kNotIn;
    TRY(is_list ? list(left.name, clause) : value(left.name, clause));
    return clause;
  }

  Result<> value(const Identifier& left, Clause& clause) {
    if (at_ >= tokens_.size() || has(TokenKind::kOperator) || has(TokenKind::kOther) || has(TokenKind::kOpen))
      return invalid();
    auto parsed = parse_value(left, tokens_[at_], subject_, clause);
    if (!parsed) return at(at_, std::move(parsed).error());
    if ((clause.op == Op::kLike || clause.op == Op::kIlike) && clause.text.size() > kMaxLikeBytes)
      return at(at_, {Code::kInvalid, fmt::format("A pattern has at most {} bytes", kMaxLikeBytes)});
    if (clause.op == Op::kRegex)
      if (auto checked = db::check_regex(clause.text); !checked) return at(at_, std::move(checked).error());
    ++at_;
    return {};
  }

  Result<> list(const Identifier& left, Clause& clause) {
    if (!has(TokenKind::kOpen)) return invalid();
    size_t open = at_++;
    auto ill_formed = [&](std::string_view what) {
      return at(std::min(at_, tokens_.size()), {Code::kInvalid, std::string(what)});
    };
    while (!has(TokenKind::kClose)) {
      bool first = at_ == open + 1;
      if (!first && !has(TokenKind::kComma))
        return ill_formed(
            "While parsing a list in the query, expected a non-empty list of string values, but "
            "got ill-formed list.");
      if (!first) ++at_;
      if (!first && has(TokenKind::kClose)) break;  // as in Python
      if (at_ >= tokens_.size()) return invalid();
      if (!is_numeric(left) && !is_text(tokens_[at_]))
        return ill_formed(
            fmt::format("While parsing a list in the query, expected string value, punctuation, "
                        "or whitespace, but got different type in list: {}",
                        tokens_[at_].text));
      Clause item;
      auto parsed = parse_value(left, tokens_[at_], subject_, item);
      if (!parsed) return at(at_, std::move(parsed).error());
      if (is_numeric(left))
        clause.numbers.push_back(item.number);
      else
        clause.list.push_back(std::move(item.text));
      if (std::max(clause.list.size(), clause.numbers.size()) > kMaxListItems)
        return ill_formed(fmt::format("A list in the filter has more than {} values", kMaxListItems));
      ++at_;
    }
    ++at_;
    if (clause.list.empty() && clause.numbers.empty())
      return at(open,
                {Code::kInvalid,
                 "While parsing a list in the query, expected a non-empty list of string values, but got "
                 "empty list"});
    return {};
  }

  std::string_view filter_;
  Subject subject_;
  std::vector<Token> tokens_;
  size_t at_ = 0;
  int clauses_ = 0;
};

tl::unexpected<Error> at_word(std::string_view order, std::string_view word, Error error) {
  error.message += at_column(order, static_cast<size_t>(word.data() - order.data()), "order_by clause");
  return tl::unexpected<Error>(std::move(error));
}

template <class T>
Result<T> located(std::string_view order, const Token& word, Result<T> parsed) {
  if (parsed) return parsed;
  return at_word(order, word.text, std::move(parsed).error());
}

Result<> check_order(Entity entity, std::string_view text, Subject subject) {
  if (entity == Entity::kDataset) return fail(Code::kInvalid, "Invalid order_by entity type 'dataset'");
  if (subject == Subject::kLoggedModels && entity != Entity::kAttribute && entity != Entity::kMetric)
    return fail(Code::kInvalid, "Invalid order by field name: {}. Only metrics are supported.", text);
  if (subject != Subject::kRuns && subject != Subject::kLoggedModels && entity != Entity::kAttribute)
    return fail(Code::kInvalid, "Invalid order_by entity: {}", singular(entity));
  return {};
}

bool is_direction(const Token& token) { return upper(token.text) == "ASC" || upper(token.text) == "DESC"; }

Result<OrderKey> parse_order_key(std::string_view text, Subject subject) {
  std::vector<Token> tokens = tokenize(text);
  bool is_function = tokens.size() >= kFunctionWords && tokens[kArgument - 1].kind == TokenKind::kOpen &&
                     tokens[kArgument].kind == TokenKind::kName &&
                     tokens[kFunctionWords - 1].kind == TokenKind::kClose;
  size_t name_words = is_function ? kFunctionWords : 1;
  bool is_named = !tokens.empty() && tokens[0].kind == TokenKind::kName;
  if (!is_named || tokens.size() > name_words + 1) {
    size_t strange = !is_named ? 0 : is_direction(tokens[name_words]) ? name_words + 1 : name_words;
    return at_word(text, tokens.empty() ? text : tokens[strange].text,
                   {Code::kInvalid, fmt::format("Invalid order_by clause '{}'. Could not be parsed.", text)});
  }
  bool has_direction = tokens.size() > name_words;
  if (has_direction && !is_direction(tokens[name_words]))
    return at_word(text, tokens[name_words].text,
                   {Code::kInvalid, fmt::format("Invalid ordering key in order_by clause '{}'.", text)});
  Aggregate aggregate = Aggregate::kLast;
  if (is_function) aggregate = TRY(located(text, tokens[kFunction], parse_function(tokens[kFunction].text)));
  const Token& name = tokens[is_function ? kArgument : 0];
  Identifier left = TRY(located(text, name,
                                is_function ? parse_argument(tokens[kFunction].text, name.text, subject)
                                            : parse_identifier(name.text, subject, NameUse::kOrder)));
  TRY(located(text, name, check_order(left.entity, text, subject)));
  bool descending = has_direction && upper(tokens[name_words].text) == "DESC";
  return OrderKey{left.entity, std::move(left.key), aggregate, descending};
}

}  // namespace

Result<Filter> parse_filter(std::string_view filter, Subject subject) {
  if (filter.size() > kMaxFilterBytes)
    return fail(Code::kInvalid, "The filter string is longer than {} bytes", kMaxFilterBytes);
  return Parser(filter, subject).parse();
}

Result<ColumnName> parse_column(std::string_view text) {
  size_t open = text.find('(');
  size_t dot = text.find('.');
  if (open > dot || !text.ends_with(')')) {
    Identifier name = TRY(parse_identifier(text, Subject::kRuns, NameUse::kOrder));
    if (name.entity != Entity::kDataset) return ColumnName{name.entity, std::move(name.key)};
    return fail(Code::kInvalid, "A data set is no column: '{}'", text);
  }
  std::string_view function = text.substr(0, open);
  Aggregate aggregate = TRY(parse_function(function));
  std::string_view argument = text.substr(open + 1, text.size() - open - 2);
  Identifier name = TRY(parse_argument(function, argument, Subject::kRuns));
  return ColumnName{name.entity, std::move(name.key), aggregate};
}

Result<std::vector<OrderKey>> parse_order(const std::vector<std::string>& order_by, Subject subject) {
  if (order_by.size() > kMaxOrderKeys)
    return fail(Code::kInvalid, "order_by has more than {} keys", kMaxOrderKeys);
  std::vector<OrderKey> keys;
  for (const std::string& text : order_by) {
    OrderKey key = TRY(parse_order_key(text, subject));
    for (const OrderKey& other : keys) {
      if (other.entity != key.entity || other.key != key.key || other.aggregate != key.aggregate) continue;
      if (subject == Subject::kExperiments) continue;  // it orders nothing any more
      std::vector<std::string> quoted;
      for (const std::string& one : order_by) quoted.push_back(fmt::format("'{}'", one));
      return fail(Code::kInvalid, "`order_by` contains duplicate fields: [{}]", join(quoted, ", "));
    }
    keys.push_back(std::move(key));
  }
  return keys;
}

}  // namespace tidemill::tracking
