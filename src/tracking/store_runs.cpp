#include <algorithm>

#include "base/id.h"
#include "base/text.h"
#include "base/time.h"
#include "tracking/model_metrics.h"
#include "tracking/run_data.h"
#include "tracking/store.h"
#include "tracking/store_state.h"
#include "tracking/validate.h"

namespace tidemill::tracking {

constexpr std::string_view kRunNameTag = "mlflow.runName";

namespace {

using LogCall = Store::LogCall;
using Fails = GroupCommit::Fails;

Result<> put_tag(db::Connection& connection, KeyIds& keys, int64_t run, std::string_view key,
                 std::string_view value) {
  if (key == kRunNameTag && value.empty()) return {};  // a run has a name, and keeps the one that it has
  TRY(
      connection.run("INSERT INTO tags (run, key, value) VALUES (?, ?, ?) "
                     "ON CONFLICT (run, key) DO UPDATE SET value = excluded.value",
                     run, TRY(keys.id(connection, key)), cut(value, kMaxTagChars)));
  if (key != kRunNameTag) return {};
  return connection.run("UPDATE runs SET name = ? WHERE id = ?", value, run);
}

struct ParamChange {
  std::string key, old_value, new_value;
};

Result<std::optional<ParamChange>> put_param(db::Connection& connection, KeyIds& keys, int64_t run,
                                             const KeyValue& param) {
  int64_t key = TRY(keys.id(connection, param.first));
  std::string_view value = cut(param.second, kMaxParamChars);
  db::Statement old = TRY(connection.prepare("SELECT value FROM params WHERE run = ? AND key = ?"));
  if (TRY(old.bind(run, key).step())) {
    if (old.text(0) == value) return std::nullopt;
    return ParamChange{param.first, std::string(old.text(0)), std::string(value)};
  }
  TRY(connection.run("INSERT INTO params (run, key, value) VALUES (?, ?, ?)", run, key, value));
  return std::nullopt;
}

Error params_changed(LogCall call, const std::vector<ParamChange>& changes, std::string_view run_id) {
  if (call == LogCall::kSingle)
    return {
        Code::kInvalid,
        fmt::format(
            "Changing param values is not allowed. Param with key='{}' was already logged with value='{}' "
            "for run ID='{}'. Attempted logging new value '{}'.",
            changes[0].key, changes[0].old_value, run_id, changes[0].new_value)};
  std::vector<std::string> entries;
  for (const ParamChange& change : changes)
    entries.push_back(fmt::format("{{'key': {}, 'old_value': {}, 'new_value': {}}}", python_repr(change.key),
                                  python_repr(change.old_value), python_repr(change.new_value)));
  return {Code::kInvalid,
          fmt::format("Changing param values is not allowed. Params were already logged='[{}]' for run "
                      "ID='{}'.",
                      join(entries, ", "), run_id)};
}

// A parameter that has another value already, or a model that is not there, is found after something is
// written.
Fails fails_of(const Batch& batch) {
  return batch.params.empty() && batch.of_models.empty() ? Fails::kBeforeWriting : Fails::kAnywhere;
}

Result<> put_metrics(db::Connection& connection, WriteCache& cache, int64_t run, const Batch& batch) {
  // What may be undone alone must not leave its points in the journal.
  bool journaled =
      batch.metrics.size() <= MetricJournal::kMaxCallPoints && fails_of(batch) == Fails::kBeforeWriting;
  if (!journaled) return cache.metrics.append(connection, cache.keys, run, batch.metrics);
  for (const Metric& metric : batch.metrics)
    cache.journal.add(run, TRY(cache.keys.id(connection, metric.key)),
                      {metric.timestamp, metric.step, finite(metric.value)});
  return {};
}

void note_batch(RunChange& change, const Batch& batch) {
  change.updated = change.updated || !batch.params.empty() || !batch.tags.empty();
  for (const Metric& metric : batch.metrics) change.metrics.insert(metric.key);
}

Result<> put_batch(db::Connection& connection, WriteCache& cache, std::string_view run_id, const Batch& batch,
                   LogCall call) {
  RunRow run = TRY(cache.active_run(connection, run_id));
  std::vector<ParamChange> changes;
  for (const KeyValue& param : batch.params) {
    std::optional<ParamChange> change = TRY(put_param(connection, cache.keys, run.row, param));
    if (change) changes.push_back(std::move(*change));
  }
  if (!changes.empty()) return tl::unexpected<Error>(params_changed(call, changes, run_id));
  for (const auto& [key, value] : batch.tags) TRY(put_tag(connection, cache.keys, run.row, key, value));
  TRY(put_model_metrics(connection, cache.keys, run.row, batch));
  TRY(put_metrics(connection, cache, run.row, batch));
  cache.points += batch.metrics.size();
  if (cache.changes.watched()) note_batch(cache.changes.run(run_id, run.experiment), batch);
  return {};
}

Result<Run> read_run(Reader& reader, std::string_view run_id) {
  db::Statement row =
      TRY(reader.connection->prepare(fmt::format("SELECT {} FROM runs r WHERE r.uuid = ?", kRunColumns)));
  if (!TRY(row.bind(run_id).step())) return tl::unexpected<Error>(no_run(run_id));
  Run run{.info = read_run_info(row), .metrics = {}, .params = {}, .tags = {}};
  TRY(load_run_data(reader, {{row.integer(0), &run}}));
  return run;
}

// The run's name and the tag that says the same must agree.
Result<std::string> name_of_new_run(const CreateRun& create) {
  std::string_view tag_name;
  for (const auto& [key, value] : create.tags)
    if (key == kRunNameTag) tag_name = value;
  if (!create.name.empty() && !tag_name.empty() && create.name != tag_name)
    return fail(Code::kInvalid,
                "Both 'run_name' argument and 'mlflow.runName' tag are specified, but with different values "
                "(run_name='{}', mlflow.runName='{}').",
                create.name, tag_name);
  if (!create.name.empty()) return create.name;
  return tag_name.empty() ? new_run_name() : std::string(tag_name);
}

Result<> insert_run(db::Connection& connection, Store::State& state, Run& run) {
  WriteCache& cache = state.cache;
  int64_t experiment = TRY(parse_experiment_id(run.info.experiment_id));
  db::Statement parent =
      TRY(connection.prepare("SELECT artifact_location, lifecycle FROM experiments WHERE id = ?"));
  if (!TRY(parent.bind(experiment).step()))
    return tl::unexpected<Error>(no_experiment(run.info.experiment_id));
  if (static_cast<Lifecycle>(parent.integer(1)) != Lifecycle::kActive)
    return tl::unexpected<Error>(not_active("experiment", run.info.experiment_id));
  if (run.info.artifact_uri.empty())
    run.info.artifact_uri = fmt::format("{}/{}/artifacts", state.place_of(parent.text(0)), run.info.id);
  int64_t row = TRY(
      connection.insert("INSERT INTO runs (uuid, experiment, lifecycle, status, start_time, end_time, name, "
                        "user_id, artifact_uri) VALUES (?, ?, 0, ?, ?, ?, ?, ?, ?)",
                        run.info.id, experiment, static_cast<int>(run.info.status), run.info.start_time,
                        run.info.end_time, run.info.name, run.info.user, run.info.artifact_uri));
  for (const auto& [key, value] : run.tags)
    TRY(
        connection.run("INSERT INTO tags (run, key, value) VALUES (?, ?, ?) "
                       "ON CONFLICT (run, key) DO UPDATE SET value = excluded.value",
                       row, TRY(cache.keys.id(connection, key)), cut(value, kMaxTagChars)));
  if (cache.changes.watched()) cache.changes.run(run.info.id, experiment).created = true;
  return {};
}

Result<> copy_data(db::Connection& connection, WriteCache& cache, std::string_view from, int64_t to) {
  RunRow source = TRY(cache.active_run(connection, from));
  MetricWriter* writer = TRY(cache.settled_metrics(connection));
  TRY(
      connection.run("INSERT INTO params (run, key, value) SELECT ?, key, value FROM params WHERE run = ? "
                     "ON CONFLICT (run, key) DO NOTHING",
                     to, source.row));
  TRY(
      connection.run("INSERT INTO tags (run, key, value) SELECT ?, t.key, t.value FROM tags t JOIN keys k "
                     "ON k.id = t.key WHERE t.run = ? AND k.name NOT LIKE 'mlflow.%' AND k.name NOT LIKE "
                     "'tidemill.%' ON CONFLICT (run, key) DO NOTHING",
                     to, source.row));
  std::vector<Metric> metrics;
  {
    db::Statement row = TRY(connection.prepare(
        "SELECT k.name, m.value, m.is_nan, m.timestamp, m.step FROM metrics m JOIN keys k ON k.id = m.key "
        "WHERE m.run = ? AND k.name NOT LIKE 'system/%'"));
    row.bind(source.row);
    while (TRY(row.step()))
      metrics.push_back({std::string(row.text(0)),
                         row.integer(2) ? std::numeric_limits<double>::quiet_NaN() : row.real(1),
                         row.integer(3), row.integer(4)});
  }
  TRY(writer->append(connection, cache.keys, to, metrics));
  return writer->seal(connection, to);
}

Result<RunInfo> change_run(db::Connection& connection, WriteCache& cache, const UpdateRun& update) {
  RunRow run = TRY(cache.active_run(connection, update.run_id));
  cache.note_update(run, update.run_id);
  if (update.status) {
    TRY(connection.run("UPDATE runs SET status = ? WHERE id = ?", static_cast<int>(*update.status), run.row));
    if (is_terminal(*update.status)) {
      TRY(TRY(cache.settled_metrics(connection))->seal(connection, run.row));
      if (cache.changes.watched()) cache.changes.run(update.run_id, run.experiment).finished = true;
    }
  }
  if (update.end_time) {
    std::optional<int64_t> time = *update.end_time != 0 ? update.end_time : std::nullopt;
    TRY(connection.run("UPDATE runs SET end_time = ? WHERE id = ?", time, run.row));
  }
  if (update.name && !update.name->empty())
    TRY(put_tag(connection, cache.keys, run.row, kRunNameTag, *update.name));
  db::Statement row =
      TRY(connection.prepare(fmt::format("SELECT {} FROM runs r WHERE r.id = ?", kRunColumns)));
  TRY(row.bind(run.row).step());
  return read_run_info(row);
}

Result<> check_change(const Change& change) {
  if (const auto* logged = std::get_if<LogBatch>(&change)) return check_batch(logged->batch);
  return {};
}

// Makes one change of Store::apply.
struct Maker {
  db::Connection& connection;
  Store::State& state;
  WriteCache& cache = state.cache;

