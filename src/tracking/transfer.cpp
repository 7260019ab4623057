#include "tracking/transfer.h"

#include <algorithm>

#include "base/time.h"
#include "tracking/metric_reader.h"
#include "tracking/pairs.h"
#include "tracking/run_data.h"
#include "tracking/store_state.h"
#include "tracking/validate.h"

namespace tidemill::tracking {
namespace {

using Outcome = Transferred::Outcome;

Outcome outcome(bool is_new, bool changed) {
  if (is_new) return Outcome::kNew;
  return changed ? Outcome::kChanged : Outcome::kSame;
}

// --- experiments

constexpr PairTable kExperimentTags{"experiment_tags", "experiment"};

Result<std::optional<Experiment>> find_experiment(db::Connection& connection, const Experiment& wanted) {
  // The second is one that was renamed.
  db::Statement row = TRY(connection.prepare(
      fmt::format("SELECT {} FROM experiments e WHERE (e.id = ? AND e.created = ?) OR e.name = ? "
                  "ORDER BY e.name = ? DESC LIMIT 1",
                  kExperimentColumns)));
  int64_t id = TRY(parse_experiment_id(wanted.id));
  row.bind(id, wanted.created, wanted.name, wanted.name);
  if (!TRY(row.step())) return std::nullopt;
  return read_experiment(row);
}

Result<bool> is_taken(db::Connection& connection, std::string_view column, auto value) {
  db::Statement row = TRY(connection.prepare(fmt::format("SELECT 1 FROM experiments WHERE {} = ?", column)));
  return row.bind(value).step();
}

Result<int64_t> insert_experiment(db::Connection& connection, const Experiment& experiment,
                                  const std::string& default_root) {
  int64_t id = TRY(parse_experiment_id(experiment.id));
  if (id < 0 || TRY(is_taken(connection, "id", id))) id = TRY(next_experiment_id(connection));
  std::string location = experiment.artifact_location;
  if (location.empty()) location = fmt::format("{}/{}", default_root, id);
  TRY(
      connection.run("INSERT INTO experiments (id, name, artifact_location, lifecycle, created, updated) "
                     "VALUES (?, ?, ?, ?, ?, ?)",
                     id, experiment.name, location, static_cast<int>(experiment.lifecycle),
                     experiment.created, experiment.updated));
  return id;
}

// The experiment Default that each store begins with, as long as nobody has done anything with it.
Result<bool> is_untouched_default(db::Connection& connection) {
  db::Statement row = TRY(connection.prepare(
      "SELECT 1 FROM experiments e WHERE e.id = 0 AND e.name = 'Default' AND e.updated = e.created "
      "AND NOT EXISTS (SELECT 1 FROM runs r WHERE r.experiment = e.id) "
      "AND NOT EXISTS (SELECT 1 FROM logged_models m WHERE m.experiment = e.id) "
      "AND NOT EXISTS (SELECT 1 FROM experiment_tags t WHERE t.experiment = e.id)"));
  return row.step();
}

// Whether the Default of the other store becomes that of this one.
Result<bool> takes_default(db::Connection& connection, const Experiment& experiment,
                           const std::optional<Experiment>& old) {
  if (experiment.id != "0") return false;
  if (old && (old->id != "0" || old->created == experiment.created)) return false;
  return is_untouched_default(connection);
}

Result<> replace_default(db::Connection& connection, const Experiment& experiment,
                         const std::string& default_root) {
  std::string location = experiment.artifact_location;
  if (location.empty()) location = default_root + "/0";
  return connection.run(
      "UPDATE experiments SET name = ?, artifact_location = ?, lifecycle = ?, created = ?, updated = ? "
      "WHERE id = 0",
      experiment.name, location, static_cast<int>(experiment.lifecycle), experiment.created,
      experiment.updated);
}

Result<bool> update_experiment(db::Connection& connection, const Experiment& old, const Experiment& wanted,
                               Location location) {
  int64_t id = TRY(parse_experiment_id(old.id));
  std::string name = wanted.name;
  if (name != old.name && TRY(is_taken(connection, "name", std::string_view(name)))) name = old.name;
  bool moves = location == Location::kReplace && !wanted.artifact_location.empty();
  const std::string& place = moves ? wanted.artifact_location : old.artifact_location;
  int64_t updated = std::max(old.updated, wanted.updated);
  if (name == old.name && wanted.lifecycle == old.lifecycle && place == old.artifact_location &&
      updated == old.updated)
    return false;
  TRY(
      connection.run("UPDATE experiments SET name = ?, lifecycle = ?, updated = ?, artifact_location = ? "
                     "WHERE id = ?",
                     name, static_cast<int>(wanted.lifecycle), updated, place, id));
  return true;
}

// --- runs

constexpr PairTable kParams{"params", "run"}, kTags{"tags", "run"};

struct StoredRun {
  int64_t row = 0;
  RunInfo info;
  std::optional<int64_t> deleted_time;
};

Result<std::optional<StoredRun>> find_run(db::Connection& connection, std::string_view id) {
  db::Statement row = TRY(
      connection.prepare(fmt::format("SELECT {}, r.deleted_time FROM runs r WHERE r.uuid = ?", kRunColumns)));
  if (!TRY(row.bind(id).step())) return std::nullopt;
  return StoredRun{row.integer(0), read_run_info(row), row.optional_integer(10)};
}

bool same_info(const StoredRun& old, const RunInfo& info, std::optional<int64_t> deleted_time) {
  return old.info.name == info.name && old.info.experiment_id == info.experiment_id &&
         old.info.user == info.user && old.info.status == info.status &&
         old.info.start_time == info.start_time && old.info.end_time == info.end_time &&
         old.info.artifact_uri == info.artifact_uri && old.info.lifecycle == info.lifecycle &&
         old.deleted_time == deleted_time;
}

class RunWriter {
 public:
  RunWriter(db::Connection& connection, WriteCache& cache) : connection_(connection), cache_(cache) {}

