// Writes an `mlruns/` folder, MLflow's file store, as MLflow 3 does. What is there already is replaced; the
// report says what of it was new, changed, or as before.
#pragma once

#include <map>

#include "exchange/sink.h"

namespace tidemill::exchange {

enum class CopyFiles { no, yes };  // no: artifact URIs stay as they are

class MlrunsSink final : public Sink {
 public:
  // Made if need be. kConflict when it holds anything else than an mlruns folder.
  static Result<MlrunsSink> open(const fs::path& folder, CopyFiles copy_files);
  MlrunsSink(MlrunsSink&&) = default;
  ~MlrunsSink() override;

  Result<> put_experiment(const tracking::Experiment& experiment, Report& report) override;
  Result<> put_run(tracking::TransferredRun run, const Files& files, Report& report) override;
  Result<> put_points(const std::string& run_id, std::string_view key, std::vector<tracking::Point> points,
                      Report& report) override;
  Result<> put_logged_model(tracking::LoggedModel model, const Files& files, Report& report) override;
  Result<> put_registered_model(tracking::TransferredModel model, Report& report) override;
  Result<> flush(Report& report) override;

 private:
  // The metric that is being written: its points come in pieces.
  struct Open {
    std::string run_id, key;
    fs::path folder;  // of the run
    std::string text;
    uint64_t points = 0;
    std::optional<fs::path> part;  // where the text so far was written, when it became long
  };

  MlrunsSink(fs::path root, CopyFiles copy_files) : root_(std::move(root)), copy_files_(copy_files) {}

  using Outcome = tracking::Transferred::Outcome;
  // Before anything of it is written: whether the thing in this folder is there.
  bool begin(const fs::path& folder);
  Outcome outcome(bool was_there) const;
  Result<> write(const fs::path& file, std::string_view bytes);
  Result<> close_metric(Report& report);
  Result<> keep_metric(const Open& done, Report& report);
  Result<> put_datasets(const fs::path& experiment, const fs::path& folder, const tracking::Run& run);
  Result<> put_values(const fs::path& folder, const std::vector<tracking::KeyValue>& values, Report& report);
  Result<> put_model_metrics(const fs::path& folder, const tracking::LoggedModel& model, Report& report);
  Result<> put_version(const fs::path& folder, const tracking::ModelVersion& version, Report& report);
  // Copies, and makes the URI say where; otherwise leaves the URI as it is.
  Result<> copy_artifacts(const Files& files, const fs::path& folder, std::string& uri, Report& report);
  std::string moved(const std::string& uri) const { return moved_uri(moves_, uri); }

  fs::path root_;
  CopyFiles copy_files_;
  std::map<std::string, fs::path> experiments_;  // folders by id
  Moves moves_;
  bool changed_ = false;  // whether anything of the thing that was begun last differs from what was there
  std::optional<bool> run_was_there_;  // of the run whose points come: it is counted behind them
  Open open_;
};

}  // namespace tidemill::exchange
