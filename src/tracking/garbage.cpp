#include "tracking/garbage.h"

#include <algorithm>

#include "base/time.h"
#include "tracking/grants.h"
#include "tracking/store_state.h"
#include "tracking/validate.h"

namespace tidemill::tracking {
namespace {

// A kind of thing that can be deleted: where it is, and how its rows tell id, artifacts, state and time.
struct Kind {
  std::string_view name;     // for errors
  std::string_view columns;  // id, artifact URI, lifecycle, time of deletion
  std::string_view table;
  std::string_view id_column;
};
constexpr Kind kRun{"Run", "uuid, artifact_uri, lifecycle, COALESCE(deleted_time, 0)", "runs", "uuid"};
constexpr Kind kModel{"Logged model", "model_id, artifact_uri, lifecycle, updated", "logged_models",
                      "model_id"};
constexpr Kind kExperiment{"Experiment", "id, '', lifecycle, updated", "experiments", "id"};

using Items = std::vector<Garbage::Item>;

Garbage::Item item_of(const db::Statement& row, const Kind& kind) {
  return {&kind == &kExperiment ? std::to_string(row.integer(0)) : std::string(row.text(0)),
          std::string(row.text(1))};
}

Result<Items> all_deleted(db::Connection& connection, const Kind& kind, int64_t before) {
  Items items;
  db::Statement row = TRY(connection.prepare(
      fmt::format("SELECT {} FROM {} WHERE lifecycle = 1 ORDER BY id", kind.columns, kind.table)));
  while (TRY(row.step()))
    if (row.integer(3) <= before) items.push_back(item_of(row, kind));
  return items;
}

Error not_found(const Kind& kind, std::string_view id) {
  if (&kind == &kRun) return no_run(id);
  return &kind == &kModel ? no_logged_model(id) : no_experiment(id);
}

Result<Items> selected(db::Connection& connection, const Kind& kind, const std::vector<std::string>& ids,
                       int64_t before) {
  Items items;
  for (const std::string& id : ids) {
    db::Statement row = TRY(connection.prepare(
        fmt::format("SELECT {} FROM {} WHERE {} = ?", kind.columns, kind.table, kind.id_column)));
    if (&kind == &kExperiment)
      row.bind(TRY(parse_experiment_id(id)));
    else
      row.bind(id);
    if (!TRY(row.step())) return tl::unexpected<Error>(not_found(kind, id));
    if (row.integer(2) != 1)
      return fail(Code::kInvalid, "{} {} is not deleted; only what is deleted can be removed for good",
                  kind.name, id);
    if (row.integer(3) > before)
      return fail(Code::kInvalid, "{} {} was deleted too short a time ago for --older-than", kind.name, id);
    items.push_back(item_of(row, kind));
  }
  return items;
}

Result<Items> find_kind(db::Connection& connection, const Kind& kind,
                        const std::optional<std::vector<std::string>>& ids, int64_t before) {
  return ids ? selected(connection, kind, *ids, before) : all_deleted(connection, kind, before);
}

// Adds what lies in the experiments, active or not.
Result<> add_members(db::Connection& connection, const Kind& kind, const Items& experiments, Items& items) {
  for (const Garbage::Item& experiment : experiments) {
    db::Statement row = TRY(connection.prepare(
        fmt::format("SELECT {} FROM {} WHERE experiment = ? ORDER BY id", kind.columns, kind.table)));
    row.bind(TRY(parse_experiment_id(experiment.id)));
    while (TRY(row.step())) {
      Garbage::Item item = item_of(row, kind);
      bool known = std::any_of(items.begin(), items.end(),
                               [&](const Garbage::Item& other) { return other.id == item.id; });
      if (!known) items.push_back(std::move(item));
    }
  }
  return {};
}

// The row's number; kInvalid unless it is deleted, alone or with its experiment.
Result<int64_t> deleted_row(db::Connection& connection, const Kind& kind, std::string_view id) {
  db::Statement row = TRY(connection.prepare(
      fmt::format("SELECT t.id, t.lifecycle, e.lifecycle FROM {} t JOIN experiments e ON e.id = t.experiment "
                  "WHERE t.{} = ?",
                  kind.table, kind.id_column)));
  if (!TRY(row.bind(id).step())) return tl::unexpected<Error>(not_found(kind, id));
  if (row.integer(1) != 1 && row.integer(2) != 1)
    return fail(Code::kInvalid, "{} {} is not deleted", kind.name, id);
  return row.integer(0);
}

Result<> run_all(db::Connection& connection, std::initializer_list<std::string_view> statements,
                 int64_t row) {
  for (std::string_view sql : statements) TRY(connection.run(sql, row));
  return {};
}

}  // namespace

Result<Garbage> GarbageCollection::find(const GarbageSelection& selection) {
  int64_t before = now_ms() - selection.older_than_ms;
  return state_.read<Garbage>([&](Reader& reader) -> Result<Garbage> {
    db::Connection& connection = *reader.connection;
    Garbage garbage;
    garbage.runs = TRY(find_kind(connection, kRun, selection.run_ids, before));
    garbage.models = TRY(find_kind(connection, kModel, selection.model_ids, before));
    garbage.experiments = TRY(find_kind(connection, kExperiment, selection.experiment_ids, before));
    TRY(add_members(connection, kRun, garbage.experiments, garbage.runs));
    TRY(add_members(connection, kModel, garbage.experiments, garbage.models));
    return garbage;
  });
}

Result<> GarbageCollection::erase_run(std::string_view id) {
  return state_.commits.run([&](db::Connection& connection) -> Result<> {
    int64_t row = TRY(deleted_row(connection, kRun, id));
    TRY(state_.cache.settled_metrics(connection));
    state_.cache.undone();  // a new run may get the number of this one
    TRY(run_all(connection,
                {"DELETE FROM metric_tails WHERE id IN (SELECT tail FROM metrics WHERE run = ?)",
                 "DELETE FROM metric_chunks WHERE run = ?", "DELETE FROM metric_summaries WHERE run = ?",
                 "DELETE FROM metrics WHERE run = ?", "DELETE FROM params WHERE run = ?",
                 "DELETE FROM tags WHERE run = ?", "DELETE FROM artifacts WHERE run = ?",
                 "DELETE FROM run_dataset_tags WHERE run = ?", "DELETE FROM run_datasets WHERE run = ?",
                 "DELETE FROM run_models WHERE run = ?", "DELETE FROM logged_model_metrics WHERE run = ?",
                 "DELETE FROM steps WHERE run = ?", "DELETE FROM run_requests WHERE run = ?",
                 "DELETE FROM runs WHERE id = ?"},
                row));
    TRY(note_result_change(connection));
    TRY(connection.run("DELETE FROM step_results WHERE run = ?", id));
    return connection.run("DELETE FROM step_keys WHERE step_run = ?", id);
  });
}

Result<> GarbageCollection::erase_model(std::string_view id) {
  return state_.commits.run([&](db::Connection& connection) -> Result<> {
    return run_all(
        connection,
        {"DELETE FROM logged_model_metrics WHERE model = ?",
         "DELETE FROM logged_model_params WHERE model = ?", "DELETE FROM logged_model_tags WHERE model = ?",
         "DELETE FROM logged_models WHERE id = ?"},
        TRY(deleted_row(connection, kModel, id)));
  });
}

Result<> GarbageCollection::erase_experiment(std::string_view id) {
  int64_t row = TRY(parse_experiment_id(id));
  return state_.commits.run([&](db::Connection& connection) -> Result<> {
    db::Statement left = TRY(
        connection.prepare("SELECT lifecycle, (SELECT count(*) FROM runs WHERE experiment = e.id) + "
                           "(SELECT count(*) FROM logged_models WHERE experiment = e.id) FROM experiments "
                           "e WHERE id = ?"));
    if (!TRY(left.bind(row).step())) return tl::unexpected<Error>(no_experiment(id));
    if (left.integer(0) != 1 || left.integer(1) != 0)
      return fail(Code::kInvalid, "Experiment {} is not deleted, or has runs or models left", id);
    TRY(forget_grants(connection, Granted::kExperiment, std::to_string(row)));
    if (row < kFileStoreIds)
      TRY(connection.run("UPDATE experiment_ids SET gone = ? WHERE id = 1 AND gone < ?", row, row));
    return run_all(
        connection,
        {"DELETE FROM datasets WHERE experiment = ?", "DELETE FROM experiment_tags WHERE experiment = ?",
         "DELETE FROM experiments WHERE id = ?"},
        row);
  });
}

}  // namespace tidemill::tracking
