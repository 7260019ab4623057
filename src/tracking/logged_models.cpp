#include "tracking/logged_models.h"

#include <limits>

#include "base/id.h"
#include "base/json.h"
#include "base/text.h"
#include "base/time.h"
#include "tracking/page_token.h"
#include "tracking/query.h"
#include "tracking/store_state.h"
#include "tracking/validate.h"

namespace tidemill::tracking {
namespace {

constexpr int64_t kDefaultResults = 50;
constexpr int64_t kMaxResults = 50'000;

struct StatusName {
  ModelStatus status;
  std::string_view name;
};
constexpr StatusName kStatusNames[] = {{ModelStatus::kUnspecified, "LOGGED_MODEL_STATUS_UNSPECIFIED"},
                                       {ModelStatus::kPending, "LOGGED_MODEL_PENDING"},
                                       {ModelStatus::kReady, "LOGGED_MODEL_READY"},
                                       {ModelStatus::kUploadFailed, "LOGGED_MODEL_UPLOAD_FAILED"}};

// The columns that read_model expects, in this order, of logged_models m.
constexpr std::string_view kModelColumns =
    "m.id, m.model_id, m.experiment, m.name, m.model_type, m.source_run, m.artifact_uri, m.status, "
    "m.lifecycle, m.created, m.updated";

LoggedModel read_model(const db::Statement& row) {
  return {.id = std::string(row.text(1)),
          .experiment_id = std::to_string(row.integer(2)),
          .name = std::string(row.text(3)),
          .model_type = std::string(row.text(4)),
          .source_run_id = std::string(row.text(5)),
          .artifact_uri = std::string(row.text(6)),
          .status = static_cast<ModelStatus>(row.integer(7)),
          .lifecycle = static_cast<Lifecycle>(row.integer(8)),
          .created = row.integer(9),
          .updated = row.integer(10),
          .params = {},
          .tags = {},
          .metrics = {}};
}

Result<> load_pairs(db::Connection& connection, std::string_view sql, int64_t model,
                    std::vector<KeyValue>& pairs) {
  db::Statement row = TRY(connection.prepare(sql));
  row.bind(model);
  while (TRY(row.step())) pairs.emplace_back(row.text(0), row.text(1));
  return {};
}

// Fills parameters, tags and metrics.
Result<> load_model_data(db::Connection& connection, int64_t row_id, LoggedModel& model) {
  TRY(load_pairs(connection, "SELECT key, value FROM logged_model_params WHERE model = ? ORDER BY key",
                 row_id, model.params));
  TRY(load_pairs(connection, "SELECT key, value FROM logged_model_tags WHERE model = ? ORDER BY key", row_id,
                 model.tags));
  db::Statement row = TRY(connection.prepare(
      "SELECT k.name, v.value, v.is_nan, v.timestamp, v.step, r.uuid, v.dataset_name, v.dataset_digest "
      "FROM logged_model_metrics v JOIN keys k ON k.id = v.key JOIN runs r ON r.id = v.run "
      "WHERE v.model = ? ORDER BY k.name, v.timestamp, v.step, r.uuid, v.dataset_name, v.dataset_digest"));
  row.bind(row_id);
  while (TRY(row.step())) {
    double value = row.integer(2) ? std::numeric_limits<double>::quiet_NaN() : row.real(1);
    model.metrics.push_back({.metric = {std::string(row.text(0)), value, row.integer(3), row.integer(4)},
                             .run_id = std::string(row.text(5)),
                             .dataset_name = std::string(row.text(6)),
                             .dataset_digest = std::string(row.text(7))});
  }
  return {};
}

// For changes: a deleted model may still be finished and tagged, as in MLflow.
Result<int64_t> row_of(db::Connection& connection, std::string_view model_id) {
  db::Statement row = TRY(connection.prepare("SELECT id FROM logged_models WHERE model_id = ?"));
  if (!TRY(row.bind(model_id).step())) return tl::unexpected<Error>(no_logged_model(model_id));
  return row.integer(0);
}

Result<> put_tags(db::Connection& connection, int64_t model, const std::vector<KeyValue>& tags) {
  for (const auto& [key, value] : tags)
    TRY(
        connection.run("INSERT INTO logged_model_tags (model, key, value) VALUES (?, ?, ?) "
                       "ON CONFLICT (model, key) DO UPDATE SET value = excluded.value",
                       model, key, value));
  return {};
}

Result<> put_params(db::Connection& connection, int64_t model, std::string_view model_id,
                    const std::vector<KeyValue>& params) {
  for (const auto& [key, full_value] : params) {
    std::string_view value = cut(full_value, kMaxParamChars);
    TRY(
        connection.run("INSERT INTO logged_model_params (model, key, value) VALUES (?, ?, ?) "
                       "ON CONFLICT DO NOTHING",
                       model, key, value));
    if (TRY(connection.changes()) > 0) continue;
    db::Statement old =
        TRY(connection.prepare("SELECT value FROM logged_model_params WHERE model = ? AND key = ?"));
    TRY(old.bind(model, key).step());
    if (old.text(0) != value)
      return fail(Code::kInvalid,
                  "Changing param values is not allowed. Param with key='{}' was already logged with "
                  "value='{}' for model ID='{}'. Attempted logging new value '{}'.",
                  key, old.text(0), model_id, value);
  }
  return {};
}

Result<> check_pairs(const std::vector<KeyValue>& params, const std::vector<KeyValue>& tags) {
  for (const auto& [key, value] : params) TRY(check_model_tag(key, cut(value, kMaxParamChars)));
  for (const auto& [key, value] : tags) TRY(check_model_tag(key, value));
  return {};
}

Result<> insert_model(db::Connection& connection, const Store::State& state, LoggedModel& model) {
  int64_t experiment = TRY(parse_experiment_id(model.experiment_id));
  db::Statement parent =
      TRY(connection.prepare("SELECT artifact_location, lifecycle FROM experiments WHERE id = ?"));
  if (!TRY(parent.bind(experiment).step())) return tl::unexpected<Error>(no_experiment(model.experiment_id));
  if (static_cast<Lifecycle>(parent.integer(1)) != Lifecycle::kActive)
    return tl::unexpected<Error>(not_active("experiment", model.experiment_id));
  model.artifact_uri = fmt::format("{}/models/{}/artifacts", state.place_of(parent.text(0)), model.id);
  int64_t row = TRY(connection.insert(
      "INSERT INTO logged_models (model_id, experiment, lifecycle, status, created, updated, name, "
      "model_type, source_run, artifact_uri) VALUES (?, ?, 0, ?, ?, ?, ?, ?, ?, ?)",
      model.id, experiment, static_cast<int>(model.status), model.created, model.updated, model.name,
      model.model_type, model.source_run_id, model.artifact_uri));
  TRY(put_params(connection, row, model.id, model.params));
  return put_tags(connection, row, model.tags);
}

Result<LoggedModel> read_one(db::Connection& connection, std::string_view model_id,
                             LoggedModels::Deleted deleted) {
  db::Statement row = TRY(
      connection.prepare(fmt::format("SELECT {} FROM logged_models m WHERE m.model_id = ?", kModelColumns)));
  bool found = TRY(row.bind(model_id).step());
  if (found && deleted == LoggedModels::Deleted::kHidden && row.integer(8) != 0) found = false;
  if (!found) return tl::unexpected<Error>(no_logged_model(model_id));
  LoggedModel model = read_model(row);
  TRY(load_model_data(connection, row.integer(0), model));
  return model;
}

std::string_view model_column(std::string_view attribute) {
  if (attribute == "name") return "m.name";
  if (attribute == "model_id") return "m.model_id";
  if (attribute == "experiment_id") return "CAST(m.experiment AS TEXT)";
  if (attribute == "lifecycle_stage") return "CASE m.lifecycle WHEN 0 THEN 'active' ELSE 'deleted' END";
  if (attribute == "model_type") return "m.model_type";
  if (attribute == "source_run_id") return "m.source_run";
  if (attribute == "artifact_location") return "m.artifact_uri";
  if (attribute == "creation_timestamp") return "m.created";
  if (attribute == "last_updated_timestamp") return "m.updated";
  return "CASE m.status WHEN 1 THEN 'PENDING' WHEN 2 THEN 'READY' WHEN 3 THEN 'FAILED' ELSE '' END";
}

// " AND ..." for logged_model_metrics v; a name or digest that is "" is not looked at.
void add_dataset_test(Query& query, const DatasetFilter& dataset) {
  if (!dataset.name.empty()) query.add(" AND v.dataset_name = ?", dataset.name);
  if (!dataset.digest.empty()) query.add(" AND v.dataset_digest = ?", dataset.digest);
}

// " AND (one OR other)" of the data sets.
void add_dataset_tests(Query& query, const std::vector<DatasetFilter>& datasets) {
  if (datasets.empty()) return;
  query.add(" AND (");
  for (const DatasetFilter& dataset : datasets) {
    query.add(&dataset == &datasets.front() ? "(1 = 1" : " OR (1 = 1");
    add_dataset_test(query, dataset);
    query.add(")");
  }
  query.add(")");
}

// MLflow knows a status by its number only.
Clause with_named_status(Clause clause) {
  if (clause.key != "status") return clause;
  auto rename = [](std::string& value) {
    if (value == "1") value = "PENDING";
    if (value == "2") value = "READY";
    if (value == "3") value = "FAILED";
  };
  rename(clause.text);
  for (std::string& value : clause.list) rename(value);
  return clause;
}

Result<> add_clause(Query& query, db::Connection& connection, const Clause& clause,
                    const std::vector<DatasetFilter>& datasets) {
  if (clause.entity == Entity::kAttribute) {
    bool numeric = clause.key.ends_with("_timestamp");
    numeric ? add_number_test(query, model_column(clause.key), clause)
            : add_text_test(query, model_column(clause.key), with_named_status(clause));
    return {};
  }
  if (clause.entity != Entity::kMetric) {
    std::string_view table = clause.entity == Entity::kParam ? "logged_model_params" : "logged_model_tags";
    add_tag_test(query, fmt::format("{} t WHERE t.model = m.id", table), clause);
    return {};
  }
  std::optional<int64_t> key = TRY(find_key(connection, clause.key));
  if (!key) {
    query.add(clause.op == Op::kIsNull ? "1 = 1" : "1 = 0");
    return {};
  }
  query.add(fmt::format("{}EXISTS (SELECT 1 FROM logged_model_metrics v WHERE v.model = m.id AND v.key = ?",
                        clause.op == Op::kIsNull ? "NOT " : ""),
            *key);
  add_metric_test(query, "v", clause);
  add_dataset_tests(query, datasets);
  query.end_exists();
  return {};
}

Result<> add_order(Query& query, db::Connection& connection, const std::vector<ModelOrder>& order_by) {
  query.add(" ORDER BY ");
  bool by_creation = false;
  for (const ModelOrder& order : order_by) {
    OrderKey key = TRY(parse_order({order.field}, Subject::kLoggedModels)).front();
    std::string_view direction = order.ascending ? " NULLS LAST, " : " DESC NULLS LAST, ";
    if (key.entity == Entity::kAttribute) {
      query.add(fmt::format("{}{}", model_column(key.key), direction));
      by_creation = by_creation || key.key == "creation_timestamp";
      continue;
    }
    std::optional<int64_t> id = TRY(find_key(connection, key.key));
    if (!id) continue;  // missing everywhere: orders nothing
    query.add(
        "(SELECT CASE WHEN v.is_nan = 0 THEN v.value END FROM logged_model_metrics v WHERE v.model = m.id "
        "AND v.key = ?",
        *id);
    add_dataset_test(query, order.dataset);
    query.add(fmt::format(" ORDER BY v.timestamp DESC, v.step DESC, v.run LIMIT 1){}", direction));
  }
  if (!by_creation) query.add("m.created DESC, ");
  query.add("m.model_id");
  return {};
}

Result<Query> search_query(db::Connection& connection, const SearchLoggedModels& search,
                           const std::vector<int64_t>& experiments) {
  Filter filter = TRY(parse_filter(search.filter, Subject::kLoggedModels));
  Query query;
  query.add(fmt::format("SELECT {} FROM logged_models m WHERE m.lifecycle = 0 AND m.experiment IN ",
                        kModelColumns));
  query.add_list(experiments);
  bool any_metric = false;
  query.add(" AND ");
  TRY(add_filter(query, filter, [&](const Clause& clause) {
    any_metric = any_metric || clause.entity == Entity::kMetric;
    return add_clause(query, connection, clause, search.datasets);
  }));
  if (!any_metric && !search.datasets.empty()) {
    query.add(" AND EXISTS (SELECT 1 FROM logged_model_metrics v WHERE v.model = m.id");
    add_dataset_tests(query, search.datasets);
    query.add(")");
  }
  TRY(add_order(query, connection, search.order_by));
  return query;
}

Result<> check_search(const SearchLoggedModels& search) {
  for (const DatasetFilter& dataset : search.datasets)
    if (dataset.name.empty())
      return fail(Code::kInvalid, "`dataset_name` in the `datasets` clause must be specified.");
  for (const ModelOrder& order : search.order_by)
    if (order.field.empty())
      return fail(Code::kInvalid, "`field_name` in the `order_by` clause must be specified.");
  if (search.max_results < 0 || search.max_results > kMaxResults)
    return fail(Code::kInvalid,
                "Invalid value {} for parameter 'max_results' supplied. It must be from 1 to {}",
                search.max_results, kMaxResults);
  return {};
}

}  // namespace

std::string_view to_string(ModelStatus status) {
  for (const StatusName& one : kStatusNames)
    if (one.status == status) return one.name;
  return kStatusNames[0].name;
}

std::optional<ModelStatus> model_status_from(std::string_view name) {
  for (const StatusName& one : kStatusNames)
    if (one.name == name) return one.status;
  return std::nullopt;
}

Result<LoggedModel> LoggedModels::create(const CreateLoggedModel& create) {
  TRY(check_logged_model_name(create.name));
  TRY(check_pairs(create.params, create.tags));
  int64_t now = now_ms();
  LoggedModel model{.id = "m-" + new_run_id(),
                    .experiment_id = create.experiment_id,
                    .name = create.name.empty() ? new_run_name() : create.name,
                    .model_type = create.model_type,
                    .source_run_id = create.source_run_id,
                    .artifact_uri = {},
                    .created = now,
                    .updated = now,
                    .params = create.params,
                    .tags = create.tags,
                    .metrics = {}};
  TRY(state_.commits.run(
      [&](db::Connection& connection) { return insert_model(connection, state_, model); }));
  return model;
}

Result<LoggedModel> LoggedModels::get(std::string_view model_id, Deleted deleted) {
  return state_.read<LoggedModel>(
      [&](Reader& reader) { return read_one(*reader.connection, model_id, deleted); });
}

Result<std::string> LoggedModels::experiment_of(std::string_view model_id) {
  return state_.read<std::string>([&](Reader& reader) -> Result<std::string> {
    db::Statement row =
        TRY(reader.connection->prepare("SELECT experiment FROM logged_models WHERE model_id = ?"));
    if (!TRY(row.bind(model_id).step())) return tl::unexpected<Error>(no_logged_model(model_id));
    return std::to_string(row.integer(0));
  });
}

Result<LoggedModel> LoggedModels::finalize(std::string_view model_id, ModelStatus status) {
  LoggedModel model;
  TRY(state_.commits.run([&](db::Connection& connection) -> Result<> {
    TRY(connection.run("UPDATE logged_models SET status = ?, updated = ? WHERE id = ?",
                       static_cast<int>(status), now_ms(), TRY(row_of(connection, model_id))));
    model = TRY(read_one(connection, model_id, Deleted::kShown));
    return {};
  }));
  return model;
}

Result<> LoggedModels::remove(std::string_view model_id) {
  return state_.commits.run([&](db::Connection& connection) -> Result<> {
    return connection.run("UPDATE logged_models SET lifecycle = 1, updated = ? WHERE id = ?", now_ms(),
                          TRY(row_of(connection, model_id)));
  });
}

Result<> add_model_version(db::Connection& connection, std::string_view model_id, std::string_view name,
                           int64_t version) {
  constexpr std::string_view kTag = "mlflow.modelVersions";
  int64_t model = TRY(row_of(connection, model_id));
  Json versions = Json::array();
  {
    db::Statement row =
        TRY(connection.prepare("SELECT value FROM logged_model_tags WHERE model = ? AND key = ?"));
    // A client may have written something else there.
    if (TRY(row.bind(model, kTag).step())) versions = parse_json(row.text(0)).value_or(versions);
    if (!versions.is_array()) versions = Json::array();
  }
  versions.push_back({{"name", name}, {"version", version}});
  return put_tags(connection, model, {{std::string(kTag), dump_json(versions)}});
}

Result<> LoggedModels::set_tags(std::string_view model_id, const std::vector<KeyValue>& tags) {
  TRY(check_pairs({}, tags));
  return state_.commits.run([&](db::Connection& connection) -> Result<> {
    return put_tags(connection, TRY(row_of(connection, model_id)), tags);
  });
}

Result<> LoggedModels::delete_tag(std::string_view model_id, std::string_view key) {
  return state_.commits.run([&](db::Connection& connection) -> Result<> {
    TRY(connection.run("DELETE FROM logged_model_tags WHERE model = ? AND key = ?",
                       TRY(row_of(connection, model_id)), key));
    if (TRY(connection.changes()) > 0) return {};
    return fail(Code::kNotFound, "No tag with key {} found for model with ID {}.", python_repr(key),
                python_repr(model_id));
  });
}

Result<> LoggedModels::log_params(std::string_view model_id, const std::vector<KeyValue>& params) {
  TRY(check_pairs(params, {}));
  return state_.commits.run([&](db::Connection& connection) -> Result<> {
    return put_params(connection, TRY(row_of(connection, model_id)), model_id, params);
  });
}

Result<Page<LoggedModel>> LoggedModels::search(const SearchLoggedModels& search) {
  TRY(check_search(search));
  int64_t offset = TRY(parse_page_token(search.page_token));
  int64_t max_results = search.max_results == 0 ? kDefaultResults : search.max_results;
  std::vector<int64_t> experiments;
  for (const std::string& id : search.experiment_ids) experiments.push_back(TRY(parse_experiment_id(id)));
  if (experiments.empty()) return Page<LoggedModel>{};
  return state_.read<Page<LoggedModel>>([&](Reader& reader) -> Result<Page<LoggedModel>> {
    db::Connection& connection = *reader.connection;
    Query query = TRY(search_query(connection, search, experiments));
    query.add(" LIMIT ? OFFSET ?", max_results + 1, offset);
    Page<LoggedModel> page;
    db::Statement row = TRY(query.prepare(connection));
    while (TRY(row.step())) {
      if (static_cast<int64_t>(page.items.size()) == max_results) {
        page.next_page_token = make_page_token(offset + max_results);
        break;
      }
      page.items.push_back(read_model(row));
      TRY(load_model_data(connection, row.integer(0), page.items.back()));
    }
    return page;
  });
}

}  // namespace tidemill::tracking
