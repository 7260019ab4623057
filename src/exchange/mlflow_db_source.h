// Reads the database of an MLflow server, SQLite or PostgreSQL, as MLflow 2.9 to 3.18 lay it out: what an
// older one does not have is left empty. Nothing is written to it and no transaction is held open, so an
// MLflow server may be running on it.
#pragma once

#include <memory>

#include "db/location.h"
#include "exchange/source.h"

namespace tidemill::exchange {

class MlflowDbSource final : public Source {
 public:
  // `served` is the folder behind mlflow-artifacts:/ URIs; "": mlartifacts beside the file, or in the current
  // folder.
  static Result<MlflowDbSource> open(const db::Location& location, fs::path served = {});

  Result<std::vector<tracking::Experiment>> experiments(Report& report) override;
  Result<std::vector<std::string>> runs(const tracking::Experiment& experiment, Report& report) override;
  Result<tracking::TransferredRun> run(const tracking::Experiment& experiment, const std::string& id,
                                       Report& report) override;
  Result<> metrics(const tracking::TransferredRun& run, const PointSink& sink, Report& report) override;
  Result<std::vector<std::string>> logged_models(const tracking::Experiment& experiment,
                                                 Report& report) override;
  Result<tracking::LoggedModel> logged_model(const tracking::Experiment& experiment, const std::string& id,
                                             Report& report) override;
  Result<std::vector<std::string>> registered_models(Report& report) override;
  Result<tracking::TransferredModel> registered_model(const std::string& name, Report& report) override;
  Result<> files(const std::string& artifact_uri, const FileSink& sink, Report& report) override;

 private:
  // Of an MLflow that is older or newer than some column.
  struct Layout {
    bool deleted_time = false, run_names = false, experiment_times = false, workspaces = false;
    bool datasets = false, input_steps = false, logged_models = false;
    bool aliases = false, storage_location = false, traces = false;
  };

  MlflowDbSource(std::unique_ptr<db::Connection> connection, fs::path folder, fs::path served)
      : connection_(std::move(connection)), folder_(std::move(folder)), served_(std::move(served)) {}

  Result<> find_layout();
  Result<bool> has(std::string_view column, std::string_view table);
  Result<tracking::TransferredRun> read_run(const tracking::Experiment& experiment, const std::string& id);
  template <class Owner>
  Result<> read_pairs(std::string_view select, const Owner& owner, const std::string& what,
                      std::vector<tracking::KeyValue>& pairs, Report& report);
  Result<> read_datasets(tracking::Run& run, Report& report);
  Result<> read_model_links(tracking::Run& run);
  Result<> read_model_metrics(tracking::LoggedModel& model);
  Result<> read_versions(tracking::TransferredModel& model, Report& report);
  std::string place_of(std::string_view uri) const;

  std::unique_ptr<db::Connection> connection_;
  fs::path folder_;  // that relative paths begin in
  fs::path served_;
  Layout layout_;
};

}  // namespace tidemill::exchange
