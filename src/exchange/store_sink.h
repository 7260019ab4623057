// Takes what comes into a Tidemill store: ids and times are kept, a repetition adds and changes only what is
// new.
#pragma once

#include <map>

#include "exchange/sink.h"
#include "tracking/store.h"

namespace tidemill::exchange {

class StoreSink final : public Sink {
 public:
  // The store must outlive it. With a repository, the files of runs and logged models are copied into it, to
  // the place that the server serves as mlflow-artifacts:/; without, they stay where they are.
  explicit StoreSink(tracking::Store& store, std::unique_ptr<artifacts::ArtifactRepository> artifacts = {})
      : store_(store), transfer_(store), artifacts_(std::move(artifacts)) {}

  Result<> put_experiment(const tracking::Experiment& experiment, Report& report) override;
  Result<> put_run(tracking::TransferredRun run, const Files& files, Report& report) override;
  Result<> put_points(const std::string& run_id, std::string_view key, std::vector<tracking::Point> points,
                      Report& report) override;
  Result<> put_logged_model(tracking::LoggedModel model, const Files& files, Report& report) override;
  Result<> put_registered_model(tracking::TransferredModel model, Report& report) override;
  Result<> flush(Report& report) override;
  Result<bool> has_newest_points(const tracking::Run& run) override;

 private:
  Result<std::string> experiment_here(const std::string& id) const;
  // Copies the files to this place below the folder, and makes the URI say so; true when they are there now.
  Result<bool> copy_files(const Files& files, const std::string& place, std::string& uri, Report& report);
  Result<> write(std::span<const tracking::TransferItem> items, Report& report);
  void count(const tracking::TransferItem& item, const tracking::Transferred& result, Report& report);

  tracking::Store& store_;
  tracking::Transfer transfer_;
  std::unique_ptr<artifacts::ArtifactRepository> artifacts_;
  std::map<std::string, std::string> experiments_;  // the source's id -> ours
  Moves moves_;
  std::vector<tracking::TransferItem> waiting_;
  size_t waiting_points_ = 0;
};

}  // namespace tidemill::exchange
