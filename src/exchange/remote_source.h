// Reads an MLflow (or Tidemill) server over REST. Deleted logged models are not shown by servers, so they are
// not there; traces neither.
#pragma once

#include "exchange/mlflow_api.h"
#include "exchange/source.h"

namespace tidemill::exchange {

// All points that the server has of a metric, in pieces of at most kMostPoints.
Result<> metric_history(MlflowApi& api, const std::string& run_id, const std::string& key,
                        const PointSink& sink);

class RemoteSource final : public Source {
 public:
  explicit RemoteSource(MlflowApi api) : api_(std::move(api)) {}

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
  // Those that the server serves (mlflow-artifacts:/), one after the other through a temporary file, and
  // those in folders of this machine.
  Result<> files(const std::string& artifact_uri, const FileSink& sink, Report& report) override;

 private:
  Result<> files_in(const std::string& root, const std::string& folder, int level, const fs::path& temporary,
                    const FileSink& sink, Report& report);

  MlflowApi api_;
};

}  // namespace tidemill::exchange
