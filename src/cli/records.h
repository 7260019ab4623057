// The experiments and runs that a command is about: those of a store, or of a server that --tracking-uri or
// MLFLOW_TRACKING_URI names.
#pragma once

#include <memory>
#include <string>

#include "artifacts/artifact_repository.h"
#include "cli/commands.h"
#include "exchange/model_records.h"
#include "tracking/store.h"

namespace tidemill::cli {

class Records {
 public:
  virtual ~Records() = default;

  virtual Result<std::string> create_experiment(const std::string& name, const std::string& location) = 0;
  virtual Result<tracking::Experiment> experiment(const std::string& id) = 0;
  virtual Result<tracking::Experiment> experiment_by_name(const std::string& name) = 0;
  virtual Result<tracking::Page<tracking::Experiment>> search_experiments(
      const tracking::SearchExperiments& search) = 0;
  virtual Result<> rename_experiment(const std::string& id, const std::string& name) = 0;
  virtual Result<> delete_experiment(const std::string& id) = 0;
  virtual Result<> restore_experiment(const std::string& id) = 0;

  virtual Result<tracking::Run> create_run(const tracking::CreateRun& create) = 0;
  virtual Result<> end_run(const std::string& id, tracking::RunStatus status) = 0;  // now
  virtual Result<tracking::Run> run(const std::string& id) = 0;
  virtual Result<tracking::Page<tracking::Run>> search_runs(const tracking::SearchRuns& search) = 0;
  // What became of each step of a pipeline's run; none for others, and where only runs are known.
  virtual Result<std::vector<tracking::StepRecord>> steps(const tracking::Run& run) = 0;
  virtual Result<> delete_run(const std::string& id) = 0;
  virtual Result<> restore_run(const std::string& id) = 0;

  virtual Result<std::vector<tracking::Metric>> metric_history(const std::string& run,
                                                               const std::string& key) = 0;
  // The steps of a pipeline's run. Servers tell of those with runs of their own only: of none here.
  virtual Result<std::vector<tracking::StepRecord>> step_records(const std::string& run) = 0;

  virtual std::unique_ptr<exchange::ModelRecords> models() = 0;  // these records must outlive it
  // The files behind an artifact URI of a run or a model.
  virtual Result<std::unique_ptr<artifacts::ArtifactRepository>> files_at(const std::string& uri) = 0;
};

// create: whether a store that is not there is made.
Result<std::unique_ptr<Records>> open_records(const Context& context, Create create = Create::no);
// Of a store that is open; it and the context must outlive them.
std::unique_ptr<Records> records_of(const Context& context, tracking::Store& store);
// By id or name. kNotFound.
Result<tracking::Experiment> find_experiment(Records& records, const std::string& id_or_name);
// Of all pages.
Result<std::vector<tracking::Experiment>> all_experiments(Records& records,
                                                          tracking::SearchExperiments search = {});

// --store, --tracking-uri and --json.
void add_record_options(CLI::App& command, Context& context);
// The command's argument RUN, also as -r, --run-id.
std::shared_ptr<std::string> add_run_id(CLI::App& command);
// "active_only", "deleted_only", "all", as MLflow's -v/--view.
void add_view_option(CLI::App& command, tracking::ViewType& view);

}  // namespace tidemill::cli
