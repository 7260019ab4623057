// The tracking store: experiments, runs, parameters, metrics, tags. Knows MLflow's rules (limits, lifecycle,
// what may change), not HTTP. Thread-safe; every function returns after its data is on disk, and many threads
// share one fsync (group commit).
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "base/files.h"
#include "base/result.h"
#include "tracking/entities.h"
#include "tracking/steps.h"
#include "tracking/visible.h"

namespace tidemill::db {
class Connection;
}

namespace tidemill::tracking {

struct CreateRun {
  std::string experiment_id = "0";
  std::string name;  // "": one is made up ("adjective-noun-123")
  std::string user;
  int64_t start_time = 0;  // 0: now
  std::vector<KeyValue> tags;
};

struct UpdateRun {
  std::string run_id;
  std::optional<RunStatus> status;
  std::optional<int64_t> end_time;  // 0: it has none (any more)
  std::optional<std::string> name;
};

// One of a batch's metrics was measured of a logged model, perhaps on a data set.
struct MetricOfModel {
  size_t metric = 0;  // its place in Batch::metrics
  std::string model_id;
  std::string dataset_name, dataset_digest;
};
struct Batch {
  std::vector<Metric> metrics;
  std::vector<KeyValue> params;
  std::vector<KeyValue> tags;
  std::vector<MetricOfModel> of_models = {};
};

// The kinds of change that can be made together; see Store::apply.
struct NewRun {
  Run run;  // of make_run()
  // It also gets this run's parameters, latest metrics (but system/...) and own tags (not mlflow. or
  // tidemill.). "": nothing.
  std::string data_of = {};
};
struct LogBatch {
  std::string run_id;
  Batch batch;
};
struct RecordArtifacts {
  std::string run_id;
  std::vector<ArtifactEntry> entries;
};
using Change =
    std::variant<NewRun, UpdateRun, LogBatch, RecordArtifacts, RunRequest, StepRecord, StepResult, StepKey>;

// MLflow's filter grammar (docs: "Search runs"): clause (AND clause)*.
struct SearchRuns {
  std::vector<std::string> experiment_ids;
  std::string filter;
  ViewType view = ViewType::kActiveOnly;
  int64_t max_results = 1000;  // at most 50 000
  std::vector<std::string> order_by;
  std::string page_token;
};
struct SearchExperiments {
  std::string filter;
  ViewType view = ViewType::kActiveOnly;
  int64_t max_results = 1000;
  std::vector<std::string> order_by;
  std::string page_token;
  Visible visible = {};
};
template <class T>
struct Page {
  std::vector<T> items;
  std::string next_page_token;  // "" on the last page
};

struct StoreOptions {
  // A path, sqlite:///path or postgresql://user@host/db; see db/location.h.
  std::string uri = "tidemill.db";
  // Where new experiments keep their artifacts: a folder or a URI; "/<experiment id>" is appended.
  // "": the folder "artifacts" beside the file, or in the current folder when there is no file.
  std::string default_artifact_root;
  // The folder behind mlflow-artifacts:/, for programs that write into it: runs and models that are made
  // through this Store get their place in it as a path. "": they get what their experiment says.
  std::string served_folder = {};
};

class Store {
 public:
  // Opens the store, creates it in a new file or an empty database, and brings its schema up to date.
  // kConflict when a newer Tidemill wrote it. PostgreSQL: several processes may use one database; after a
  // restart of the server a write is repeated where it certainly left nothing, and else fails with an error
  // that says so.
  static Result<Store> open(StoreOptions options);
  Store(Store&&) noexcept;
  Store& operator=(Store&&) noexcept;
  ~Store();

  // Fails with kConflict when the name is taken, by a deleted experiment too. Returns the id.
  Result<std::string> create_experiment(std::string_view name, std::string_view artifact_location = "",
                                        const std::vector<KeyValue>& tags = {});
  Result<Experiment> experiment(std::string_view id);
  Result<Experiment> experiment_by_name(std::string_view name);
  // The experiment's id, created when it does not exist.
  Result<std::string> ensure_experiment(std::string_view name);
  Result<Page<Experiment>> search_experiments(const SearchExperiments& search);
  Result<> set_experiment_tag(std::string_view id, std::string_view key, std::string_view value);
  Result<> delete_experiment_tag(std::string_view id, std::string_view key);
  Result<> rename_experiment(std::string_view id, std::string_view name);
  Result<> delete_experiment(std::string_view id);
  Result<> restore_experiment(std::string_view id);

