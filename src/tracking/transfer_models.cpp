#include <algorithm>
#include <cmath>

#include "tracking/metric_writer.h"
#include "tracking/pairs.h"
#include "tracking/registry_rows.h"
#include "tracking/store_state.h"
#include "tracking/transfer.h"
#include "tracking/validate.h"

namespace tidemill::tracking {
namespace {

using Outcome = Transferred::Outcome;

Outcome outcome(bool is_new, bool changed) {
  if (is_new) return Outcome::kNew;
  return changed ? Outcome::kChanged : Outcome::kSame;
}

struct Written {
  int64_t row = 0;
  bool is_new = false, changed = false;

  Outcome outcome() const { return tracking::outcome(is_new, changed); }
};

// --- logged models

Result<Written> write_logged_model(db::Connection& connection, const LoggedModel& model, Location location) {
  int64_t experiment = TRY(parse_experiment_id(model.experiment_id));
  int status = static_cast<int>(model.status), lifecycle = static_cast<int>(model.lifecycle);
  db::Statement old = TRY(connection.prepare(
      "SELECT id, lifecycle, status, updated, name, artifact_uri FROM logged_models WHERE model_id = ?"));
  if (!TRY(old.bind(model.id).step())) {
    int64_t row = TRY(connection.insert(
        "INSERT INTO logged_models (model_id, experiment, lifecycle, status, created, updated, name, "
        "model_type, source_run, artifact_uri) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        model.id, experiment, lifecycle, status, model.created, model.updated, model.name, model.model_type,
        model.source_run_id, model.artifact_uri));
    return Written{row, true, true};
  }
  std::string uri = location == Location::kReplace ? model.artifact_uri : std::string(old.text(5));
  Written written{.row = old.integer(0)};
  written.changed = old.integer(1) != lifecycle || old.integer(2) != status ||
                    old.integer(3) != model.updated || old.text(4) != model.name || old.text(5) != uri;
  if (written.changed)
    TRY(
        connection.run("UPDATE logged_models SET lifecycle = ?, status = ?, updated = ?, name = ?, "
                       "artifact_uri = ? WHERE id = ?",
                       lifecycle, status, model.updated, model.name, uri, written.row));
  return written;
}

// False when its run is not here.
Result<bool> put_model_metric(db::Connection& connection, KeyIds& keys, int64_t model,
                              const ModelMetric& point, bool& changed) {
  int64_t run = 0;
  {
    db::Statement row = TRY(connection.prepare("SELECT id FROM runs WHERE uuid = ?"));
    if (!TRY(row.bind(point.run_id).step())) return false;
    run = row.integer(0);
  }
  const Metric& metric = point.metric;
  bool nan = std::isnan(metric.value);
  double value = nan ? 0 : finite(metric.value);
  int64_t key = TRY(keys.id(connection, metric.key));
  {
    db::Statement old = TRY(connection.prepare(
        "SELECT value, is_nan FROM logged_model_metrics WHERE model = ? AND key = ? AND timestamp = ? AND "
        "step = ? AND run = ? AND dataset_name = ? AND dataset_digest = ?"));
    old.bind(model, key, metric.timestamp, metric.step, run, point.dataset_name, point.dataset_digest);
    if (TRY(old.step()) && old.real(0) == value && (old.integer(1) != 0) == nan) return true;
  }
  changed = true;
  TRY(connection.run(
      "INSERT INTO logged_model_metrics (model, key, timestamp, step, run, dataset_name, "
      "dataset_digest, value, is_nan) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (model, "
      "key, timestamp, step, run, dataset_name, dataset_digest) DO UPDATE SET "
      "value = excluded.value, is_nan = excluded.is_nan",
      model, key, metric.timestamp, metric.step, run, point.dataset_name, point.dataset_digest, value, nan));
  return true;
}

// --- registered models

Result<Written> write_model(db::Connection& connection, const RegisteredModel& model, int64_t last_version) {
  db::Statement old = TRY(connection.prepare(
      "SELECT id, description, updated, last_version FROM registered_models WHERE name = ?"));
  if (!TRY(old.bind(model.name).step())) {
    int64_t row = TRY(
        connection.insert("INSERT INTO registered_models (name, description, created, updated, last_version) "
                          "VALUES (?, ?, ?, ?, ?)",
                          model.name, model.description, model.created, model.updated, last_version));
    return Written{row, true, true};
  }
  Written written{.row = old.integer(0)};
  int64_t updated = std::max(old.integer(2), model.updated);
  last_version = std::max(last_version, old.integer(3));
  written.changed =
      old.text(1) != model.description || old.integer(2) != updated || old.integer(3) != last_version;
  if (written.changed)
    TRY(
        connection.run("UPDATE registered_models SET description = ?, updated = ?, last_version = ? "
                       "WHERE id = ?",
                       model.description, updated, last_version, written.row));
  return written;
}

// Nothing when the number is another version's here.
Result<std::optional<Written>> write_version(db::Connection& connection, int64_t model,
                                             const ModelVersion& version) {
  std::string_view storage = version.storage_location.empty() ? version.source : version.storage_location;
  int stage = static_cast<int>(version.stage);
  db::Statement old =
      TRY(connection.prepare("SELECT id, source, created, stage, description, updated, storage_location FROM "
                             "model_versions WHERE model = ? AND version = ?"));
  if (!TRY(old.bind(model, version.version).step())) {
    int64_t row = TRY(connection.insert(
        "INSERT INTO model_versions (model, version, stage, description, source, storage_location, run_id, "
        "run_link, model_id, created, updated) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        model, version.version, stage, version.description, version.source, storage, version.run_id,
        version.run_link, version.model_id, version.created, version.updated));
    return Written{row, true, true};
  }
  if (old.text(1) != version.source && old.integer(2) != version.created) return std::nullopt;
  Written written{.row = old.integer(0)};
  bool same_description = old.is_null(4) ? !version.description : version.description == old.text(4);
  written.changed = old.text(1) != version.source || old.integer(3) != stage || !same_description ||
                    old.integer(5) != version.updated || old.text(6) != storage;
  if (written.changed)
    TRY(
        connection.run("UPDATE model_versions SET source = ?, storage_location = ?, stage = ?, "
                       "description = ?, updated = ? WHERE id = ?",
                       version.source, storage, stage, version.description, version.updated, written.row));
  return written;
}

Result<bool> put_aliases(db::Connection& connection, int64_t model, const std::vector<ModelAlias>& aliases) {
  bool changed = false;
  for (const ModelAlias& alias : aliases) {
    db::Statement old =
        TRY(connection.prepare("SELECT version FROM registered_model_aliases WHERE model = ? AND alias = ?"));
    if (TRY(old.bind(model, alias.alias).step()) && old.integer(0) == alias.version) continue;
    TRY(
        connection.run("INSERT INTO registered_model_aliases (model, alias, version) VALUES (?, ?, ?) "
                       "ON CONFLICT (model, alias) DO UPDATE SET version = excluded.version",
                       model, alias.alias, alias.version));
    changed = true;
  }
  return changed;
}

Result<TransferredModelResult> write_registered(db::Connection& connection, const TransferredModel& given) {
  int64_t last = 0;
  for (const ModelVersion& version : given.versions) last = std::max(last, version.version);
  Written model = TRY(write_model(connection, given.model, last));
  TransferredModelResult result;
  for (const ModelVersion& version : given.versions) {
    std::optional<Written> written = TRY(write_version(connection, model.row, version));
    if (!written) {
      result.refused.push_back(version.version);
      continue;
    }
    if (TRY(merge_pairs(connection, {"model_version_tags", "version"}, written->row, version.tags)))
      written->changed = true;
    result.versions.push_back(written->outcome());
  }
  if (TRY(merge_pairs(connection, {"registered_model_tags", "model"}, model.row, given.model.tags)))
    model.changed = true;
  std::vector<ModelAlias> aliases = given.model.aliases;
  std::erase_if(aliases, [&](const ModelAlias& alias) {
    return std::find(result.refused.begin(), result.refused.end(), alias.version) != result.refused.end();
  });
  if (TRY(put_aliases(connection, model.row, aliases))) model.changed = true;
  result.model = model.outcome();
  return result;
}

}  // namespace

Result<Transferred> Transfer::put_logged_model(const LoggedModel& model, Location location,
                                               size_t& unknown_runs) {
  Transferred result;
  TRY(state_.commits.run([&](db::Connection& connection) -> Result<> {
    unknown_runs = 0;
    Written written = TRY(write_logged_model(connection, model, location));
    bool changed = TRY(merge_pairs(connection, {"logged_model_params", "model"}, written.row, model.params));
    changed =
        TRY(merge_pairs(connection, {"logged_model_tags", "model"}, written.row, model.tags)) || changed;
    for (const ModelMetric& point : model.metrics)
      if (!TRY(put_model_metric(connection, state_.cache.keys, written.row, point, changed))) ++unknown_runs;
    written.changed = written.changed || changed;
    result.outcome = written.outcome();
    return {};
  }));
  return result;
}

Result<TransferredModelResult> Transfer::put_registered_model(const TransferredModel& model) {
  TRY(check_model_name(model.model.name));
  TransferredModelResult result;
  TRY(state_.commits.run([&](db::Connection& connection) -> Result<> {
    result = TRY(write_registered(connection, model));
    return {};
  }));
  return result;
}

}  // namespace tidemill::tracking