  Result<> operator()(NewRun& change) const {
    TRY(insert_run(connection, state, change.run));
    if (change.data_of.empty()) return {};
    return copy_data(connection, cache, change.data_of, TRY(cache.run(connection, change.run.info.id)).row);
  }
  Result<> operator()(const UpdateRun& change) const {
    return change_run(connection, cache, change).map([](const RunInfo&) {});
  }
  Result<> operator()(const LogBatch& change) const {
    return put_batch(connection, cache, change.run_id, change.batch, LogCall::kBatch);
  }
  Result<> operator()(const RecordArtifacts& change) const {
    return put_artifacts(connection, cache, change.run_id, change.entries);
  }
  template <class Step>
  Result<> operator()(const Step& change) const {
    return put_step(connection, cache, change);
  }
};

}  // namespace

Result<> Store::apply(std::span<Change> changes) {
  if (changes.empty()) return {};
  for (const Change& change : changes) TRY(check_change(change));
  return state_->commits.run([&](db::Connection& connection) -> Result<> {
    for (Change& change : changes) TRY(std::visit(Maker{connection, *state_}, change));
    return {};
  });
}

Result<Run> Store::make_run(const CreateRun& create) {
  for (const auto& [key, value] : create.tags) TRY(check_length("key", key, kMaxKeyChars));
  std::string name = TRY(name_of_new_run(create));
  int64_t experiment = TRY(parse_experiment_id(create.experiment_id));
  Run run{.info = {.id = new_run_id(),
                   .name = name,
                   .experiment_id = std::to_string(experiment),
                   .user = create.user,
                   .status = RunStatus::kRunning,
                   .start_time = create.start_time == 0 ? now_ms() : create.start_time,
                   .end_time = {},
                   .artifact_uri = {},
                   .lifecycle = Lifecycle::kActive},
          .metrics = {},
          .params = {},
          .tags = create.tags};
  if (run.tag(kRunNameTag).empty()) run.tags.emplace_back(kRunNameTag, name);
  return run;
}

Result<Run> Store::create_run(const CreateRun& create) {
  Run run = TRY(make_run(create));
  TRY(check_unique_tags(run.tags));
  TRY(state_->commits.run([&](db::Connection& connection) { return insert_run(connection, *state_, run); },
                          Fails::kBeforeWriting));
  return run;
}

Result<Run> Store::run(std::string_view run_id) {
  return state_->read_metrics<Run>([&](Reader& reader) { return read_run(reader, run_id); });
}

Result<std::string> Store::experiment_of_run(std::string_view run_id) {
  return state_->read<std::string>([&](Reader& reader) -> Result<std::string> {
    db::Statement row = TRY(reader.connection->prepare("SELECT experiment FROM runs WHERE uuid = ?"));
    if (!TRY(row.bind(run_id).step())) return tl::unexpected<Error>(no_run(run_id));
    return std::to_string(row.integer(0));
  });
}

Result<RunInfo> Store::update_run(const UpdateRun& update) {
  RunInfo info;
  TRY(state_->commits.run([&](db::Connection& connection) -> Result<> {
    info = TRY(change_run(connection, state_->cache, update));
    return {};
  }));
  return info;
}

Result<> Store::delete_run(std::string_view run_id) {
  return state_->commits.run([&](db::Connection& connection) -> Result<> {
    RunRow run = TRY(state_->cache.run(connection, run_id));
    state_->cache.forget_runs();
    TRY(note_result_change(connection));
    state_->cache.note_update(run, run_id);
    return connection.run("UPDATE runs SET lifecycle = 1, deleted_time = ? WHERE id = ?", now_ms(), run.row);
  });
}

Result<> Store::restore_run(std::string_view run_id) {
  return state_->commits.run([&](db::Connection& connection) -> Result<> {
    RunRow run = TRY(state_->cache.run(connection, run_id));
    state_->cache.forget_runs();
    TRY(note_result_change(connection));
    state_->cache.note_update(run, run_id);
    return connection.run("UPDATE runs SET lifecycle = 0, deleted_time = NULL WHERE id = ?", run.row);
  });
}

static Result<> check_log(const LogBatch& log, LogCall call) {
  TRY(check_run_id(log.run_id));
  if (call == LogCall::kBatch) return check_batch(log.batch);
  for (const Metric& metric : log.batch.metrics) TRY(check_metric(metric));
  for (const KeyValue& param : log.batch.params) TRY(check_param_key(param.first));
  for (const KeyValue& tag : log.batch.tags) TRY(check_tag_key(tag.first));
  return {};
}

static Result<> log_now(GroupCommit& commits, WriteCache& cache, const LogBatch& log, LogCall call) {
  TRY(check_log(log, call));
  return commits.run(
      [&](db::Connection& connection) { return put_batch(connection, cache, log.run_id, log.batch, call); },
      fails_of(log.batch));
}

void Store::log_later(LogBatch log, LogCall call, std::function<void(Result<>)> done) {
  if (auto good = check_log(log, call); !good) return done(std::move(good));
  Fails fails = fails_of(log.batch);
  state_->commits.add(
      [&cache = state_->cache, log = std::move(log), call](db::Connection& connection) {
        return put_batch(connection, cache, log.run_id, log.batch, call);
      },
      std::move(done), fails);
}

void Store::create_run_later(const CreateRun& create, std::function<void(Result<Run>)> done) {
  auto made = make_run(create);
  if (!made) return done(std::move(made));
  if (auto unique = check_unique_tags(made->tags); !unique)
    return done(tl::unexpected<Error>(std::move(unique).error()));
  auto run = std::make_shared<Run>(std::move(*made));
  run->info.id = state_->ids.near_last(std::move(run->info.id));
  state_->commits.add(
      [&state = *state_, run](db::Connection& connection) { return insert_run(connection, state, *run); },
      [run, done = std::move(done)](Result<> written) {
        done(written ? Result<Run>(std::move(*run)) : tl::unexpected<Error>(std::move(written).error()));
      },
      Fails::kBeforeWriting);
}

std::optional<GroupCommit::Duration> Store::settle() { return state_->commits.settle(); }

Store::Written Store::written() const {
  return {state_->commits.commits(), state_->commits.requests(), state_->cache.points};
}

Result<> Store::log_batch(std::string_view run_id, const Batch& batch) {
  return log_now(state_->commits, state_->cache, {std::string(run_id), batch}, LogCall::kBatch);
}

Result<> Store::log_metric(std::string_view run_id, const Metric& metric,
                           const std::optional<MetricOfModel>& of_model) {
  Batch batch{.metrics = {metric}, .params = {}, .tags = {}};
  if (of_model) batch.of_models.push_back(*of_model);
  return log_now(state_->commits, state_->cache, {std::string(run_id), std::move(batch)}, LogCall::kSingle);
}

Result<> Store::log_param(std::string_view run_id, std::string_view key, std::string_view value) {
  Batch batch{.metrics = {}, .params = {{std::string(key), std::string(value)}}, .tags = {}};
  return log_now(state_->commits, state_->cache, {std::string(run_id), std::move(batch)}, LogCall::kSingle);
}

Result<> Store::set_tag(std::string_view run_id, std::string_view key, std::string_view value) {
  Batch batch{.metrics = {}, .params = {}, .tags = {{std::string(key), std::string(value)}}};
  return log_now(state_->commits, state_->cache, {std::string(run_id), std::move(batch)}, LogCall::kSingle);
}

Result<> Store::delete_tag(std::string_view run_id, std::string_view key) {
  return state_->commits.run([&](db::Connection& connection) -> Result<> {
    RunRow run = TRY(state_->cache.active_run(connection, run_id));
    state_->cache.note_update(run, run_id);
    TRY(connection.run("DELETE FROM tags WHERE run = ? AND key = (SELECT id FROM keys WHERE name = ?)",
                       run.row, key));
    if (TRY(connection.changes()) == 0)
      return fail(Code::kNotFound, "No tag with name: {} in run with id {}", key, run_id);
    return {};
  });
}

Result<std::vector<Run>> Store::running_runs_with_tag(std::string_view tag_key) {
  return state_->read_metrics<std::vector<Run>>([&](Reader& reader) -> Result<std::vector<Run>> {
    db::Statement row = TRY(reader.connection->prepare(fmt::format(
        "SELECT {} FROM runs r WHERE r.status = 1 AND EXISTS (SELECT 1 FROM tags t WHERE t.run = r.id "
        "AND t.key = (SELECT id FROM keys WHERE name = ?)) ORDER BY r.id",
        kRunColumns)));
    row.bind(tag_key);
    RunRows runs;
    while (TRY(row.step())) runs.add(row);
    return runs.load(*state_, reader);
  });
}

}  // namespace tidemill::tracking
