#include "tracking/filter.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <span>

#include "base/text.h"
#include "tracking/filter_tokens.h"

namespace tidemill::tracking {
namespace {

constexpr size_t kMaxFilterBytes = 1 << 20;
constexpr size_t kMaxClauses = 200;  // SQLite's expression depth is 1000
constexpr size_t kMaxOrderKeys = 32;

struct EntityName {
  std::string_view name;
  Entity entity;
};
constexpr EntityName kEntityNames[] = {{"metric", Entity::kMetric},
                                       {"metrics", Entity::kMetric},
                                       {"parameter", Entity::kParam},
                                       {"parameters", Entity::kParam},
                                       {"param", Entity::kParam},
                                       {"params", Entity::kParam},
                                       {"tag", Entity::kTag},
                                       {"tags", Entity::kTag},
                                       {"attribute", Entity::kAttribute},
                                       {"attributes", Entity::kAttribute},
                                       {"attr", Entity::kAttribute},
                                       {"run", Entity::kAttribute},
                                       {"dataset", Entity::kDataset},
                                       {"datasets", Entity::kDataset}};

std::string_view singular(Entity entity) {
  switch (entity) {
    case Entity::kMetric:
      return "metric";
    case Entity::kParam:
      return "parameter";
    case Entity::kTag:
      return "tag";
    case Entity::kAttribute:
      return "attribute";
    case Entity::kDataset:
      return "dataset";
  }
  return "";
}

struct Attribute {
  std::string_view name;     // as written
  std::string_view meaning;  // without aliases
  bool numeric;
  bool takes_list = false;  // IN, NOT IN
};
constexpr Attribute kRunAttributes[] = {
    {"run_id", "run_id", false, true},  {"run_name", "run_name", false},
    {"run name", "run_name", false},    {"Run name", "run_name", false},
    {"Run Name", "run_name", false},    {"status", "status", false},
    {"user_id", "user_id", false},      {"artifact_uri", "artifact_uri", false},
    {"start_time", "start_time", true}, {"end_time", "end_time", true},
    {"created", "start_time", true},    {"Created", "start_time", true}};
constexpr Attribute kExperimentAttributes[] = {{"name", "name", false},
                                               {"creation_time", "creation_time", true},
                                               {"last_update_time", "last_update_time", true}};
constexpr Attribute kExperimentOrderAttributes[] = {{"name", "name", false},
                                                    {"experiment_id", "experiment_id", true},
                                                    {"creation_time", "creation_time", true},
                                                    {"last_update_time", "last_update_time", true}};
constexpr Attribute kLoggedModelAttributes[] = {{"name", "name", false, true},
                                                {"model_id", "model_id", false, true},
                                                {"model_type", "model_type", false, true},
                                                {"status", "status", false, true},
                                                {"source_run_id", "source_run_id", false, true},
                                                {"artifact_location", "artifact_location", false, true},
                                                {"creation_timestamp", "creation_timestamp", true},
                                                {"creation_timestamp_ms", "creation_timestamp", true},
                                                {"creation_time", "creation_timestamp", true},
                                                {"last_updated_timestamp", "last_updated_timestamp", true},
                                                {"last_updated_timestamp_ms", "last_updated_timestamp", true},
                                                {"last_updated_time", "last_updated_timestamp", true}};
constexpr Attribute kRegisteredModelAttributes[] = {{"name", "name", false, true}};
constexpr Attribute kRegisteredModelOrderAttributes[] = {
    {"name", "name", false},
    {"creation_timestamp", "creation_timestamp", true},
    {"last_updated_timestamp", "last_updated_timestamp", true}};
constexpr Attribute kModelVersionAttributes[] = {{"name", "name", false, true},
                                                 {"version_number", "version_number", true},
                                                 {"run_id", "run_id", false, true},
                                                 {"source_path", "source_path", false}};
constexpr Attribute kModelVersionOrderAttributes[] = {
    {"name", "name", false},
    {"version_number", "version_number", true},
    {"creation_timestamp", "creation_timestamp", true},
    {"last_updated_timestamp", "last_updated_timestamp", true}};
constexpr std::string_view kDatasetKeys[] = {"name", "digest", "context"};

std::span<const Attribute> attributes_of(Subject subject) {
  switch (subject) {
    case Subject::kRuns:
      return kRunAttributes;
    case Subject::kExperiments:
      return kExperimentAttributes;
    case Subject::kLoggedModels:
      return kLoggedModelAttributes;
    case Subject::kRegisteredModels:
      return kRegisteredModelAttributes;
    case Subject::kModelVersions:
      return kModelVersionAttributes;
  }
  return {};
}

std::span<const Attribute> order_attributes_of(Subject subject) {
  switch (subject) {
    case Subject::kRuns:
      return kRunAttributes;
    case Subject::kExperiments:
      return kExperimentOrderAttributes;
    case Subject::kLoggedModels:
      return kLoggedModelAttributes;
    case Subject::kRegisteredModels:
      return kRegisteredModelOrderAttributes;
    case Subject::kModelVersions:
      return kModelVersionOrderAttributes;
  }
  return {};
}

// The registry says some things in other words.
bool in_registry(Subject subject) {
  return subject == Subject::kRegisteredModels || subject == Subject::kModelVersions;
}

std::string unquote(std::string_view text) {
  if (text.size() < 2 || text.front() != text.back() ||
      std::string_view("'\"`").find(text.front()) == std::string_view::npos)
    return std::string(text);
  std::string out;
  for (size_t i = 1; i + 1 < text.size(); ++i) {
    out += text[i];
    if (text[i] == text.front()) ++i;  // doubled
  }
  return out;
}

bool is_quoted(std::string_view text, char quote) {
  return text.size() >= 2 && text.front() == quote && text.back() == quote;
}

template <class Range>
std::string python_set(const Range& names) {
  std::vector<std::string> quoted;
  for (std::string_view name : names) quoted.push_back(fmt::format("'{}'", name));
  return fmt::format("{{{}}}", join(quoted, ", "));
}

// An identifier taken apart: the entity, the key, and for attributes what is known of it.
struct Identifier {
  Entity entity = Entity::kAttribute;
  std::string key;
  bool numeric = false;
  bool takes_list = true;
};

bool has_entity(Subject subject, Entity entity) {
  if (entity == Entity::kAttribute || entity == Entity::kTag || subject == Subject::kRuns) return true;
  return subject == Subject::kLoggedModels && entity != Entity::kDataset;
}

Result<Entity> parse_entity(std::string_view name, Subject subject) {
  for (const EntityName& known : kEntityNames)
    if (known.name == name && has_entity(subject, known.entity)) return known.entity;
  if (subject != Subject::kRuns && subject != Subject::kLoggedModels)
    return fail(Code::kInvalid,
                "Invalid entity type '{}'. Valid entity types are ('attribute', 'tag', 'tags')", name);
  return fail(
      Code::kInvalid,
      "Invalid entity type '{}'. Valid values are ['metric', 'parameter', 'tag', 'attribute', 'dataset']",
      name);
}

Result<Identifier> parse_identifier(std::string_view text, Subject subject,
                                    std::span<const Attribute> attributes) {
  Identifier out;
  std::string_view key = text;
  // A dot inside quotes does not part entity and key.
  size_t dot = text.empty() || text[0] == '"' || text[0] == '`' ? std::string_view::npos : text.find('.');
  if (!text.empty() && text[0] == '`') {
    size_t close = text.find('`', 1);
    if (close != std::string_view::npos && close + 1 < text.size() && text[close + 1] == '.') dot = close + 1;
  }
  if (dot != std::string_view::npos) {
    out.entity = TRY(parse_entity(unquote(text.substr(0, dot)), subject));
    key = text.substr(dot + 1);
  }
  out.key = unquote(key);
  if (out.entity == Entity::kAttribute) {
    auto known = std::find_if(attributes.begin(), attributes.end(),
                              [&](const Attribute& attribute) { return attribute.name == out.key; });
    if (known == attributes.end()) {
      std::vector<std::string_view> names;
      for (const Attribute& attribute : attributes) names.push_back(attribute.name);
      return fail(Code::kInvalid, "Invalid attribute key '{}' specified. Valid keys are '{}'", out.key,
                  python_set(names));
    }
    out.key = known->meaning;
    out.numeric = known->numeric;
    out.takes_list = known->takes_list;
  }
  if (out.entity == Entity::kDataset &&
      std::find(std::begin(kDatasetKeys), std::end(kDatasetKeys), out.key) == std::end(kDatasetKeys))
    return fail(Code::kInvalid, "Invalid dataset key '{}' specified. Valid keys are '{}'", out.key,
                python_set(kDatasetKeys));
  return out;
}

std::string upper(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  return out;
}

// A clause by its shape only.
struct RawClause {
  std::string_view name;
  std::string op;  // upper case
  Token value{TokenKind::kOther, ""};
};

// Finds the clauses, and names whatever is between them that does not belong there.
class ShapeParser {
 public:
  explicit ShapeParser(std::span<const Token> tokens) : tokens_(tokens) {}

