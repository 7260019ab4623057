// What is behind a Store: the write side and the readers. Private to this folder.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "db/database.h"
#include "db/location.h"
#include "tracking/changes.h"
#include "tracking/group_commit.h"
#include "tracking/key_ids.h"
#include "tracking/metric_journal.h"
#include "tracking/metric_writer.h"
#include "tracking/near_ids.h"
#include "tracking/store.h"

namespace tidemill::tracking {

// run_models.role
enum class ModelRole { kInput = 0, kOutput = 1 };

struct RunRow {
  int64_t row = 0;
  int64_t experiment = 0;
  Lifecycle lifecycle = Lifecycle::kActive;
};

// Memory over the write connection, touched only inside GroupCommit::run.
class WriteCache final : public GroupCommit::Observer {
 public:
  void began(bool changed_elsewhere) override {
    journal.begin();
    if (changed_elsewhere) undone();
    changes.began(changed_elsewhere);
  }
  void undone() override;
  Result<> ending(db::Connection& connection) override;
  void committed() override { changes.publish(); }
  // kNotFound with MLflow's text.
  Result<RunRow> run(db::Connection& connection, std::string_view run_id);
  // As run(), and kInvalid when the run is deleted.
  Result<RunRow> active_run(db::Connection& connection, std::string_view run_id);
  // For those who watch.
  void note_update(const RunRow& run, std::string_view run_id) {
    if (changes.watched()) changes.run(run_id, run.experiment).updated = true;
  }
  void forget_runs() { runs_.clear(); }

  // The chunks of metrics, with nothing left in the journal.
  Result<MetricWriter*> settled_metrics(db::Connection& connection);

  KeyIds keys;
  MetricWriter metrics;
  MetricJournal journal;
  ChangeFeed changes;
  std::atomic<uint64_t> points = 0;  // logged so far

 private:
  std::unordered_map<std::string, RunRow> runs_;
};

// A connection for reading, with the names it has seen.
struct Reader {
  std::unique_ptr<db::Connection> connection;
  KeyNames names;
};

struct Store::State {
  State(db::Location where, StoreOptions options, std::unique_ptr<db::Connection> write)
      : location(std::move(where)),
        default_artifact_root(std::move(options.default_artifact_root)),
        served_folder(std::move(options.served_folder)),
        commits(std::move(write), cache,
                location.kind == db::Location::Kind::kSqlite ? GroupCommit::Flush::kHere
                                                             : GroupCommit::Flush::kElsewhere) {}
  ~State() {
    if (!cache.journal.empty())
      (void)settle_journal();  // others find it settled; if it fails, they settle it
  }

  // Lends an idle reader (or opens one) to read(reader), inside one transaction; read() is called a second
  // time when the connection was lost.
  template <class T, class Read>
  Result<T> read(Read&& read) {
    std::unique_ptr<Reader> reader = TRY(take_reader());
    Result<T> result = in_transaction<T>(*reader, read);
    if (!result && reader->connection->may_retry()) result = in_transaction<T>(*reader, read);
    give_back(std::move(reader));
    return result;
  }

  // The same for what reads metrics.
  template <class T, class Read>
  Result<T> read_metrics(Read&& read) {
    TRY(settle_journal());
    return this->read<T>(read);
  }
  // Puts what was logged until now into its chunks.
  Result<> settle_journal();

  const db::Location location;
  // Where new runs and models of an experiment that keeps its artifacts there are put.
  std::string place_of(std::string_view artifact_location) const;

  const std::string default_artifact_root, served_folder;
  WriteCache cache;
  GroupCommit commits;
  NearIds ids;

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

// The columns that read_experiment expects, in this order, of experiments e.
inline constexpr std::string_view kExperimentColumns =
    "e.id, e.name, e.artifact_location, e.lifecycle, e.created, e.updated";
Experiment read_experiment(const db::Statement& row);
Result<> load_experiment_tags(db::Connection& connection, Experiment& experiment);

// Ids that MLflow's file store gives begin here.
inline constexpr int64_t kFileStoreIds = 100'000'000'000'000'000;
// For a new experiment: counts on from the small ids, and from those of experiments that are gone.
Result<int64_t> next_experiment_id(db::Connection& connection);

// What a run read or made. False when that is known already.
Result<bool> put_dataset(db::Connection& connection, const RunRow& run, const DatasetInput& input);
Result<bool> put_run_model(db::Connection& connection, int64_t run, ModelRole role, int64_t step,
                           std::string_view model_id);

// The parts of Store::apply that other files hold.
Result<> put_artifacts(db::Connection& connection, WriteCache& cache, std::string_view run_id,
                       const std::vector<ArtifactEntry>& entries);
Result<> put_step(db::Connection& connection, WriteCache& cache, const StepRecord& step);
Result<> put_step(db::Connection& connection, WriteCache& cache, const RunRequest& request);
Result<> put_step(db::Connection& connection, WriteCache& cache, const StepResult& result);
Result<> put_step(db::Connection& connection, WriteCache& cache, const StepKey& key);
// See Store::result_changes().
Result<> note_result_change(db::Connection& connection);

// Notes in a logged model's tag that it is this version of a registered model.
Result<> add_model_version(db::Connection& connection, std::string_view model_id, std::string_view name,
                           int64_t version);

Error no_experiment(std::string_view id);
Error no_run(std::string_view run_id);
Error no_logged_model(std::string_view model_id);
Error not_active(std::string_view kind, std::string_view id);

}  // namespace tidemill::tracking
