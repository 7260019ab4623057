// Where tracked things go, whatever their format. Things come in the order of these functions: an experiment,
// its runs (each with its points behind it), its logged models; at last the registered models. Ids of
// experiments are the source's everywhere; a sink that gives others translates them.
#pragma once

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
};

}  // namespace tidemill::exchange