  Result<Transferred> operator()(const TransferredRun& transferred) {
    RunInfo info = transferred.run.info;
    std::optional<int64_t> deleted = transferred.deleted_time;
    if (info.lifecycle == Lifecycle::kActive) deleted.reset();
    std::optional<StoredRun> old = TRY(find_run(connection_, info.id));
    if (old && transferred.location == Location::kKeep) info.artifact_uri = old->info.artifact_uri;
    bool changed = !old || !same_info(*old, info, deleted);
    int64_t row = old ? old->row : 0;
    if (!old)
      row = TRY(insert(info, deleted));
    else if (changed)
      TRY(update(row, info, deleted));
    changed =
        TRY(merge_numbered_pairs(connection_, cache_.keys, kParams, row, transferred.run.params)) || changed;
    changed =
        TRY(merge_numbered_pairs(connection_, cache_.keys, kTags, row, transferred.run.tags)) || changed;
    changed = TRY(put_lineage(row, transferred.run)) || changed;
    if (old && changed && is_terminal(info.status)) TRY(cache_.metrics.seal(connection_, row));
    return Transferred{.outcome = outcome(!old, changed)};
  }

  Result<Transferred> operator()(const RunPoints& run) {
    std::optional<StoredRun> stored = TRY(find_run(connection_, run.run_id));
    if (!stored) return tl::unexpected<Error>(no_run(run.run_id));
    Transferred result;
    for (const Series& series : run.series) result.new_points += TRY(put_series(stored->row, series));
    if (result.new_points > 0 && is_terminal(stored->info.status))
      TRY(cache_.metrics.seal(connection_, stored->row));
    if (result.new_points > 0) result.outcome = Outcome::kChanged;
    return result;
  }

 private:
  Result<int64_t> insert(const RunInfo& info, std::optional<int64_t> deleted_time) {
    return connection_.insert(
        "INSERT INTO runs (uuid, experiment, lifecycle, status, start_time, end_time, name, user_id, "
        "artifact_uri, deleted_time) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        info.id, TRY(parse_experiment_id(info.experiment_id)), static_cast<int>(info.lifecycle),
        static_cast<int>(info.status), info.start_time, info.end_time, info.name, info.user,
        info.artifact_uri, deleted_time);
  }

  Result<> update(int64_t row, const RunInfo& info, std::optional<int64_t> deleted_time) {
    cache_.forget_runs();
    return connection_.run(
        "UPDATE runs SET experiment = ?, lifecycle = ?, status = ?, start_time = ?, end_time = ?, name = ?, "
        "user_id = ?, artifact_uri = ?, deleted_time = ? WHERE id = ?",
        TRY(parse_experiment_id(info.experiment_id)), static_cast<int>(info.lifecycle),
        static_cast<int>(info.status), info.start_time, info.end_time, info.name, info.user,
        info.artifact_uri, deleted_time, row);
  }

