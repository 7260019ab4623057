// Where tracked things come from, whatever their format. What cannot be read of a thing goes into the report,
// with its place and the reason; a Result that fails ends the transfer, or for one run or model, leaves that
// one out.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/files.h"
#include "base/result.h"
#include "exchange/report.h"
#include "tracking/transfer.h"

namespace tidemill::exchange {

// Codes that concern one thing; with any other the source or the target as a whole is in trouble.
inline bool concerns_one_thing(const Error& error) {
  return error.code == Code::kInvalid || error.code == Code::kNotFound || error.code == Code::kDenied ||
         error.code == Code::kConflict;
}

// One metric's points, in blocks of bounded size.
using PointSink = std::function<Result<>(std::string_view key, std::vector<tracking::Point> points)>;

// A file among the artifacts.
struct ArtifactFile {
  std::string path;  // below their root
  uint64_t size = 0;
  std::optional<fs::file_time_type> written;  // nothing: unknown
  // Where it can be read until the call of the sink returns; may have to be brought there first.
  std::function<Result<fs::path>()> fetch;
};
using FileSink = std::function<Result<>(const ArtifactFile& file)>;

class Source {
 public:
  static constexpr size_t kMostPoints = 200'000;  // in a block

  virtual ~Source() = default;

  // Deleted ones, too.
  virtual Result<std::vector<tracking::Experiment>> experiments(Report& report) = 0;
  // Ids, deleted ones too.
  virtual Result<std::vector<std::string>> runs(const tracking::Experiment& experiment, Report& report) = 0;
  // Metrics may hold the latest points, for metrics(). The artifact URI is one that holds where this program
  // runs, if there is one.
  virtual Result<tracking::TransferredRun> run(const tracking::Experiment& experiment, const std::string& id,
                                               Report& report) = 0;
  virtual Result<> metrics(const tracking::TransferredRun& run, const PointSink& sink, Report& report) = 0;
  virtual Result<std::vector<std::string>> logged_models(const tracking::Experiment& experiment,
                                                         Report& report) = 0;
  virtual Result<tracking::LoggedModel> logged_model(const tracking::Experiment& experiment,
                                                     const std::string& id, Report& report) = 0;
  virtual Result<std::vector<std::string>> registered_models(Report& report) = 0;
  virtual Result<tracking::TransferredModel> registered_model(const std::string& name, Report& report) = 0;
  // The files behind an artifact URI that this source gave. kNotFound when they cannot be read from here.
  virtual Result<> files(const std::string& artifact_uri, const FileSink& sink, Report& report) = 0;
};

}  // namespace tidemill::exchange
