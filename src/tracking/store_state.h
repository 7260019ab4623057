// What is behind a Store: the write side and the readers. Private to this folder.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "db/database.h"
#include "tracking/group_commit.h"
#include "tracking/key_ids.h"
#include "tracking/metric_writer.h"
#include "tracking/store.h"

namespace tidemill::tracking {

struct RunRow {
  int64_t row = 0;
  int64_t experiment = 0;
  Lifecycle lifecycle = Lifecycle::kActive;
};

// Memory over the write connection, touched only inside GroupCommit::run.
class WriteCache final : public GroupCommit::Observer {
 public:
  void began(bool changed_elsewhere) override {
    if (changed_elsewhere) undone();
  }
  void undone() override;
  // kNotFound with MLflow's text.
  Result<RunRow> run(db::Connection& connection, std::string_view run_id);
  // As run(), and kInvalid when the run is deleted.
  Result<RunRow> active_run(db::Connection& connection, std::string_view run_id);
  void forget_runs() { runs_.clear(); }

  KeyIds keys;
  MetricWriter metrics;

 private:
  std::unordered_map<std::string, RunRow> runs_;
};

// A connection for reading, with the names it has seen.
struct Reader {
  std::unique_ptr<db::Connection> connection;
  KeyNames names;
};

struct Store::State {
  explicit State(StoreOptions store_options, std::unique_ptr<db::Connection> write)
      : options(std::move(store_options)), commits(std::move(write), cache) {}

  // Lends an idle reader (or opens one) to read(reader), inside one transaction.
  template <class T, class Read>
  Result<T> read(Read&& read) {
    std::unique_ptr<Reader> reader = TRY(take_reader());
    Result<T> result = in_transaction<T>(*reader, read);
    give_back(std::move(reader));
    return result;
  }

  StoreOptions options;
  WriteCache cache;
  GroupCommit commits;

 private:
  template <class T, class Read>
  static Result<T> in_transaction(Reader& reader, Read& read) {
    auto transaction = TRY(db::Transaction::begin(*reader.connection, db::TransactionMode::kRead));
    return read(reader);
  }
  Result<std::unique_ptr<Reader>> take_reader();
  void give_back(std::unique_ptr<Reader> reader);

  std::mutex mutex_;
  std::vector<std::unique_ptr<Reader>> idle_readers_;
};

// The columns that read_run_info expects, in this order, of runs r.
inline constexpr std::string_view kRunColumns =
    "r.id, r.uuid, r.name, r.experiment, r.user_id, r.status, r.start_time, r.end_time, r.artifact_uri, "
    "r.lifecycle";
RunInfo read_run_info(const db::Statement& row);

// A run and its row id.
struct RowOf {
  int64_t row;
  Run* run;
};
// Fills metrics, params and tags of the runs.
Result<> load_run_data(Reader& reader, std::vector<RowOf> runs);

// Collects runs from rows with kRunColumns, then loads the data of all at once.
class RunRows {
 public:
  void add(const db::Statement& row) {
    rows_.push_back(row.integer(0));
    runs_.push_back({.info = read_run_info(row), .metrics = {}, .params = {}, .tags = {}});
  }
  size_t size() const { return runs_.size(); }
  Result<std::vector<Run>> load(Reader& reader) {
    std::vector<RowOf> all;
    for (size_t i = 0; i < runs_.size(); ++i) all.push_back({rows_[i], &runs_[i]});
    TRY(load_run_data(reader, std::move(all)));
    return std::move(runs_);
  }

 private:
  std::vector<int64_t> rows_;
  std::vector<Run> runs_;
};

// The columns that read_experiment expects, in this order, of experiments e.
inline constexpr std::string_view kExperimentColumns =
    "e.id, e.name, e.artifact_location, e.lifecycle, e.created, e.updated";
Experiment read_experiment(const db::Statement& row);
Result<> load_experiment_tags(db::Connection& connection, Experiment& experiment);

// The parts of Store::apply that other files hold.
Result<> put_artifacts(db::Connection& connection, WriteCache& cache, std::string_view run_id,
                       const std::vector<ArtifactEntry>& entries);
Result<> put_step(db::Connection& connection, WriteCache& cache, const StepRecord& step);
Result<> put_step(db::Connection& connection, WriteCache& cache, const StepResult& result);
Result<> put_step(db::Connection& connection, WriteCache& cache, const StepKey& key);

Error no_experiment(std::string_view id);
Error no_run(std::string_view run_id);
Error not_active(std::string_view kind, std::string_view id);

}  // namespace tidemill::tracking