  Result<bool> put_lineage(int64_t row, const Run& run) {
    RunRow place{row, TRY(parse_experiment_id(run.info.experiment_id)), run.info.lifecycle};
    bool changed = false;
    for (const DatasetInput& input : run.datasets)
      changed = TRY(put_dataset(connection_, place, input)) || changed;
    for (const std::string& id : run.model_inputs)
      changed = TRY(put_run_model(connection_, row, ModelRole::kInput, 0, id)) || changed;
    for (const ModelOutput& model : run.model_outputs)
      changed =
          TRY(put_run_model(connection_, row, ModelRole::kOutput, model.step, model.model_id)) || changed;
    return changed;
  }

  // The latest point of the metric, when it has points.
  Result<std::optional<Point>> latest(int64_t run, int64_t key) {
    db::Statement row = TRY(
        connection_.prepare("SELECT timestamp, step, value, is_nan FROM metrics WHERE run = ? AND key = ?"));
    if (!TRY(row.bind(run, key).step())) return std::nullopt;
    return Point{row.integer(0), row.integer(1),
                 row.integer(3) ? std::numeric_limits<double>::quiet_NaN() : row.real(2)};
  }

  Result<size_t> put_series(int64_t run, const Series& series) {
    std::vector<Point> points = series.points;
    for (Point& point : points) point.value = finite(point.value);  // as it is stored
    int64_t key = TRY(cache_.keys.id(connection_, series.key));
    std::optional<Point> last = TRY(latest(run, key));
    bool all_new = !last || std::all_of(points.begin(), points.end(),
                                        [&](const Point& point) { return later(point, *last); });
    if (!all_new) TRY(remove_present(run, key, points));
    TRY(cache_.metrics.append(connection_, run, key, points));
    return points.size();
  }

  Result<> remove_present(int64_t run, int64_t key, std::vector<Point>& points) {
    std::vector<Point> present = TRY(MetricReader(connection_, run, key).page(0, 0)).points;
    std::erase_if(points, [&](const Point& point) {
      auto [first, last] = std::equal_range(present.begin(), present.end(), point, earlier_in_history);
      return std::any_of(first, last, [&](const Point& other) { return same_point(point, other); });
    });
    return {};
  }

  db::Connection& connection_;
  WriteCache& cache_;
};

}  // namespace

Result<TransferredExperiment> Transfer::put_experiment(const Experiment& experiment, Location location) {
  TRY(check_experiment_name(experiment.name));
  TransferredExperiment result;
  TRY(state_.commits.run([&](db::Connection& connection) -> Result<> {
    std::optional<Experiment> old = TRY(find_experiment(connection, experiment));
    bool is_new = !old, changed = false;
    int64_t id = 0;
    if (TRY(takes_default(connection, experiment, old))) {
      TRY(replace_default(connection, experiment, state_.default_artifact_root));
      is_new = true;
    } else if (old) {
      id = TRY(parse_experiment_id(old->id));
      // Of an experiment of our own that has the same name only tags are added.
      if (old->created == experiment.created)
        changed = TRY(update_experiment(connection, *old, experiment, location));
    } else {
      id = TRY(insert_experiment(connection, experiment, state_.default_artifact_root));
    }
    changed = TRY(merge_pairs(connection, kExperimentTags, id, experiment.tags)) || changed;
    result = {std::to_string(id), outcome(is_new, changed)};
    return {};
  }));
  return result;
}

Result<TransferredRun> recorded_run(Store& store, std::string_view id) {
  TransferredRun recorded{.run = TRY(store.run(id)), .deleted_time = {}};
  if (recorded.run.info.lifecycle == Lifecycle::kActive) return recorded;
  TRY(store.read([&](db::Connection& connection) -> Result<> {
    if (auto row = TRY(find_run(connection, id))) recorded.deleted_time = row->deleted_time;
    return {};
  }));
  return recorded;
}

Result<std::vector<Transferred>> Transfer::put(std::span<const TransferItem> items) {
  std::vector<Transferred> results;
  TRY(state_.commits.run([&](db::Connection& connection) -> Result<> {
    results.clear();
    TRY(state_.cache.settled_metrics(connection));
    RunWriter writer(connection, state_.cache);
    for (const TransferItem& item : items) results.push_back(TRY(std::visit(writer, item)));
    return {};
  }));
  return results;
}

}  // namespace tidemill::tracking
