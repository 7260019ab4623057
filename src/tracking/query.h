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
#include "tracking/filter.h"

namespace tidemill::tracking {

class Query {
 public:
  template <class... Values>
  void add(std::string_view sql, Values&&... values) {
    sql_ += sql;
    (values_.emplace_back(std::forward<Values>(values)), ...);
  }
  template <class Range>
  void add_list(const Range& items) {
    sql_ += "(";
    for (const auto& item : items) add(&item == &*items.begin() ? "?" : ", ?", item);
    sql_ += ")";
  }
  // The query must outlive the statement's steps.
  Result<db::Statement> prepare(db::Connection& connection) const;

 private:
  std::string sql_;
  std::vector<std::variant<int64_t, double, std::string>> values_;
};

// " >= ?" and the like, for operators that compare with one value.
std::string_view symbol(Op op);

void add_text_test(Query& query, std::string_view column, const Clause& clause);
void add_number_test(Query& query, std::string_view column, const Clause& clause);
// A test of one tag. tags: what follows FROM, the table as t and the condition that ties it to its owner:
// "experiment_tags t WHERE t.experiment = e.id". What lacks the tag passes only IS NULL.
void add_tag_test(Query& query, std::string_view tags, const Clause& clause);

}  // namespace tidemill::tracking