  Result<std::vector<RawClause>> parse() {
    bool clause_may_follow = true;
    while (at_ < tokens_.size()) {
      if (is_word(0, "AND")) {
        if (clause_may_follow)
          refuse();
        else
          ++at_;
        clause_may_follow = true;
      } else if (!is_word(0, "OR") && !is_word(0, "NOT") && tokens_[at_].kind == TokenKind::kName &&
                 take_clause()) {
        if (!clause_may_follow) invalid_.push_back(fmt::format("'{}'", clauses_.back().name));
        clause_may_follow = false;
      } else {
        refuse();
        clause_may_follow = true;
      }
    }
    if (clause_may_follow && invalid_.empty() && !clauses_.empty()) invalid_.push_back("'AND'");
    if (!invalid_.empty())
      return fail(Code::kInvalid, "Invalid clause(s) in filter string: {}", join(invalid_, ", "));
    return std::move(clauses_);
  }

 private:
  bool has(size_t ahead, TokenKind kind) const {
    return at_ + ahead < tokens_.size() && tokens_[at_ + ahead].kind == kind;
  }
  bool is_word(size_t ahead, std::string_view word) const {
    return has(ahead, TokenKind::kName) && upper(tokens_[at_ + ahead].text) == word;
  }
  bool is_value(size_t ahead) const {
    return at_ + ahead < tokens_.size() && tokens_[at_ + ahead].kind != TokenKind::kOperator &&
           tokens_[at_ + ahead].kind != TokenKind::kOther;
  }
  void refuse() { invalid_.push_back(fmt::format("'{}'", tokens_[at_++].text)); }
  bool keep(std::string op, size_t value_at, size_t length) {
    clauses_.push_back({tokens_[at_].text, std::move(op),
                        value_at ? tokens_[at_ + value_at] : Token{TokenKind::kOther, ""}});
    at_ += length;
    return true;
  }
  bool take_clause() {
    if (has(1, TokenKind::kOperator) && is_value(2)) return keep(std::string(tokens_[at_ + 1].text), 2, 3);
    if ((is_word(1, "LIKE") || is_word(1, "ILIKE")) && is_value(2))
      return keep(upper(tokens_[at_ + 1].text), 2, 3);
    if (is_word(1, "IN") && has(2, TokenKind::kList)) return keep("IN", 2, 3);
    if (is_word(1, "NOT") && is_word(2, "IN") && has(3, TokenKind::kList)) return keep("NOT IN", 3, 4);
    if (is_word(1, "IS") && is_word(2, "NULL")) return keep("IS NULL", 0, 3);
    if (is_word(1, "IS") && is_word(2, "NOT") && is_word(3, "NULL")) return keep("IS NOT NULL", 0, 4);
    return false;
  }

