#include "base/text.h"
#include "tracking/filter.h"
#include "tracking/page_token.h"
#include "tracking/query.h"
#include "tracking/run_data.h"
#include "tracking/store.h"
#include "tracking/store_state.h"
#include "tracking/validate.h"

namespace tidemill::tracking {
namespace {

constexpr int64_t kMaxResults = 50'000;

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

std::string_view experiment_column(std::string_view attribute) {
  if (attribute == "name") return "e.name";
  if (attribute == "creation_time") return "e.created";
  if (attribute == "last_update_time") return "e.updated";
  return "e.id";
}

// A test of one value that a run has under a key: metric, parameter or tag. A run without it never passes.
void add_keyed_test(Query& query, const Clause& clause, int64_t key) {
  std::string_view table = clause.entity == Entity::kMetric  ? "metrics"
                           : clause.entity == Entity::kParam ? "params"
                                                             : "tags";
  query.add(fmt::format("{}EXISTS (SELECT 1 FROM {} v WHERE v.run = r.id AND v.key = ?",
                        clause.op == Op::kIsNull ? "NOT " : "", table),
            key);
  if (clause.entity == Entity::kMetric) {
    add_metric_test(query, clause);
  } else if (clause.op != Op::kIsNull && clause.op != Op::kIsNotNull) {
    query.add(" AND ");
    add_text_test(query, "v.value", clause);
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
  if (clause.op != Op::kIsNull && clause.op != Op::kIsNotNull) {
    query.add(" AND ");
    add_text_test(query, by_context ? "v.value" : clause.key == "name" ? "v.name" : "v.digest", clause);
  }
  query.add(")");
}

Result<> add_run_clause(Query& query, db::Connection& connection, const Clause& clause) {
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
  std::optional<int64_t> key = TRY(find_key(connection, clause.key));
  if (key) {
    add_keyed_test(query, clause, *key);
  } else {
    query.add(clause.op == Op::kIsNull ? "1 = 1" : "1 = 0");  // nothing has such a key
  }
  return {};
}

// Adds the joins that the order needs and returns the ORDER BY clause.
Result<std::string> add_run_order(Query& query, db::Connection& connection,
                                  const std::vector<OrderKey>& keys) {
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
    terms.push_back(
        metric ? fmt::format("CASE WHEN {0}.is_nan = 1 THEN 1 WHEN {0}.value IS NULL THEN 2 ELSE 0 END", name)
               : fmt::format("{}.value IS NULL", name));
    terms.push_back(fmt::format("{}.value{}", name, direction));
  }
  if (!by_start) terms.emplace_back("r.start_time DESC");
  terms.emplace_back("r.uuid");
  return " ORDER BY " + join(terms, ", ");
}

void add_lifecycle(Query& query, std::string_view column, ViewType view) {
  query.add(fmt::format("{}{}", column,
                        view == ViewType::kActiveOnly    ? " = 0"
                        : view == ViewType::kDeletedOnly ? " = 1"
                                                         : " IN (0, 1)"));
}

Result<Query> run_query(db::Connection& connection, const SearchRuns& search,
                        const std::vector<int64_t>& experiments, int64_t offset) {
  Filter filter = TRY(parse_filter(search.filter, Subject::kRuns));
  std::vector<OrderKey> order = TRY(parse_order(search.order_by, Subject::kRuns));
  Query query;
  query.add(fmt::format("SELECT {} FROM runs r", kRunColumns));
  std::string order_by = TRY(add_run_order(query, connection, order));
  query.add(" WHERE r.experiment IN ");
  query.add_list(experiments);
  add_lifecycle(query, " AND r.lifecycle", search.view);
  query.add(" AND ");
  TRY(add_filter(query, filter,
                 [&](const Clause& clause) { return add_run_clause(query, connection, clause); }));
  query.add(order_by);
  query.add(" LIMIT ? OFFSET ?", search.max_results + 1, offset);
  return query;
}

Result<Page<Run>> find_runs(Reader& reader, const SearchRuns& search, const std::vector<int64_t>& experiments,
                            int64_t offset) {
  Query query = TRY(run_query(*reader.connection, search, experiments, offset));
  Page<Run> page;
  RunRows runs;
  db::Statement row = TRY(query.prepare(*reader.connection));
  while (TRY(row.step())) {
    if (static_cast<int64_t>(runs.size()) == search.max_results) {
      page.next_page_token = make_page_token(offset + search.max_results);
      break;
    }
    runs.add(row);
  }
  page.items = TRY(runs.load(reader));
  return page;
}

Result<Query> experiment_query(const SearchExperiments& search, int64_t offset) {
  Filter filter = TRY(parse_filter(search.filter, Subject::kExperiments));
  std::vector<OrderKey> order = TRY(parse_order(search.order_by, Subject::kExperiments));
  Query query;
  query.add(fmt::format("SELECT {} FROM experiments e WHERE ", kExperimentColumns));
  add_lifecycle(query, "e.lifecycle", search.view);
  query.add(" AND ");
  TRY(add_filter(query, filter, [&](const Clause& clause) -> Result<> {
    if (clause.entity == Entity::kTag)
      add_tag_test(query, "experiment_tags t WHERE t.experiment = e.id", clause);
    else if (clause.key == "name")
      add_text_test(query, experiment_column(clause.key), clause);
    else
      add_number_test(query, experiment_column(clause.key), clause);
    return {};
  }));
  std::vector<std::string> terms;
  bool by_id = false;
  for (const OrderKey& key : order) {
    terms.push_back(fmt::format("{}{}", experiment_column(key.key), key.descending ? " DESC" : ""));
    by_id = by_id || key.key == "experiment_id";
  }
  if (order.empty())
    terms = {"e.created DESC", "e.id"};
  else if (!by_id)
    terms.emplace_back("e.id DESC");
  query.add(fmt::format(" ORDER BY {} LIMIT ? OFFSET ?", join(terms, ", ")), search.max_results + 1, offset);
  return query;
}

}  // namespace

Result<Page<Run>> Store::search_runs(const SearchRuns& search) {
  if (search.max_results < 0 || search.max_results > kMaxResults)
    return fail(
        Code::kInvalid,
        "Invalid value {} for parameter 'max_results' supplied:  Hint: Value was of type 'int'. See the API "
        "docs for more information about request parameters.",
        search.max_results);
  int64_t offset = TRY(parse_page_token(search.page_token));
  std::vector<int64_t> experiments;
  for (const std::string& id : search.experiment_ids) experiments.push_back(TRY(parse_experiment_id(id)));
  if (experiments.empty()) return Page<Run>{};
  return state_->read<Page<Run>>(
      [&](Reader& reader) { return find_runs(reader, search, experiments, offset); });
}

Result<Page<Experiment>> Store::search_experiments(const SearchExperiments& search) {
  if (search.max_results <= 0)
    return fail(Code::kInvalid,
                "Invalid value {} for parameter 'max_results' supplied. It must be a positive integer",
                search.max_results);
  if (search.max_results > kMaxResults)
    return fail(Code::kInvalid,
                "Invalid value {} for parameter 'max_results' supplied. It must be at most {}",
                search.max_results, kMaxResults);
  int64_t offset = TRY(parse_page_token(search.page_token));
  Query query = TRY(experiment_query(search, offset));
  return state_->read<Page<Experiment>>([&](Reader& reader) -> Result<Page<Experiment>> {
    Page<Experiment> page;
    db::Statement row = TRY(query.prepare(*reader.connection));
    while (TRY(row.step())) {
      if (static_cast<int64_t>(page.items.size()) == search.max_results) {
        page.next_page_token = make_page_token(offset + search.max_results);
        break;
      }
      page.items.push_back(read_experiment(row));
      TRY(load_experiment_tags(*reader.connection, page.items.back()));
    }
    return page;
  });
}

}  // namespace tidemill::tracking
