// The search language: MLflow's, with OR, NOT, parentheses, lists and NULL tests for everything, and regular
// expressions besides.
//   filter := any;  any := all (OR all)*;  all := one (AND one)*;  one := NOT one | "(" any ")" | clause
//   clause := name op value | name [NOT] IN (value, ...) | name IS [NOT] NULL
//   name := [entity.]key | min(metrics.key) | max(metrics.key) | last(metrics.key), of runs
// Texts of errors are MLflow's where clients may compare them, with the column of the offending word behind.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace tidemill::tracking {

enum class Entity { kMetric, kParam, kTag, kAttribute, kDataset };
enum class Op { kEq, kNe, kGt, kGe, kLt, kLe, kLike, kIlike, kRegex, kIn, kNotIn, kIsNull, kIsNotNull };

// Which of a metric's points: the latest one, or the lowest or highest of all that are numbers.
enum class Aggregate { kLast, kMin, kMax };

struct Clause {
  Entity entity = Entity::kAttribute;
  std::string key;  // attributes: without aliases
  Aggregate aggregate = Aggregate::kLast;
  Op op = Op::kEq;
  std::string text;                // value of everything but numbers
  std::vector<std::string> list;   // kIn, kNotIn of texts
  double number = 0;               // value of metrics and numeric attributes
  std::optional<int64_t> integer;  // the same, where it is one
  std::vector<double> numbers;     // kIn, kNotIn of numbers
};

struct Filter {
  enum class Kind { kClause, kAll, kAny, kNot };
  Kind kind = Kind::kAll;
  Clause clause = {};              // kClause
  std::vector<Filter> parts = {};  // kAll (of nothing: true), kAny; kNot has one
};

struct OrderKey {
  Entity entity = Entity::kAttribute;
  std::string key;
  Aggregate aggregate = Aggregate::kLast;
  bool descending = false;
};

enum class Subject { kRuns, kExperiments, kLoggedModels, kRegisteredModels, kModelVersions };

// What a column of a table shows.
struct ColumnName {
  Entity entity = Entity::kAttribute;
  std::string key;
  Aggregate aggregate = Aggregate::kLast;
};

// The outermost is kAll. A missing value passes no clause but IS NULL, and so it passes NOT of any other.
Result<Filter> parse_filter(std::string_view filter, Subject subject);
// At most 32 keys, none twice.
Result<std::vector<OrderKey>> parse_order(const std::vector<std::string>& order_by, Subject subject);
// A name of the search language, of runs; all behind the first dot is the key, with or without quotes.
Result<ColumnName> parse_column(std::string_view text);

}  // namespace tidemill::tracking