  std::span<const Token> tokens_;
  size_t at_ = 0;
  std::vector<RawClause> clauses_;
  std::vector<std::string> invalid_;
};

Result<Op> parse_op(const std::string& text, const Identifier& left, Subject subject) {
  struct Named {
    std::string_view text;
    Op op;
  };
  constexpr Named kNumeric[] = {{"=", Op::kEq},  {"!=", Op::kNe}, {">", Op::kGt},
                                {">=", Op::kGe}, {"<", Op::kLt},  {"<=", Op::kLe}};
  constexpr Named kPairs[] = {{"=", Op::kEq},           {"!=", Op::kNe},
                              {"LIKE", Op::kLike},      {"ILIKE", Op::kIlike},
                              {"IS NULL", Op::kIsNull}, {"IS NOT NULL", Op::kIsNotNull}};
  constexpr Named kStrings[] = {{"=", Op::kEq},        {"!=", Op::kNe}, {"LIKE", Op::kLike},
                                {"ILIKE", Op::kIlike}, {"IN", Op::kIn}, {"NOT IN", Op::kNotIn}};
  std::span<const Named> allowed = kStrings;
  if (left.numeric || left.entity == Entity::kMetric)
    allowed = kNumeric;
  else if (left.entity == Entity::kParam || left.entity == Entity::kTag)
    allowed = kPairs;
  for (const Named& named : allowed)
    if (named.text == text) return named.op;
  if (in_registry(subject))
    return fail(Code::kInvalid, "Invalid comparator for {}{}: {}", singular(left.entity),
                left.numeric ? " " + left.key : "", text);
  std::vector<std::string_view> names;
  for (const Named& named : allowed) names.push_back(named.text);
  return fail(Code::kInvalid, "Invalid comparator '{}' not one of '{}", text, python_set(names));
}

Result<> parse_number(std::string_view text, Clause& clause) {
  int64_t integer = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), integer);
  if (error == std::errc() && end == text.data() + text.size()) {
    clause.integer = integer;
    clause.number = static_cast<double>(integer);
    return {};
  }
  // Not from_chars: it refuses "1." and says nothing of the sign of an overflow; the token has been checked.
  clause.number = std::strtod(std::string(text).c_str(), nullptr);
  return {};
}

