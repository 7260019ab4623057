#include "tracking/query.h"

#include "db/regex.h"
#include "tracking/validate.h"

namespace tidemill::tracking {

Result<db::Statement> Query::prepare(db::Connection& connection) const {
  db::Statement statement = TRY(connection.prepare(sql_));
  for (const auto& value : values_) std::visit([&](const auto& one) { statement.bind(one); }, value);
  return statement;
}

void add_lifecycle(Query& query, std::string_view column, ViewType view) {
  query.add(fmt::format("{}{}", column,
                        view == ViewType::kActiveOnly    ? " = 0"
                        : view == ViewType::kDeletedOnly ? " = 1"
                                                         : " IN (0, 1)"));
}

Result<> add_visible(Query& query, std::string_view column, const Visible& visible, NamesAre names_are) {
  if (visible.which == Visible::Which::kAll) return {};
  bool only = visible.which == Visible::Which::kOnly;
  if (visible.names.empty()) {
    query.add(only ? " AND 1 = 0" : "");
    return {};
  }
  query.add(fmt::format(" AND {} {} ", column, only ? "IN" : "NOT IN"));
  if (names_are == NamesAre::kTexts) {
    query.add_list(visible.names);
    return {};
  }
  std::vector<int64_t> ids;
  for (const std::string& name : visible.names) ids.push_back(TRY(parse_experiment_id(name)));
  query.add_list(ids);
  return {};
}

std::string_view symbol(Op op) {
  switch (op) {
    case Op::kEq:
      return " = ?";
    case Op::kNe:
      return " <> ?";
    case Op::kGt:
      return " > ?";
    case Op::kGe:
      return " >= ?";
    case Op::kLt:
      return " < ?";
    case Op::kLe:
      return " <= ?";
    case Op::kLike:
      return " LIKE ?";
    default:
      return "";
  }
}

static bool is_null_test(Op op) { return op == Op::kIsNull || op == Op::kIsNotNull; }

static void add_null_test(Query& query, std::string_view column, Op op) {
  query.add(fmt::format("{} IS {}NULL", column, op == Op::kIsNull ? "" : "NOT "));
}

void add_text_test(Query& query, std::string_view column, const Clause& clause) {
  if (is_null_test(clause.op)) return add_null_test(query, column, clause.op);
  if (clause.op == Op::kIn || clause.op == Op::kNotIn) {
    query.add(fmt::format("{} {} ", column, clause.op == Op::kIn ? "IN" : "NOT IN"));
    query.add_list(clause.list);
  } else if (clause.op == Op::kRegex) {
    query.add(fmt::format("{}(?, {})", db::kRegexFunction, column), clause.text);
  } else if (clause.op == Op::kIlike) {
    query.add(fmt::format("lower({}) LIKE lower(?)", column), clause.text);
  } else {
    query.add(fmt::format("{}{}", column, symbol(clause.op)), clause.text);
  }
}

void add_number_test(Query& query, std::string_view column, const Clause& clause) {
  if (is_null_test(clause.op)) return add_null_test(query, column, clause.op);
  if (clause.op == Op::kIn || clause.op == Op::kNotIn) {
    query.add(fmt::format("{} {} ", column, clause.op == Op::kIn ? "IN" : "NOT IN"));
    query.add_list(clause.numbers);
    return;
  }
  query.add(fmt::format("{}{}", column, symbol(clause.op)));
  clause.integer ? query.add("", *clause.integer) : query.add("", clause.number);
}

std::string_view metric_column(Aggregate aggregate) {
  switch (aggregate) {
    case Aggregate::kLast:
      return "value";
    case Aggregate::kMin:
      return "lowest";
    case Aggregate::kMax:
      return "highest";
  }
  return "";
}

void add_metric_test(Query& query, std::string_view row, const Clause& clause) {
  std::string column = fmt::format("{}.{}", row, metric_column(clause.aggregate));
  if (clause.aggregate != Aggregate::kLast) {
    query.add(fmt::format(" AND {} IS NOT NULL", column));
    if (is_null_test(clause.op)) return;
    query.add(" AND ");
    return add_number_test(query, column, clause);
  }
  if (is_null_test(clause.op)) return;
  // A NaN is unequal to every number and compares with none.
  bool passes_nan = clause.op == Op::kNe || clause.op == Op::kNotIn;
  query.add(fmt::format(" AND ({}.is_nan = {} ", row, passes_nan ? "1 OR" : "0 AND"));
  add_number_test(query, column, clause);
  query.add(")");
}

void add_tag_test(Query& query, std::string_view tags, const Clause& clause) {
  query.add(
      fmt::format("{}EXISTS (SELECT 1 FROM {} AND t.key = ?", clause.op == Op::kIsNull ? "NOT " : "", tags),
      clause.key);
  if (!is_null_test(clause.op)) {
    query.add(" AND ");
    add_text_test(query, "t.value", clause);
  }
  query.end_exists();
}

}  // namespace tidemill::tracking