  Result<Run> create_run(const CreateRun& create);
  Result<Run> run(std::string_view run_id);
  // The id of the run's experiment, which never changes.
  Result<std::string> experiment_of_run(std::string_view run_id);
  Result<RunInfo> update_run(const UpdateRun& update);
  Result<> delete_run(std::string_view run_id);
  Result<> restore_run(std::string_view run_id);
  // One point, one parameter: as log_batch with one entry, with the texts of errors that MLflow gives for
  // these calls.
  Result<> log_metric(std::string_view run_id, const Metric& metric,
                      const std::optional<MetricOfModel>& of_model = {});
  Result<> log_param(std::string_view run_id, std::string_view key, std::string_view value);
  // All or nothing. Limits and messages are MLflow's.
  Result<> log_batch(std::string_view run_id, const Batch& batch);
  Result<> set_tag(std::string_view run_id, std::string_view key, std::string_view value);
  Result<> delete_tag(std::string_view run_id, std::string_view key);
  Result<Page<Run>> search_runs(const SearchRuns& search);

  // All points of one metric, by (timestamp, step, value); max_results 0: all.
  Result<Page<Metric>> metric_history(std::string_view run_id, std::string_view key, int64_t max_results = 0,
                                      std::string_view page_token = "");

  // Runs with status RUNNING, in any experiment, that carry a tag of this key: for finding those whose runner
  // died.
  Result<std::vector<Run>> running_runs_with_tag(std::string_view tag_key);

  // A run with its id and name, not written yet: for NewRun. Its artifact_uri is set when it is written,
  // unless the caller sets one.
  static Result<Run> make_run(const CreateRun& create);
  // For callers that must not wait: `done` is called once the data is on disk, or with the error, maybe
  // before the call returns, on the thread that commits. Whoever hands over calls settle() soon.
  enum class LogCall {
    kSingle,
    kBatch
  };  // one entity of log_metric and its like, or a batch: their errors differ
  void log_later(LogBatch log, LogCall call, std::function<void(Result<>)> done);
  void create_run_later(const CreateRun& create, std::function<void(Result<Run>)> done);
  // Writes what was handed over, unless another thread is doing so; or says in what time it is to be called
  // again, because more is expected until then.
  std::optional<std::chrono::steady_clock::duration> settle();
  // Since the store was opened here: transactions, the calls that they held, and points of metrics.
  struct Written {
    uint64_t commits, calls, points;
  };
  Written written() const;

  // Several changes in their order, in one transaction: all or nothing, one fsync.
  Result<> apply(std::span<Change> changes);

  // What the run was started with; nullopt: it is no pipeline's, or an older program's.
  Result<std::optional<std::string>> run_request(std::string_view run_id);
  // The steps of a pipeline's run, by name. Of a run with kStepsOfTag: those of the run that it names, as
  // reused.
  Result<std::vector<StepRecord>> step_records(std::string_view run_id);
  // The results of these keys whose runs are not deleted, in the order of the keys.
  Result<std::vector<std::optional<StepResult>>> step_results(const std::vector<std::string>& keys);
  // Grows when a result that was known before is replaced or no longer there, as its run was deleted; and
  // when a deleted run comes back.
  Result<int64_t> result_changes();
  // What the step's key was made of when it last ran.
  Result<std::optional<StepKey>> step_key(std::string_view pipeline, std::string_view step);

  // The index of files that steps have recorded (path, size, content hash).
  Result<> record_artifacts(std::string_view run_id, const std::vector<ArtifactEntry>& entries);
  Result<std::vector<ArtifactEntry>> artifacts(std::string_view run_id);

  // For folders with tables of their own in the same database. A write is one transaction, on disk when the
  // call returns; when the database failed, work may run a second time, so it must only assign to what it
  // captured.
  using Work = std::function<Result<>(db::Connection&)>;
  Result<> read(const Work& work);
  Result<> write(const Work& work);

  // What is behind it, for the other parts of this folder (logged_models.h, lineage.h, registry.h).
  struct State;
  State& state() { return *state_; }

 private:
  explicit Store(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace tidemill::tracking
