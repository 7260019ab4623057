// Searches as SQL: text that grows together with the values of its parameters, and the tests that the clauses
// of a filter become. Private to this folder.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "db/database.h"
#include "tracking/entities.h"
#include "tracking/filter.h"
#include "tracking/visible.h"

namespace tidemill::tracking {

inline constexpr int64_t kMaxSearchResults = 50'000;  // of runs and experiments

class Query {
 public:
  template <class... Values>
  void add(std::string_view sql, Values&&... values) {
    sql_ += sql;
    (values_.emplace_back(std::forward<Values>(values)), ...);
  }
  void add(const Query& other) {
    sql_ += other.sql_;
    subqueries_ += other.subqueries_;
    values_.insert(values_.end(), other.values_.begin(), other.values_.end());
  }
  template <class Range>
  void add_list(const Range& items) {
    sql_ += "(";
    for (const auto& item : items) add(&item == &*items.begin() ? "?" : ", ?", item);
    sql_ += ")";
  }
  // Ends EXISTS (SELECT ...: of many, PostgreSQL must not look for the best order to join them, which takes
  // it minutes.
  void end_exists() { add(++subqueries_ > kMostJoined ? " LIMIT 1 OFFSET 0)" : ")"); }
  // The query must outlive the statement's steps.
  Result<db::Statement> prepare(db::Connection& connection) const;

 private:
  static constexpr int kMostJoined = 8;

  std::string sql_;
  int subqueries_ = 0;
  std::vector<std::variant<int64_t, double, std::string>> values_;
};

// Appends the filter as one condition; add_clause(clause) -> Result<> appends that of one clause.
template <class AddClause>
Result<> add_filter(Query& query, const Filter& filter, const AddClause& add_clause) {
  if (filter.kind == Filter::Kind::kClause) return add_clause(filter.clause);
  if (filter.parts.empty()) {
    query.add("1 = 1");
    return {};
  }
  query.add("(");
  for (const Filter& part : filter.parts) {
    if (&part != &filter.parts.front()) query.add(filter.kind == Filter::Kind::kAny ? " OR " : " AND ");
    TRY(add_filter(query, part, add_clause));
  }
  query.add(filter.kind == Filter::Kind::kNot ? ") IS NOT TRUE" : ")");
  return {};
}

// column " = 0" and the like; 0 is active, 1 deleted.
void add_lifecycle(Query& query, std::string_view column, ViewType view);

// " AND" that the column holds one of the visible names; as numbers when they are ids.
enum class NamesAre { kTexts, kIds };
Result<> add_visible(Query& query, std::string_view column, const Visible& visible, NamesAre names_are);

// " >= ?" and the like, for operators that compare with one value.
std::string_view symbol(Op op);

void add_text_test(Query& query, std::string_view column, const Clause& clause);
void add_number_test(Query& query, std::string_view column, const Clause& clause);
// The column of metrics that holds it.
std::string_view metric_column(Aggregate aggregate);
// " AND" the test of a metric's value, in a row (its alias) with value and is_nan; nothing for NULL tests,
// which ask whether there is such a row. Of its lowest or highest value: in a row of metrics, which lacks it
// when all points are NaN.
void add_metric_test(Query& query, std::string_view row, const Clause& clause);
// A test of one tag. tags: what follows FROM, the table as t and the condition that ties it to its owner:
// "experiment_tags t WHERE t.experiment = e.id". What lacks the tag passes only IS NULL.
void add_tag_test(Query& query, std::string_view tags, const Clause& clause);

}  // namespace tidemill::tracking