Result<std::vector<std::string>> parse_list(std::string_view text) {
  std::vector<std::string> items;
  std::vector<Token> tokens = tokenize(text.substr(1, text.size() - 2));
  for (size_t i = 0; i < tokens.size(); ++i) {
    bool is_comma = tokens[i].text == ",";
    if (is_comma != (i % 2 == 1))
      return fail(Code::kInvalid,
                  "While parsing a list in the query, expected a non-empty list of string values, but "
                  "got ill-formed list.");
    if (is_comma) continue;
    if (tokens[i].kind != TokenKind::kString && !is_quoted(tokens[i].text, '"'))
      return fail(Code::kInvalid,
                  "While parsing a list in the query, expected string value, punctuation, or "
                  "whitespace, but got different type in list: {}",
                  text);
    items.push_back(unquote(tokens[i].text));
  }
  if (items.empty())
    return fail(Code::kInvalid,
                "While parsing a list in the query, expected a non-empty list of string values, but got "
                "empty list");
  return items;
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

// The number of a version may stand in quotes.
Result<> parse_version_number(const Identifier& left, const Token& token, Clause& clause) {
  std::string text = unquote(token.text);
  if (token.kind == TokenKind::kNumber || token.kind == TokenKind::kString) TRY(parse_number(text, clause));
  if (clause.integer) return {};
  return fail(Code::kInvalid, "Invalid value for numeric attribute '{}': {}", left.key, token.text);
}

Error takes_no_list(Subject subject) {
  std::vector<std::string> names;
  for (const Attribute& attribute : attributes_of(subject))
    if (attribute.takes_list) names.push_back(fmt::format("'{}'", attribute.name));
  if (in_registry(subject))
    return {Code::kInvalid,
            fmt::format("Only [{}] attributes support comparison with a list of quoted string values.",
                        join(names, ", "))};
  return {Code::kInvalid,
          fmt::format("Only the {} attribute supports comparison with a list of quoted string values.",
                      join(names, ", "))};
}

Result<> parse_value(const Identifier& left, const Token& token, Subject subject, Clause& clause) {
  if (left.numeric && in_registry(subject) && token.kind != TokenKind::kList)
    return parse_version_number(left, token, clause);
  if (left.entity == Entity::kMetric || left.numeric) {
    if (token.kind == TokenKind::kNumber) return parse_number(token.text, clause);
    if (left.numeric)
      return fail(Code::kInvalid, "Expected numeric value type for numeric attribute: {}. Found {}", left.key,
                  token.text);
    return fail(Code::kInvalid, "Expected numeric value type for metric. Found {}", token.text);
  }
  if (token.kind == TokenKind::kString || (token.kind == TokenKind::kName && is_quoted(token.text, '"'))) {
    clause.text = unquote(token.text);
    return {};
  }
  if (token.kind == TokenKind::kName)
    return fail(Code::kInvalid,
                "Parameter value is either not quoted or unidentified quote types used for string value {}. "
                "Use either "
                "single or double quotes.",
                token.text);
  bool is_list_op = clause.op == Op::kIn || clause.op == Op::kNotIn;
  if (token.kind != TokenKind::kList || !is_list_op)
    return tl::unexpected<Error>(not_quoted(left, token.text, subject));
  if (!left.takes_list) return tl::unexpected<Error>(takes_no_list(subject));
  clause.list = TRY(parse_list(token.text));
  return {};
}

Result<Clause> parse_clause(const RawClause& raw, Subject subject) {
  Identifier left = TRY(parse_identifier(raw.name, subject, attributes_of(subject)));
  Clause clause{.entity = left.entity,
                .key = left.key,
                .op = Op::kEq,
                .text = {},
                .list = {},
                .number = 0,
                .integer = {}};
  bool is_null_test = raw.op == "IS NULL" || raw.op == "IS NOT NULL";
  if (is_null_test && left.entity != Entity::kParam && left.entity != Entity::kTag)
    return fail(Code::kInvalid,
                "IS NULL / IS NOT NULL is only supported for tags and params, not for '{}' '{}'",
                singular(left.entity), left.key);
  bool is_list = raw.value.kind == TokenKind::kList;
  if (is_null_test || is_list) clause.op = TRY(parse_op(raw.op, left, subject));
  if (!is_null_test) TRY(parse_value(left, raw.value, subject, clause));
  clause.op = TRY(parse_op(raw.op, left, subject));
  return clause;
}

}  // namespace

