#include "tracking/kept_results.h"

#include <algorithm>
#include <cctype>
#include <functional>
#include <map>
#include <set>
#include <unordered_map>

#include "base/time.h"
#include "tracking/store_state.h"

namespace tidemill::tracking {
namespace {

constexpr size_t kRunIdDigits = 32;

// A pipeline's run, as far as it keeps results alive.
struct Pipeline {
  int64_t row = 0;
  std::string name, run_id;
  int64_t start_time = 0;
  RunStatus status = RunStatus::kRunning;
};

// Reads all that is recorded of the results and of those who use them.
class Survey {
 public:
  explicit Survey(db::Connection& connection) : connection_(connection) {}

  Result<std::vector<KeptResult>> results() {
    TRY(read_results());
    TRY(read_reuse());
    TRY(read_models());
    TRY(read_pipelines());
    std::stable_sort(results_.begin(), results_.end(),
                     [](const KeptResult& a, const KeptResult& b) { return a.last_used < b.last_used; });
    return std::move(results_);
  }

 private:
  using Visit = std::function<void(db::Statement&)>;
  template <class... Values>
  Result<> each(std::string_view sql, const Visit& visit, const Values&... values) {
    db::Statement row = TRY(connection_.prepare(sql));
    row.bind(values...);
    while (TRY(row.step())) visit(row);
    return {};
  }

  Result<> read_results() {
    TRY(
        each("SELECT s.key, s.run, s.outputs, r.artifact_uri, COALESCE(r.end_time, r.start_time), "
             "(SELECT t.value FROM tags t JOIN keys k ON k.id = t.key WHERE t.run = r.id AND k.name = "
             "'tidemill.step'), "
             "(SELECT CAST(COALESCE(sum(a.size), 0) AS BIGINT) FROM artifacts a WHERE a.run = r.id), "
             "(SELECT count(*) FROM artifacts a WHERE a.run = r.id) "
             "FROM step_results s JOIN runs r ON r.uuid = s.run WHERE r.lifecycle = 0 ORDER BY s.key",
             [&](db::Statement& row) {
               results_.push_back({.key = std::string(row.text(0)),
                                   .run_id = std::string(row.text(1)),
                                   .step = row.is_null(5) ? "" : std::string(row.text(5)),
                                   .artifact_uri = std::string(row.text(3)),
                                   .outputs = std::string(row.text(2)),
                                   .bytes = static_cast<uint64_t>(row.integer(6)),
                                   .files = static_cast<uint64_t>(row.integer(7)),
                                   .last_used = row.integer(4),
                                   .needed_by = {}});
             }));
    for (size_t i = 0; i < results_.size(); ++i) by_run_[results_[i].run_id].push_back(i);
    return {};
  }

  // Runs that point to the files of another one, and steps that point to the run itself.
  Result<> read_reuse() {
    TRY(each(
        "SELECT r.uuid, t.value, r.start_time FROM tags t JOIN keys k ON k.id = t.key JOIN runs r ON r.id = "
        "t.run "
        "WHERE k.name = 'tidemill.reused_run' AND r.lifecycle = 0",
        [&](db::Statement& row) {
          makers_[std::string(row.text(0))] = row.text(1);
          use(std::string(row.text(1)), row.integer(2));
        }));
    return each(
        "SELECT s.step_run, max(r.start_time) FROM steps s JOIN runs r ON r.id = s.run "
        "WHERE s.state = 'reused' AND r.lifecycle = 0 GROUP BY s.step_run",
        [&](db::Statement& row) { use(std::string(row.text(0)), row.integer(1)); });
  }

  Result<> read_models() {
    TRY(
        each("SELECT m.name, v.version, v.run_id, v.source, v.storage_location FROM model_versions v "
             "JOIN registered_models m ON m.id = v.model",
             [&](db::Statement& row) {
               std::string who = fmt::format("model {} version {}", row.text(0), row.integer(1));
               for (int column : {2, 3, 4})
                 for (const auto& run : run_ids_in(row.text(column))) need(run, who);
             }));
    return each("SELECT name, source_run, artifact_uri FROM logged_models WHERE lifecycle = 0",
                [&](db::Statement& row) {
                  for (int column : {1, 2})
                    for (const auto& run : run_ids_in(row.text(column)))
                      need(run, fmt::format("logged model {}", row.text(0)));
                });
  }

