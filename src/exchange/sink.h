// Where tracked things go, whatever their format. Things come in the order of these functions: an experiment,
// its runs (each with its points behind it), its logged models; at last the registered models. Ids of
// experiments are the source's everywhere; a sink that gives others translates them.
#pragma once

#include <unordered_map>

#include "artifacts/artifact_repository.h"
#include "exchange/source.h"

namespace tidemill::exchange {

class Sink {
 public:
  virtual ~Sink() = default;

  virtual Result<> put_experiment(const tracking::Experiment& experiment, Report& report) = 0;
  // `files` are those that lie behind the run's artifact URI.
  using Files = std::function<Result<>(const FileSink&)>;
  virtual Result<> put_run(tracking::TransferredRun run, const Files& files, Report& report) = 0;
  virtual Result<> put_points(const std::string& run_id, std::string_view key,
                              std::vector<tracking::Point> points, Report& report) = 0;
  virtual Result<> put_logged_model(tracking::LoggedModel model, const Files& files, Report& report) = 0;
  virtual Result<> put_registered_model(tracking::TransferredModel model, Report& report) = 0;
  // After it returns, everything that was put is kept.
  virtual Result<> flush(Report& report) = 0;
  // Everything has been put.
  virtual Result<> finish(Report&) { return {}; }
  // Whether the target had each of the run's metrics with its latest point before this transfer, in which
  // points come in the order of time.
  virtual Result<bool> has_newest_points(const tracking::Run&) { return false; }
};

// For sinks that copy artifacts: to this place in the target, those that are not there yet. False when there
// are none to be read, which is reported with their URI.
Result<bool> store_files(const Sink::Files& files, const artifacts::ArtifactRepository& target,
                         const std::string& place, const std::string& uri, Report& report);

// Artifact URIs before and after they were copied.
using Moves = std::unordered_map<std::string, std::string>;
// Where that, or the folder that it is in, is now. A model version's files are a run's or a logged model's.
std::string moved_uri(const Moves& moves, const std::string& uri);

}  // namespace tidemill::exchange
