// Reads an `mlruns/` folder, MLflow's file store.
#pragma once

#include <map>

#include "exchange/source.h"

namespace tidemill::exchange {

class MlrunsSource final : public Source {
 public:
  // The folder itself, or one with an mlruns/ in it. `served` is the folder behind mlflow-artifacts:/ URIs,
  // "": mlartifacts beside it.
  static Result<MlrunsSource> open(const fs::path& folder, fs::path served = {});

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
  MlrunsSource(fs::path root, fs::path served) : root_(std::move(root)), served_(std::move(served)) {}

  Result<> add_experiments(const fs::path& folder, std::vector<tracking::Experiment>& found, Report& report);
  Result<> add_lineage(const fs::path& experiment, const fs::path& run, tracking::Run& out, Report& report);
  // The URI, or where its files are now when the folder was moved, or is among the deleted.
  std::string place_of(const std::string& uri) const;

  fs::path root_, served_;
  std::map<std::string, fs::path> folders_;  // of experiments, by id
  std::vector<std::string> old_roots_;       // where experiments say that the folder was
};

}  // namespace tidemill::exchange