  // What is active, and of each pipeline the latest run and the latest that has succeeded.
  Result<> read_pipelines() {
    TRY(each("SELECT uuid FROM runs WHERE status = 1 AND lifecycle = 0",
             [&](db::Statement& row) { need(std::string(row.text(0)), "a run that is active"); }));
    std::vector<Pipeline> pipelines;
    TRY(
        each("SELECT r.id, r.uuid, t.value, r.start_time, r.status FROM tags t JOIN keys k ON k.id = t.key "
             "JOIN runs r "
             "ON r.id = t.run WHERE k.name = 'tidemill.pipeline' AND r.lifecycle = 0 ORDER BY r.start_time "
             "DESC, r.id DESC",
             [&](db::Statement& row) {
               pipelines.push_back({.row = row.integer(0),
                                    .name = std::string(row.text(2)),
                                    .run_id = std::string(row.text(1)),
                                    .start_time = row.integer(3),
                                    .status = static_cast<RunStatus>(row.integer(4))});
             }));
    std::map<std::string, int> seen;  // 1: the latest, 2: also one that has succeeded
    for (const auto& pipeline : pipelines) {
      int& level = seen[pipeline.name];
      const bool succeeded = pipeline.status == RunStatus::kFinished;
      std::string who;
      if (pipeline.status == RunStatus::kRunning)
        who = "a run that is active";
      else if (level == 0 || (level == 1 && succeeded))
        who = "the latest run of pipeline " + pipeline.name;
      level = std::max(level, succeeded ? 2 : 1);
      TRY(read_steps(pipeline, who));
    }
    return {};
  }

  Result<> read_steps(const Pipeline& pipeline, const std::string& who) {
    std::string of;
    TRY(each(
        "SELECT t.value FROM tags t JOIN keys k ON k.id = t.key WHERE t.run = ? AND k.name = ?",
        [&](db::Statement& row) { of = row.text(0); }, pipeline.row, kStepsOfTag));
    // The steps of others are of use, or needed, only by this.
    if (who.empty() && of.empty()) return {};
    return each(
        "SELECT s.step_run FROM steps s JOIN runs r ON r.id = s.run WHERE r.uuid = ?",
        [&](db::Statement& row) {
          std::string run(row.text(0));
          if (!who.empty()) need(run, who);
          if (auto maker = makers_.find(run); maker != makers_.end()) run = maker->second;
          if (!of.empty()) use(run, pipeline.start_time);
        },
        of.empty() ? pipeline.run_id : of);
  }

  void use(const std::string& run, int64_t time) {
    if (auto found = by_run_.find(run); found != by_run_.end())
      for (size_t index : found->second)
        results_[index].last_used = std::max(results_[index].last_used, time);
  }

  void need(const std::string& run, const std::string& who) {
    auto maker = makers_.find(run);
    auto found = by_run_.find(maker != makers_.end() ? maker->second : run);
    if (found == by_run_.end()) return;
    for (size_t index : found->second)
      if (results_[index].needed_by.empty()) results_[index].needed_by = who;
  }

  // Wherever they stand in a URI or a path.
  static std::vector<std::string> run_ids_in(std::string_view text) {
    std::vector<std::string> found;
    size_t digits = 0;
    for (size_t i = 0; i <= text.size(); ++i) {
      bool digit = i < text.size() && std::isxdigit(static_cast<unsigned char>(text[i])) != 0;
      if (!digit && digits == kRunIdDigits) found.emplace_back(text.substr(i - kRunIdDigits, kRunIdDigits));
      digits = digit ? digits + 1 : 0;
    }
    return found;
  }

  db::Connection& connection_;
  std::vector<KeptResult> results_;
  std::unordered_map<std::string, std::vector<size_t>> by_run_;
  std::unordered_map<std::string, std::string> makers_;  // of the results of runs that reuse one
};

Result<> forget(db::Connection& connection, const KeptResult& result, std::string_view why) {
  TRY(note_result_change(connection));
  TRY(connection.run("DELETE FROM step_results WHERE run = ?", result.run_id));
  TRY(connection.run("DELETE FROM artifacts WHERE run = (SELECT id FROM runs WHERE uuid = ?)",
                     result.run_id));
  KeyIds keys;
  const std::string text = fmt::format("{} at {}", why, format_utc(now_ms()));
  return connection.run(
      "INSERT INTO tags (run, key, value) SELECT id, ?, ? FROM runs WHERE uuid = ? "
      "ON CONFLICT (run, key) DO UPDATE SET value = excluded.value",
      TRY(keys.id(connection, "tidemill.outputs")), text, result.run_id);
}

}  // namespace

Result<std::vector<KeptResult>> kept_results(Store& store) {
  return store.state().read<std::vector<KeptResult>>(
      [](Reader& reader) { return Survey(*reader.connection).results(); });
}

Result<std::vector<KeptResult>> forget_unneeded(Store& store, const std::vector<KeptResult>& candidates) {
  std::set<std::string> wanted;
  for (const auto& candidate : candidates) wanted.insert(candidate.run_id);
  std::vector<KeptResult> forgotten;
  TRY(store.write([&](db::Connection& connection) -> Result<> {
    forgotten.clear();
    for (auto& now : TRY(Survey(connection).results())) {
      if (!now.needed_by.empty() || wanted.count(now.run_id) == 0) continue;
      TRY(forget(connection, now, "removed to free space"));
      forgotten.push_back(std::move(now));
    }
    return {};
  }));
  return forgotten;
}

Result<> forget_damaged(Store& store, const KeptResult& result) {
  return store.write(
      [&](db::Connection& connection) { return forget(connection, result, "found damaged or missing"); });
}

}  // namespace tidemill::tracking
