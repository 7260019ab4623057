// MLflow's search language, read into clauses. filter := clause (AND clause)*; clause := [entity.]key op
// value. Texts of errors are MLflow's where clients may compare them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace tidemill::tracking {

enum class Entity { kMetric, kParam, kTag, kAttribute, kDataset };
enum class Op { kEq, kNe, kGt, kGe, kLt, kLe, kLike, kIlike, kIn, kNotIn, kIsNull, kIsNotNull };

struct Clause {
  Entity entity = Entity::kAttribute;
  std::string key;  // attributes: without aliases
  Op op = Op::kEq;
  std::string text;                // value of everything but numbers
  std::vector<std::string> list;   // kIn, kNotIn
  double number = 0;               // value of metrics and numeric attributes
  std::optional<int64_t> integer;  // the same, where it is one
};

struct OrderKey {
  Entity entity = Entity::kAttribute;
  std::string key;
  bool descending = false;
};

enum class Subject { kRuns, kExperiments, kLoggedModels, kRegisteredModels, kModelVersions };

Result<std::vector<Clause>> parse_filter(std::string_view filter, Subject subject);
// At most 32 keys, none twice.
Result<std::vector<OrderKey>> parse_order(const std::vector<std::string>& order_by, Subject subject);

}  // namespace tidemill::tracking
