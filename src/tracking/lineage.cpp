#include "tracking/lineage.h"

#include "tracking/query.h"
#include "tracking/store_state.h"
#include "tracking/validate.h"

namespace tidemill::tracking {

constexpr std::string_view kContextTag = "mlflow.data.context";
constexpr int64_t kMaxSummaries = 1000;

static Result<int64_t> dataset_row(db::Connection& connection, int64_t experiment, const Dataset& dataset) {
  TRY(
      connection.run("INSERT INTO datasets (experiment, name, digest, source_type, source, schema, profile) "
                     "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (experiment, name, digest) DO NOTHING",
                     experiment, dataset.name, dataset.digest, dataset.source_type, dataset.source,
                     dataset.schema, dataset.profile));
  db::Statement row =
      TRY(connection.prepare("SELECT id FROM datasets WHERE experiment = ? AND name = ? AND digest = ?"));
  TRY(row.bind(experiment, dataset.name, dataset.digest).step());
  return row.integer(0);
}

Result<bool> put_dataset(db::Connection& connection, const RunRow& run, const DatasetInput& input) {
  int64_t dataset = TRY(dataset_row(connection, run.experiment, input.dataset));
  TRY(connection.run("INSERT INTO run_datasets (run, dataset) VALUES (?, ?) ON CONFLICT DO NOTHING", run.row,
                     dataset));
  if (TRY(connection.changes()) == 0) return false;
  for (const auto& [key, value] : input.tags)
    TRY(
        connection.run("INSERT INTO run_dataset_tags (run, dataset, key, value) VALUES (?, ?, ?, ?) "
                       "ON CONFLICT (run, dataset, key) DO UPDATE SET value = excluded.value",
                       run.row, dataset, key, value));
  return true;
}

Result<bool> put_run_model(db::Connection& connection, int64_t run, ModelRole role, int64_t step,
                           std::string_view model_id) {
  TRY(connection.run(
      "INSERT INTO run_models (run, role, step, model) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", run,
      static_cast<int>(role), step, model_id));
  return TRY(connection.changes()) > 0;
}

Result<> Lineage::log_inputs(std::string_view run_id, const std::vector<DatasetInput>& datasets,
                             const std::vector<std::string>& model_ids) {
  TRY(check_run_id(run_id));
  for (const DatasetInput& input : datasets) TRY(check_dataset_input(input));
  return state_.commits.run([&](db::Connection& connection) -> Result<> {
    RunRow run = TRY(state_.cache.active_run(connection, run_id));
    state_.cache.note_update(run, run_id);
    for (const DatasetInput& input : datasets) TRY(put_dataset(connection, run, input));
    for (const std::string& id : model_ids) TRY(put_run_model(connection, run.row, ModelRole::kInput, 0, id));
    return {};
  });
}

Result<> Lineage::log_outputs(std::string_view run_id, const std::vector<ModelOutput>& models) {
  TRY(check_run_id(run_id));
  return state_.commits.run([&](db::Connection& connection) -> Result<> {
    RunRow run = TRY(state_.cache.active_run(connection, run_id));
    state_.cache.note_update(run, run_id);
    for (const ModelOutput& model : models)
      TRY(put_run_model(connection, run.row, ModelRole::kOutput, model.step, model.model_id));
    return {};
  });
}

Result<std::vector<DatasetSummary>> Lineage::datasets(const std::vector<std::string>& experiment_ids) {
  std::vector<int64_t> experiments;
  for (const std::string& id : experiment_ids) experiments.push_back(TRY(parse_experiment_id(id)));
  if (experiments.empty()) return std::vector<DatasetSummary>();
  Query query;
  query.add(
      "SELECT DISTINCT d.experiment, d.name, d.digest, t.value FROM datasets d JOIN run_datasets u ON "
      "u.dataset = d.id LEFT JOIN run_dataset_tags t ON t.run = u.run AND t.dataset = u.dataset AND "
      "t.key = ? WHERE d.experiment IN ",
      std::string(kContextTag));
  query.add_list(experiments);
  query.add(" ORDER BY d.experiment, d.name, d.digest, t.value NULLS FIRST LIMIT ?", kMaxSummaries);
  return state_.read<std::vector<DatasetSummary>>([&](Reader& reader) -> Result<std::vector<DatasetSummary>> {
    std::vector<DatasetSummary> summaries;
    db::Statement row = TRY(query.prepare(*reader.connection));
    while (TRY(row.step()))
      summaries.push_back(
          {.experiment_id = std::to_string(row.integer(0)),
           .name = std::string(row.text(1)),
           .digest = std::string(row.text(2)),
           .context = row.is_null(3) ? std::nullopt : std::optional<std::string>(row.text(3))});
    return summaries;
  });
}

}  // namespace tidemill::tracking
