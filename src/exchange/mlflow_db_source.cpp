#include "exchange/mlflow_db_source.h"

#include <limits>

#include "artifacts/folder_repository.h"
#include "base/text.h"
#include "exchange/folder.h"
#include "tracking/schema.h"

namespace tidemill::exchange {
namespace {

constexpr std::string_view kDefaultWorkspace = "default";

// Damage in one place must not keep us from the rest: it concerns the thing that is being read.
template <class T>
Result<T> of_one_thing(Result<T> result) {
  if (!result && result.error().code == Code::kInternal) result.error().code = Code::kInvalid;
  return result;
}

bool is_text(std::string_view text) { return is_utf8(text) && text.find('\0') == std::string_view::npos; }

tracking::Lifecycle lifecycle_of(std::string_view stage) {
  return stage == "deleted" ? tracking::Lifecycle::kDeleted : tracking::Lifecycle::kActive;
}

int64_t number_of(const tracking::Experiment& experiment) { return std::stoll(experiment.id); }

std::optional<std::string> optional_text(const db::Statement& row, int column) {
  return row.is_null(column) ? std::nullopt : std::optional<std::string>(row.text(column));
}

}  // namespace

Result<MlflowDbSource> MlflowDbSource::open(const db::Location& location, fs::path served) {
  auto connection = TRY(db::open_foreign(location));
  fs::path folder = location.folder();
  if (served.empty()) served = folder / "mlartifacts";
  MlflowDbSource source(std::move(connection), std::move(folder), std::move(served));
  TRY(source.find_layout());
  return source;
}

Result<bool> MlflowDbSource::has(std::string_view column, std::string_view table) {
  auto row = connection_->prepare(fmt::format("SELECT {} FROM {} LIMIT 0", column, table));
  Result<bool> known = row ? row->step() : tl::unexpected<Error>(row.error());
  if (known) return true;
  // Not that the table is not there, but that nothing can be read.
  if (known.error().code == Code::kUnavailable || known.error().message.find("damaged") != std::string::npos)
    return tl::unexpected<Error>(std::move(known).error());
  return false;
}

Result<> MlflowDbSource::find_layout() {
  if (!TRY(has("run_uuid", "runs")) || !TRY(has("experiment_id", "experiments")) ||
      !TRY(has("step", "metrics"))) {
    auto mark = connection_->schema_mark();
    if (mark && mark->application == tracking::store_schema().application)
      return fail(
          Code::kInvalid,
          "{0} is a Tidemill store, no database of an MLflow server. Two stores are merged through a server: "
          "`tidemill server --store {0}`, then `tidemill import http://127.0.0.1:5000`",
          connection_->name());
    return fail(
        Code::kInvalid,
        "{}: no database of an MLflow server (of 1.0 or newer): it lacks runs, experiments or metrics",
        connection_->name());
  }
  layout_ = {.deleted_time = TRY(has("deleted_time", "runs")),
             .run_names = TRY(has("name", "runs")),
             .experiment_times = TRY(has("creation_time", "experiments")),
             .workspaces = TRY(has("workspace", "experiments")),
             .datasets = TRY(has("dataset_uuid", "datasets")) && TRY(has("input_uuid", "inputs")),
             .input_steps = TRY(has("step", "inputs")),
             .logged_models = TRY(has("model_id", "logged_models")),
             .aliases = TRY(has("alias", "registered_model_aliases")),
             .storage_location = TRY(has("storage_location", "model_versions")),
             .traces = TRY(has("request_id", "trace_info"))};
  return {};
}

std::string MlflowDbSource::place_of(std::string_view uri) const {
  std::optional<fs::path> local = artifacts::local_folder(uri);
  if (!local || local->is_absolute()) return std::string(uri);
  return (folder_ / *local).lexically_normal().string();
}

template <class Owner>
Result<> MlflowDbSource::read_pairs(std::string_view select, const Owner& owner, const std::string& what,
                                    std::vector<tracking::KeyValue>& pairs, Report& report) {
  db::Statement row = TRY(connection_->prepare(select));
  row.bind(owner);
  while (TRY(row.step())) {
    if (is_text(row.text(0)) && is_text(row.text(1)))
      pairs.emplace_back(row.text(0), row.text(1));
    else
      report.problem(what, "a key or value that is not UTF-8 text");
  }
  return {};
}

Result<std::vector<tracking::Experiment>> MlflowDbSource::experiments(Report& report) {
  std::vector<tracking::Experiment> found;
  {
    db::Statement row = TRY(connection_->prepare(
        fmt::format("SELECT experiment_id, name, artifact_location, lifecycle_stage, {}, {} FROM experiments "
                    "ORDER BY experiment_id",
                    layout_.experiment_times ? "creation_time, last_update_time" : "0, 0",
                    layout_.workspaces ? "workspace" : "'default'")));
    while (TRY(row.step())) {
      tracking::Experiment experiment{.id = std::to_string(row.integer(0)),
                                      .name = std::string(row.text(1)),
                                      .artifact_location = place_of(row.text(2)),
                                      .lifecycle = lifecycle_of(row.text(3)),
                                      .created = row.integer(4),
                                      .updated = row.integer(5),
                                      .tags = {}};
      // Names are unique only within a workspace there.
      if (row.text(6) != kDefaultWorkspace)
        experiment.name = fmt::format("{}/{}", row.text(6), experiment.name);
      if (is_text(experiment.name))
        found.push_back(std::move(experiment));
      else
        report.problem("experiment " + experiment.id, "its name is not UTF-8 text");
    }
  }
  for (tracking::Experiment& experiment : found)
    TRY(read_pairs("SELECT key, value FROM experiment_tags WHERE experiment_id = ? ORDER BY key",
                   number_of(experiment), "tags of experiment " + experiment.name, experiment.tags, report));
  return found;
}

Result<std::vector<std::string>> MlflowDbSource::runs(const tracking::Experiment& experiment,
                                                      Report& report) {
  int64_t id = number_of(experiment);
  std::vector<std::string> ids;
  {
    db::Statement row = TRY(connection_->prepare(
        "SELECT run_uuid FROM runs WHERE experiment_id = ? ORDER BY start_time, run_uuid"));
    row.bind(id);
    while (TRY(of_one_thing(row.step()))) ids.emplace_back(row.text(0));
  }
  if (!layout_.traces) return ids;
  db::Statement traces = TRY(connection_->prepare("SELECT count(*) FROM trace_info WHERE experiment_id = ?"));
  if (TRY(of_one_thing(traces.bind(id).step())) && traces.integer(0) > 0)
    report.notes.push_back(fmt::format("experiment {}: {} traces are not taken; Tidemill keeps none",
                                       experiment.name, traces.integer(0)));
  return ids;
}

Result<tracking::TransferredRun> MlflowDbSource::read_run(const tracking::Experiment& experiment,
                                                          const std::string& id) {
  db::Statement row = TRY(connection_->prepare(fmt::format(
      "SELECT user_id, status, start_time, end_time, lifecycle_stage, artifact_uri, {}, {} FROM runs WHERE "
      "run_uuid = ?",
      layout_.run_names ? "name" : "''", layout_.deleted_time ? "deleted_time" : "NULL")));
  if (!TRY(row.bind(id).step())) return fail(Code::kNotFound, "is gone");
  tracking::TransferredRun transferred;
  tracking::RunInfo& info = transferred.run.info;
  auto status = tracking::run_status_from(row.text(1));
  if (!status) return fail(Code::kInvalid, "its status is '{}'", row.text(1));
  info = {.id = id,
          .name = std::string(row.text(6)),
          .experiment_id = experiment.id,
          .user = std::string(row.text(0)),
          .status = *status,
          .start_time = row.integer(2),
          .end_time = row.optional_integer(3),
          .artifact_uri = place_of(row.text(5)),
          .lifecycle = lifecycle_of(row.text(4))};
  transferred.deleted_time = row.optional_integer(7);
  if (!is_text(id) || !is_text(info.name) || !is_text(info.user) || !is_text(info.artifact_uri))
    return fail(Code::kInvalid, "its id, name, user or artifact URI is not UTF-8 text");
  return transferred;
}

Result<tracking::TransferredRun> MlflowDbSource::run(const tracking::Experiment& experiment,
                                                     const std::string& id, Report& report) {
  tracking::TransferredRun transferred = TRY(of_one_thing(read_run(experiment, id)));
  tracking::Run& run = transferred.run;
  TRY(of_one_thing(read_pairs("SELECT key, value FROM params WHERE run_uuid = ? ORDER BY key", id,
                              "parameters of run " + id, run.params, report)));
  TRY(of_one_thing(read_pairs("SELECT key, value FROM tags WHERE run_uuid = ? ORDER BY key", id,
                              "tags of run " + id, run.tags, report)));
  if (run.info.name.empty()) run.info.name = run.tag("mlflow.runName");
  if (layout_.datasets) TRY(of_one_thing(read_datasets(run, report)));
  if (layout_.logged_models) TRY(of_one_thing(read_model_links(run)));
  return transferred;
}

Result<> MlflowDbSource::read_datasets(tracking::Run& run, Report& report) {
  std::vector<std::string> inputs;
  {
    db::Statement row = TRY(connection_->prepare(
        "SELECT i.input_uuid, d.name, d.digest, d.dataset_source_type, d.dataset_source, d.dataset_schema, "
        "d.dataset_profile FROM inputs i JOIN datasets d ON d.dataset_uuid = i.source_id WHERE "
        "i.destination_type = 'RUN' AND i.destination_id = ? AND i.source_type = 'DATASET' "
        "ORDER BY d.name, d.digest"));
    row.bind(run.info.id);
    while (TRY(row.step())) {
      inputs.emplace_back(row.text(0));
      run.datasets.push_back({.dataset = {.name = std::string(row.text(1)),
                                          .digest = std::string(row.text(2)),
                                          .source_type = std::string(row.text(3)),
                                          .source = std::string(row.text(4)),
                                          .schema = optional_text(row, 5),
                                          .profile = optional_text(row, 6)},
                              .tags = {}});
    }
  }
  for (size_t i = 0; i < inputs.size(); ++i)
    TRY(read_pairs("SELECT name, value FROM input_tags WHERE input_uuid = ? ORDER BY name", inputs[i],
                   "tags of the data sets of run " + run.info.id, run.datasets[i].tags, report));
  return {};
}

Result<> MlflowDbSource::read_model_links(tracking::Run& run) {
  db::Statement row = TRY(connection_->prepare(fmt::format(
      "SELECT destination_type, destination_id, {} FROM inputs WHERE source_id = ? AND source_type IN "
      "('RUN_INPUT', 'RUN_OUTPUT') ORDER BY destination_id",
      layout_.input_steps ? "step" : "0")));
  row.bind(run.info.id);
  while (TRY(row.step())) {
    if (row.text(0) == "MODEL_OUTPUT")
      run.model_outputs.push_back({std::string(row.text(1)), row.integer(2)});
    else
      run.model_inputs.emplace_back(row.text(1));
  }
  return {};
}

// A page is read at once and given away afterwards: while it is read, no MLflow server can write to an SQLite
// file.
Result<> MlflowDbSource::metrics(const tracking::TransferredRun& run, const PointSink& sink, Report&) {
  constexpr std::string_view kColumns =
      "SELECT key, timestamp, step, value, CASE WHEN is_nan THEN 1 ELSE 0 END FROM metrics WHERE run_uuid = "
      "? ";
  constexpr std::string_view kOrder = "ORDER BY key, timestamp, step, value LIMIT ?";
  const std::string first_page = fmt::format("{}{}", kColumns, kOrder);
  const std::string next_page =
      fmt::format("{}AND (key, timestamp, step, value) >= (?, ?, ?, ?) {}", kColumns, kOrder);
  auto limit = static_cast<int64_t>(kMostPoints);
  std::optional<tracking::Metric> last;
  for (bool more = true; more;) {
    const std::optional<tracking::Metric> before = last;
    std::vector<tracking::Series> page;
    int64_t rows = 0;
    {
      db::Statement row = TRY(connection_->prepare(last ? next_page : first_page));
      row.bind(run.run.info.id);
      if (last) row.bind(last->key, last->timestamp, last->step, last->value);
      row.bind(limit);
      while (TRY(of_one_thing(row.step()))) {
        ++rows;
        if (page.empty() || page.back().key != row.text(0)) page.push_back({std::string(row.text(0)), {}});
        bool nan = row.integer(4) != 0;
        page.back().points.push_back(
            {row.integer(1), row.integer(2), nan ? std::numeric_limits<double>::quiet_NaN() : row.real(3)});
        last = {page.back().key, row.real(3), row.integer(1), row.integer(2)};
      }
    }
    more = rows == limit;
    if (more && last == before)  // never in MLflow's own, where points are unique and keys are text
      return fail(Code::kInvalid, "more than {} points of '{}' cannot be told apart", limit, last->key);
    for (tracking::Series& series : page) TRY(sink(series.key, std::move(series.points)));
  }
  return {};
}

Result<std::vector<std::string>> MlflowDbSource::logged_models(const tracking::Experiment& experiment,
                                                               Report&) {
  std::vector<std::string> ids;
  if (!layout_.logged_models) return ids;
  db::Statement row = TRY(connection_->prepare(
      "SELECT model_id FROM logged_models WHERE experiment_id = ? ORDER BY creation_timestamp_ms, model_id"));
  row.bind(number_of(experiment));
  while (TRY(of_one_thing(row.step()))) ids.emplace_back(row.text(0));
  return ids;
}

Result<tracking::LoggedModel> MlflowDbSource::logged_model(const tracking::Experiment& experiment,
                                                           const std::string& id, Report& report) {
  tracking::LoggedModel model;
  {
    db::Statement row = TRY(connection_->prepare(
        "SELECT name, artifact_location, creation_timestamp_ms, last_updated_timestamp_ms, status, "
        "lifecycle_stage, model_type, source_run_id FROM logged_models WHERE model_id = ?"));
    if (!TRY(of_one_thing(row.bind(id).step()))) return fail(Code::kNotFound, "is gone");
    if (row.integer(4) < 0 || row.integer(4) > 3)
      return fail(Code::kInvalid, "its status is {}", row.integer(4));
    model = {.id = id,
             .experiment_id = experiment.id,
             .name = std::string(row.text(0)),
             .model_type = std::string(row.text(6)),
             .source_run_id = std::string(row.text(7)),
             .artifact_uri = place_of(row.text(1)),
             .status = static_cast<tracking::ModelStatus>(row.integer(4)),
             .lifecycle = lifecycle_of(row.text(5)),
             .created = row.integer(2),
             .updated = row.integer(3),
             .params = {},
             .tags = {},
             .metrics = {}};
  }
  TRY(of_one_thing(read_pairs(
      "SELECT param_key, param_value FROM logged_model_params WHERE model_id = ? ORDER BY param_key", id,
      "parameters of logged model " + id, model.params, report)));
  TRY(of_one_thing(
      read_pairs("SELECT tag_key, tag_value FROM logged_model_tags WHERE model_id = ? ORDER BY tag_key", id,
                 "tags of logged model " + id, model.tags, report)));
  TRY(of_one_thing(read_model_metrics(model)));
  return model;
}

Result<> MlflowDbSource::read_model_metrics(tracking::LoggedModel& model) {
  db::Statement row = TRY(connection_->prepare(
      "SELECT metric_name, metric_value, metric_timestamp_ms, metric_step, run_id, dataset_name, "
      "dataset_digest "
      "FROM logged_model_metrics WHERE model_id = ? ORDER BY metric_name, metric_timestamp_ms, metric_step"));
  row.bind(model.id);
  while (TRY(row.step())) {
    double value = row.is_null(1) ? std::numeric_limits<double>::quiet_NaN() : row.real(1);
    model.metrics.push_back({.metric = {std::string(row.text(0)), value, row.integer(2), row.integer(3)},
                             .run_id = std::string(row.text(4)),
                             .dataset_name = std::string(row.text(5)),
                             .dataset_digest = std::string(row.text(6))});
  }
  return {};
}

Result<std::vector<std::string>> MlflowDbSource::registered_models(Report& report) {
  std::vector<std::string> names;
  if (!TRY(has("name", "registered_models"))) return names;
  db::Statement row =
      TRY(connection_->prepare(fmt::format("SELECT name, {} FROM registered_models ORDER BY name",
                                           layout_.workspaces ? "workspace" : "'default'")));
  while (TRY(of_one_thing(row.step()))) {
    if (row.text(1) == kDefaultWorkspace)
      names.emplace_back(row.text(0));
    else
      report.problem(fmt::format("registered model {}", row.text(0)),
                     fmt::format("is of the workspace {}; there is one name space here", row.text(1)));
  }
  return names;
}

Result<tracking::TransferredModel> MlflowDbSource::registered_model(const std::string& name, Report& report) {
  tracking::TransferredModel transferred;
  const std::string_view only = layout_.workspaces ? " AND workspace = 'default'" : "";
  {
    db::Statement row = TRY(connection_->prepare(fmt::format(
        "SELECT creation_time, last_updated_time, description FROM registered_models WHERE name = ?{}",
        only)));
    if (!TRY(of_one_thing(row.bind(name).step()))) return fail(Code::kNotFound, "is gone");
    transferred.model = {.name = name,
                         .created = row.integer(0),
                         .updated = row.integer(1),
                         .description = std::string(row.text(2)),
                         .latest_versions = {},
                         .tags = {},
                         .aliases = {}};
  }
  TRY(of_one_thing(read_pairs(
      fmt::format("SELECT key, value FROM registered_model_tags WHERE name = ?{} ORDER BY key", only), name,
      "tags of registered model " + name, transferred.model.tags, report)));
  TRY(of_one_thing(read_versions(transferred, report)));
  if (!layout_.aliases) return transferred;
  db::Statement row = TRY(connection_->prepare(fmt::format(
      "SELECT alias, version FROM registered_model_aliases WHERE name = ?{} ORDER BY alias", only)));
  row.bind(name);
  while (TRY(of_one_thing(row.step())))
    transferred.model.aliases.push_back({std::string(row.text(0)), row.integer(1)});
  return transferred;
}

Result<> MlflowDbSource::read_versions(tracking::TransferredModel& model, Report& report) {
  const std::string_view only = layout_.workspaces ? " AND workspace = 'default'" : "";
  db::Statement row =
      TRY(connection_->prepare(fmt::format("SELECT version, creation_time, last_updated_time, description, "
                                           "current_stage, source, run_id, run_link, "
                                           "{} FROM model_versions WHERE name = ?{} ORDER BY version",
                                           layout_.storage_location ? "storage_location" : "''", only)));
  row.bind(model.model.name);
  while (TRY(row.step())) {
    std::string_view stage = row.text(4);
    if (stage == "Deleted_Internal") continue;
    tracking::ModelVersion version{.name = model.model.name,
                                   .version = row.integer(0),
                                   .created = row.integer(1),
                                   .updated = row.integer(2),
                                   .description = optional_text(row, 3),
                                   .stage = TRY(tracking::parse_stage(stage.empty() ? "None" : stage)),
                                   .source = place_of(row.text(5)),
                                   .storage_location = place_of(row.text(8)),
                                   .run_id = std::string(row.text(6)),
                                   .run_link = std::string(row.text(7)),
                                   .model_id = {},
                                   .tags = {},
                                   .aliases = {}};
    constexpr std::string_view kModelUri = "models:/m-";
    if (version.source.starts_with(kModelUri)) version.model_id = version.source.substr(kModelUri.size() - 2);
    TRY(read_pairs(
        fmt::format(
            "SELECT key, value FROM model_version_tags WHERE name = ?{} AND version = {} ORDER BY key", only,
            version.version),
        model.model.name, "tags of registered model " + model.model.name, version.tags, report));
    model.versions.push_back(std::move(version));
  }
  return {};
}

Result<> MlflowDbSource::files(const std::string& artifact_uri, const FileSink& sink, Report& report) {
  return local_files(artifact_uri, served_, sink, report);
}

}  // namespace tidemill::exchange
