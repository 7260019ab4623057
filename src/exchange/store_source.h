// Reads a Tidemill store.
#pragma once

#include "exchange/source.h"
#include "tracking/store.h"

namespace tidemill::exchange {

class StoreSource final : public Source {
 public:
  // The store must outlive it. `served` is the folder behind mlflow-artifacts:/ URIs.
  StoreSource(tracking::Store& store, fs::path served) : store_(store), served_(std::move(served)) {}

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
  // What lies behind the server's proxy lies in a folder here.
  std::string place_of(const std::string& uri) const;

  tracking::Store& store_;
  fs::path served_;
};

}  // namespace tidemill::exchange
