#include "tracking/run_search.h"

#include <algorithm>

#include "base/text.h"
#include "tracking/page_token.h"
#include "tracking/query.h"
#include "tracking/validate.h"

namespace tidemill::tracking {
namespace {

std::string_view run_column(std::string_view attribute) {
  if (attribute == "run_id") return "r.uuid";
  if (attribute == "run_name") return "r.name";
  if (attribute == "user_id") return "r.user_id";
  if (attribute == "artifact_uri") return "r.artifact_uri";
  if (attribute == "start_time") return "r.start_time";
  if (attribute == "end_time") return "r.end_time";
  return "CASE r.status WHEN 1 THEN 'RUNNING' WHEN 2 THEN 'SCHEDULED' WHEN 3 THEN 'FINISHED' WHEN 4 THEN "
         "'FAILED' "
         "ELSE 'KILLED' END";
}

bool asks_for_null(Op op) { return op == Op::kIsNull || op == Op::kIsNotNull; }

// A test of one value that a run has under a key: metric, parameter or tag. A run without it never passes.
void add_keyed_test(Query& query, const Clause& clause, int64_t key) {
  std::string_view table = clause.entity == Entity::kMetric  ? "metrics"
                           : clause.entity == Entity::kParam ? "params"
                                                             : "tags";
  query.add(fmt::format("{}EXISTS (SELECT 1 FROM {} v WHERE v.run = r.id AND v.key = ?",
                        clause.op == Op::kIsNull ? "NOT " : "", table),
            key);
  if (clause.entity == Entity::kMetric) {
    add_metric_test(query, "v", clause);
  } else if (!asks_for_null(clause.op)) {
    query.add(" AND ");
    add_text_test(query, "v.value", clause);
  }
  query.end_exists();
}

// A row of metrics, params or tags that the query has joined to each run, for its order.
struct Joined {
  Entity entity;
  std::string key;
  std::string alias;
};

// The same test where the row is at hand already.
void add_joined_test(Query& query, const Clause& clause, std::string_view row) {
  bool metric = clause.entity == Entity::kMetric;
  if (asks_for_null(clause.op)) {
    std::string_view column =
        metric && clause.aggregate != Aggregate::kLast ? metric_column(clause.aggregate) : "run";
    query.add(fmt::format("{}.{} IS {}NULL", row, column, clause.op == Op::kIsNull ? "" : "NOT "));
    return;
  }
  query.add(fmt::format("({}.run IS NOT NULL", row));
  if (metric) {
    add_metric_test(query, row, clause);
  } else {
    query.add(" AND ");
    add_text_test(query, fmt::format("{}.value", row), clause);
  }
  query.add(")");
}

// A test of a data set that the run has read: of its name, digest, or the context of its use. A run without
// any never passes.
void add_dataset_test(Query& query, const Clause& clause) {
  bool by_context = clause.key == "context";
  query.add(fmt::format("{}EXISTS (SELECT 1 FROM run_datasets u JOIN {} WHERE u.run = r.id",
                        clause.op == Op::kIsNull ? "NOT " : "",
                        by_context ? "run_dataset_tags v ON v.run = u.run AND v.dataset = u.dataset AND "
                                     "v.key = 'mlflow.data.context'"
                                   : "datasets v ON v.id = u.dataset"));
  if (!asks_for_null(clause.op)) {
    query.add(" AND ");
    add_text_test(query, by_context ? "v.value" : clause.key == "name" ? "v.name" : "v.digest", clause);
  }
  query.end_exists();
}

Result<> add_run_clause(Query& query, db::Connection& connection, const std::vector<Joined>& joined,
                        const Clause& clause) {
  if (clause.entity == Entity::kAttribute) {
    bool numeric = clause.key == "start_time" || clause.key == "end_time";
    numeric ? add_number_test(query, run_column(clause.key), clause)
            : add_text_test(query, run_column(clause.key), clause);
    return {};
  }
  if (clause.entity == Entity::kDataset) {
    add_dataset_test(query, clause);
    return {};
  }
  for (const auto& [entity, key, row] : joined)
    if (entity == clause.entity && key == clause.key) {
      add_joined_test(query, clause, row);
      return {};
    }
  std::optional<int64_t> key = TRY(find_key(connection, clause.key));
  if (key) {
    add_keyed_test(query, clause, *key);
  } else {
    query.add(clause.op == Op::kIsNull ? "1 = 1" : "1 = 0");  // nothing has such a key
  }
  return {};
}

// Adds the joins that the order needs, notes them, and returns the ORDER BY clause.
Result<std::string> add_run_order(Query& query, db::Connection& connection, const std::vector<OrderKey>& keys,
                                  std::vector<Joined>& joined) {
  std::vector<std::string> terms;
  bool by_start = false;
  for (const OrderKey& key : keys) {
    std::string_view direction = key.descending ? " DESC" : "";
    if (key.entity == Entity::kAttribute) {
      std::string_view column = run_column(key.key);
      if (key.key == "end_time") terms.emplace_back("r.end_time IS NULL");
      terms.push_back(fmt::format("{}{}", column, direction));
      by_start = by_start || key.key == "start_time";
      continue;
    }
    std::optional<int64_t> id = TRY(find_key(connection, key.key));
    if (!id) continue;  // missing everywhere: orders nothing
    std::string name = fmt::format("o{}", terms.size());
    bool metric = key.entity == Entity::kMetric;
    query.add(fmt::format(" LEFT JOIN {0} {1} ON {1}.run = r.id AND {1}.key = ?",
                          metric                         ? "metrics"
                          : key.entity == Entity::kParam ? "params"
                                                         : "tags",
                          name),
              *id);
    joined.push_back({key.entity, key.key, name});
    std::string column = fmt::format("{}.{}", name, metric_column(key.aggregate));
    terms.push_back(
        metric && key.aggregate == Aggregate::kLast
            ? fmt::format("CASE WHEN {0}.is_nan = 1 THEN 1 WHEN {0}.value IS NULL THEN 2 ELSE 0 END", name)
            : fmt::format("{} IS NULL", column));
    terms.push_back(column + std::string(direction));
  }
  if (!by_start) terms.emplace_back("r.start_time DESC");
  terms.emplace_back("r.uuid");
  return " ORDER BY " + join(terms, ", ");
}

Result<> add_conditions(Query& query, db::Connection& connection, const RunSearch& search,
                        const std::vector<Joined>& joined = {}) {
  query.add(" WHERE r.experiment IN ");
  query.add_list(search.experiments);
  add_lifecycle(query, " AND r.lifecycle", search.view);
  query.add(" AND ");
  return add_filter(query, search.filter,
                    [&](const Clause& clause) { return add_run_clause(query, connection, joined, clause); });
}

// Looks at every run of the experiments that passes.
Result<RunRows> look_at_all(db::Connection& connection, const RunSearch& search) {
  Query tables;
  std::vector<Joined> joined;
  std::string order_by = TRY(add_run_order(tables, connection, search.order, joined));
  // Sorting by a metric takes less with small rows; most of them are not wanted in the end.
  bool sorts = !joined.empty();
  Query query;
  query.add(fmt::format("SELECT {} FROM runs r", sorts ? "r.id" : kRunColumns));
  query.add(tables);
  TRY(add_conditions(query, connection, search, joined));
  query.add(order_by);
  query.add(" LIMIT ? OFFSET ?", search.max_results + 1, search.offset);
  RunRows runs;
  std::vector<int64_t> found;
  {
    db::Statement row = TRY(query.prepare(connection));
    while (TRY(row.step())) sorts ? found.push_back(row.integer(0)) : runs.add(row);
  }
  if (sorts) return RunRows::read(connection, std::move(found));
  return runs;
}

constexpr int64_t kManyRuns = 2'000;  // from here on a walk by value pays
constexpr int64_t kMaxWalk = 10'000;  // runs before the end of the page

// Whether the order is by one metric, the page is near the beginning and the experiments are large.
Result<std::optional<int64_t>> metric_to_walk(db::Connection& connection, const RunSearch& search) {
  if (search.order.size() != 1 || search.order[0].entity != Entity::kMetric ||
      search.offset + search.max_results > kMaxWalk)
    return std::nullopt;
  Query query;
  query.add("SELECT count(*) FROM (SELECT 1 FROM runs r WHERE r.experiment IN ");
  query.add_list(search.experiments);
  query.add(" LIMIT ?) counted", kManyRuns);
  db::Statement count = TRY(query.prepare(connection));
  TRY(count.step());
  if (count.integer(0) < kManyRuns) return std::nullopt;
  return TRY(find_key(connection, search.order[0].key));
}

struct Candidate {
  double value;
  int64_t start_time;
  std::string id;
  int64_t row;
};

// Follows the metrics' values from the best one on, until enough runs have passed.
Result<> walk_values(db::Connection& connection, const RunSearch& search, int64_t key,
                     std::string_view which_metrics, std::vector<Candidate>& found) {
  Query query;
  // CROSS JOIN: SQLite must begin with the metrics.
  const OrderKey& order = search.order[0];
  std::string_view column = metric_column(order.aggregate);
  query.add(fmt::format("SELECT o.{}, r.start_time, r.uuid, r.id FROM metrics o CROSS JOIN runs r", column));
  TRY(add_conditions(query, connection, search, {{order.entity, order.key, "o"}}));
  query.add(fmt::format(" AND o.run = r.id AND o.key = ? AND {} AND o.tail {} ORDER BY o.{}{}, "
                        "r.start_time DESC, r.uuid LIMIT ?",
                        order.aggregate == Aggregate::kLast ? "o.is_nan = 0"
                                                            : fmt::format("o.{} IS NOT NULL", column),
                        which_metrics, column, order.descending ? " DESC" : ""),
            key, search.offset + search.max_results + 1);
  db::Statement row = TRY(query.prepare(connection));
  while (TRY(row.step()))
    found.push_back({row.real(0), row.integer(1), std::string(row.text(2)), row.integer(3)});
  return {};
}

// The same runs by the indexes of values; nothing when those with a number are not enough: those without come
// behind them, in an order that no index has.
Result<std::optional<RunRows>> walk_metric(db::Connection& connection, const RunSearch& search) {
  std::optional<int64_t> key = TRY(metric_to_walk(connection, search));
  if (!key) return std::nullopt;
  std::vector<Candidate> found;
  TRY(walk_values(connection, search, *key, "IS NULL", found));      // of runs that have ended
  TRY(walk_values(connection, search, *key, "IS NOT NULL", found));  // still growing
  auto last = static_cast<size_t>(search.offset + search.max_results + 1);
  if (found.size() < last) return std::nullopt;
  bool descending = search.order[0].descending;
  std::sort(found.begin(), found.end(), [descending](const Candidate& a, const Candidate& b) {
    if (a.value != b.value) return descending ? a.value > b.value : a.value < b.value;
    return a.start_time != b.start_time ? a.start_time > b.start_time : a.id < b.id;
  });
  std::vector<int64_t> rows;
  for (auto i = static_cast<size_t>(search.offset); i < last; ++i) rows.push_back(found[i].row);
  return TRY(RunRows::read(connection, std::move(rows)));
}

}  // namespace

Result<RunSearch> parse_run_search(const SearchRuns& search) {
  if (search.max_results < 0 || search.max_results > kMaxSearchResults)
    return fail(
        Code::kInvalid,
        "Invalid value {} for parameter 'max_results' supplied:  Hint: Value was of type 'int'. See the API "
        "docs for more information about request parameters.",
        search.max_results);
  RunSearch parsed{.filter = {},
                   .order = {},
                   .experiments = {},
                   .view = search.view,
                   .max_results = search.max_results,
                   .offset = TRY(parse_page_token(search.page_token))};
  for (const std::string& id : search.experiment_ids)
    parsed.experiments.push_back(TRY(parse_experiment_id(id)));
  if (parsed.experiments.empty()) return parsed;
  parsed.filter = TRY(parse_filter(search.filter, Subject::kRuns));
  parsed.order = TRY(parse_order(search.order_by, Subject::kRuns));
  return parsed;
}

Result<RunRows> find_runs(db::Connection& connection, const RunSearch& search) {
  if (search.experiments.empty()) return RunRows();
  if (auto runs = TRY(walk_metric(connection, search))) return std::move(*runs);
  return look_at_all(connection, search);
}

Result<int64_t> count_runs(db::Connection& connection, const RunSearch& search) {
  if (search.experiments.empty()) return 0;
  Query query;
  query.add("SELECT count(*) FROM runs r");
  TRY(add_conditions(query, connection, search));
  db::Statement count = TRY(query.prepare(connection));
  TRY(count.step());
  return count.integer(0);
}

}  // namespace tidemill::tracking
