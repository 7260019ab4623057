// Records into the run that the environment names (MLFLOW_TRACKING_URI, MLFLOW_RUN_ID); without a tracking
// server it does nothing, so that the programs work alone too.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/files.h"
#include "tidemill/tidemill.h"

namespace tidemill::cifar10 {

class Recorder {
 public:
  // Joins MLFLOW_RUN_ID, or starts a run in the experiment. Not recording when MLFLOW_TRACKING_URI is not
  // set.
  static Result<Recorder> from_environment(const std::string& experiment, const std::string& run_name);
  Recorder() = default;

  bool recording() const { return run_.has_value(); }
  // A runner logs the parameters as they were given ("precision" = "auto") and MLflow lets none change: what
  // became of it is logged as "precision_used".
  void param(std::string_view key, std::string_view value);
  void metric(std::string_view key, double value, int64_t step = 0);
  void metrics(const std::vector<std::pair<std::string, double>>& metrics, int64_t step = 0);
  void tag(std::string_view key, std::string_view value);
  // Uploads the file unless it lies in the run's own artifact folder already.
  Result<> artifact(const fs::path& file);
  // Sends everything and ends the run as the work did: finished, killed (kCancelled) or failed. Returns the
  // work's own error, else what the tracking server refused.
  Result<> end(Result<> done = {});

 private:
  std::optional<sdk::Run> run_;
};

// The artifact folder of another run. kNotFound when it is not on this machine, kInvalid without a tracking
// server.
Result<fs::path> artifact_folder_of(const std::string& run_id);

}  // namespace tidemill::cifar10