Result<std::vector<Clause>> parse_filter(std::string_view filter, Subject subject) {
  if (filter.size() > kMaxFilterBytes)
    return fail(Code::kInvalid, "The filter string is longer than {} bytes", kMaxFilterBytes);
  std::vector<Token> tokens = tokenize(filter);
  std::vector<RawClause> raw = TRY(ShapeParser(tokens).parse());
  if (raw.size() > kMaxClauses)
    return fail(Code::kInvalid, "The filter string has more than {} clauses", kMaxClauses);
  std::vector<Clause> clauses;
  for (const RawClause& one : raw) clauses.push_back(TRY(parse_clause(one, subject)));
  return clauses;
}

Result<std::vector<OrderKey>> parse_order(const std::vector<std::string>& order_by, Subject subject) {
  if (order_by.size() > kMaxOrderKeys)
    return fail(Code::kInvalid, "order_by has more than {} keys", kMaxOrderKeys);
  std::vector<OrderKey> keys;
  for (const std::string& text : order_by) {
    std::vector<Token> tokens = tokenize(text);
    if (tokens.empty() || tokens.size() > 2 || tokens[0].kind != TokenKind::kName)
      return fail(Code::kInvalid, "Invalid order_by clause '{}'. Could not be parsed.", text);
    std::string direction = tokens.size() == 2 ? upper(tokens[1].text) : "ASC";
    if (direction != "ASC" && direction != "DESC")
      return fail(Code::kInvalid, "Invalid ordering key in order_by clause '{}'.", text);
    Identifier left = TRY(parse_identifier(tokens[0].text, subject, order_attributes_of(subject)));
    if (left.entity == Entity::kDataset)
      return fail(Code::kInvalid, "Invalid order_by entity type 'dataset'");
    if (subject == Subject::kLoggedModels && left.entity != Entity::kAttribute &&
        left.entity != Entity::kMetric)
      return fail(Code::kInvalid, "Invalid order by field name: {}. Only metrics are supported.", text);
    if (subject != Subject::kRuns && subject != Subject::kLoggedModels && left.entity != Entity::kAttribute)
      return fail(Code::kInvalid, "Invalid order_by entity: {}", singular(left.entity));
    for (const OrderKey& other : keys) {
      if (other.entity != left.entity || other.key != left.key) continue;
      std::vector<std::string> quoted;
      for (const std::string& one : order_by) quoted.push_back(fmt::format("'{}'", one));
      return fail(Code::kInvalid, "`order_by` contains duplicate fields: [{}]", join(quoted, ", "));
    }
    keys.push_back({left.entity, left.key, direction == "DESC"});
  }
  return keys;
}

}  // namespace tidemill::tracking
