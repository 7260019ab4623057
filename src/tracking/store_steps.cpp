#include "tracking/store.h"
#include "tracking/store_state.h"

namespace tidemill::tracking {

Result<> put_step(db::Connection& connection, WriteCache& cache, const StepRecord& step) {
  RunRow run = TRY(cache.active_run(connection, step.run_id));
  cache.note_update(run, step.run_id);
  return connection.run(
      "INSERT INTO steps (run, name, state, attempt, step_run, key, reason) VALUES (?, ?, ?, ?, ?, ?, ?) "
      "ON CONFLICT (run, name) DO UPDATE SET state = excluded.state, attempt = excluded.attempt, "
      "step_run = excluded.step_run, key = excluded.key, reason = excluded.reason",
      run.row, step.step, step.state, step.attempt, step.step_run, step.key, step.reason);
}

Result<> put_step(db::Connection& connection, WriteCache& cache, const RunRequest& request) {
  RunRow run = TRY(cache.active_run(connection, request.run_id));
  return connection.run(
      "INSERT INTO run_requests (run, request) VALUES (?, ?) "
      "ON CONFLICT (run) DO UPDATE SET request = excluded.request",
      run.row, request.request);
}

Result<> note_result_change(db::Connection& connection) {
  return connection.run("UPDATE result_state SET changes = changes + 1 WHERE id = 1");
}

Result<> put_step(db::Connection& connection, WriteCache&, const StepResult& result) {
  TRY(
      connection.run("UPDATE result_state SET changes = changes + 1 WHERE id = 1 AND EXISTS "
                     "(SELECT 1 FROM step_results WHERE key = ? AND run <> ?)",
                     result.key, result.run_id));
  return connection.run(
      "INSERT INTO step_results (key, run, outputs) VALUES (?, ?, ?) "
      "ON CONFLICT (key) DO UPDATE SET run = excluded.run, outputs = excluded.outputs",
      result.key, result.run_id, result.outputs);
}

Result<> put_step(db::Connection& connection, WriteCache&, const StepKey& key) {
  return connection.run(
      "INSERT INTO step_keys (pipeline, step, key, ingredients, step_run) VALUES (?, ?, ?, ?, ?) "
      "ON CONFLICT (pipeline, step) DO UPDATE SET key = excluded.key, ingredients = excluded.ingredients, "
      "step_run = excluded.step_run",
      key.pipeline, key.step, key.key, key.ingredients, key.step_run);
}

Result<std::optional<std::string>> Store::run_request(std::string_view run_id) {
  using Found = std::optional<std::string>;
  return state_->read<Found>([&](Reader& reader) -> Result<Found> {
    db::Statement row = TRY(reader.connection->prepare(
        "SELECT q.request FROM runs r LEFT JOIN run_requests q ON q.run = r.id WHERE r.uuid = ?"));
    if (!TRY(row.bind(run_id).step())) return tl::unexpected<Error>(no_run(run_id));
    if (row.is_null(0)) return std::nullopt;
    return std::string(row.text(0));
  });
}

namespace {

using Records = std::vector<StepRecord>;

Result<Records> records_of(db::Connection& connection, std::string_view run_id) {
  db::Statement run = TRY(connection.prepare("SELECT id FROM runs WHERE uuid = ?"));
  if (!TRY(run.bind(run_id).step())) return tl::unexpected<Error>(no_run(run_id));
  db::Statement row = TRY(connection.prepare(
      "SELECT name, state, attempt, step_run, key, reason FROM steps WHERE run = ? ORDER BY name"));
  row.bind(run.integer(0));
  Records records;
  while (TRY(row.step()))
    records.push_back({.run_id = std::string(run_id),
                       .step = std::string(row.text(0)),
                       .state = std::string(row.text(1)),
                       .attempt = static_cast<int>(row.integer(2)),
                       .step_run = std::string(row.text(3)),
                       .key = std::string(row.text(4)),
                       .reason = std::string(row.text(5))});
  return records;
}

// "" when its steps are its own.
Result<std::string> steps_of(db::Connection& connection, std::string_view run_id) {
  db::Statement row = TRY(
      connection.prepare("SELECT t.value FROM tags t JOIN keys k ON k.id = t.key JOIN runs r ON r.id = t.run "
                         "WHERE r.uuid = ? AND k.name = ?"));
  return TRY(row.bind(run_id, kStepsOfTag).step()) ? std::string(row.text(0)) : "";
}

// The other run may be gone by now, and its steps with it.
Result<Records> reused_records(db::Connection& connection, std::string_view run_id,
                               const std::string& other) {
  auto records = records_of(connection, other);
  if (!records && records.error().code == Code::kNotFound) return Records{};
  if (!records) return records;
  for (auto& record : *records) {
    record.run_id = run_id;
    if (record.state == "reused") continue;
    record.state = "reused";
    record.reason = "nothing has changed since run " + record.step_run.substr(0, 8);
  }
  return records;
}

}  // namespace

Result<std::vector<StepRecord>> Store::step_records(std::string_view run_id) {
  return state_->read<Records>([&](Reader& reader) -> Result<Records> {
    Records records = TRY(records_of(*reader.connection, run_id));
    if (!records.empty()) return records;
    std::string other = TRY(steps_of(*reader.connection, run_id));
    return other.empty() ? records : reused_records(*reader.connection, run_id, other);
  });
}

Result<int64_t> Store::result_changes() {
  return state_->read<int64_t>([](Reader& reader) -> Result<int64_t> {
    db::Statement row = TRY(reader.connection->prepare("SELECT changes FROM result_state WHERE id = 1"));
    return TRY(row.step()) ? row.integer(0) : 0;
  });
}

Result<std::vector<std::optional<StepResult>>> Store::step_results(const std::vector<std::string>& keys) {
  using Results = std::vector<std::optional<StepResult>>;
  return state_->read<Results>([&](Reader& reader) -> Result<Results> {
    Results results(keys.size());
    for (size_t i = 0; i < keys.size(); ++i) {
      db::Statement row =
          TRY(reader.connection->prepare("SELECT s.run, s.outputs, r.artifact_uri, COALESCE(r.end_time, "
                                         "r.start_time) FROM step_results s JOIN runs r ON r.uuid = s.run "
                                         "WHERE s.key = ? AND r.lifecycle = 0"));
      if (TRY(row.bind(keys[i]).step()))
        results[i] = StepResult{keys[i], std::string(row.text(0)), std::string(row.text(1)),
                                std::string(row.text(2)), row.integer(3)};
    }
    return results;
  });
}

Result<std::optional<StepKey>> Store::step_key(std::string_view pipeline, std::string_view step) {
  using Found = std::optional<StepKey>;
  return state_->read<Found>([&](Reader& reader) -> Result<Found> {
    db::Statement row = TRY(reader.connection->prepare(
        "SELECT key, ingredients, step_run FROM step_keys WHERE pipeline = ? AND step = ?"));
    if (!TRY(row.bind(pipeline, step).step())) return std::nullopt;
    return StepKey{std::string(pipeline), std::string(step), std::string(row.text(0)),
                   std::string(row.text(1)), std::string(row.text(2))};
  });
}

}  // namespace tidemill::tracking
