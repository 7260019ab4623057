#include "common/recorder.h"

#include <cstdlib>

namespace tidemill::cifar10 {
namespace {

bool has_tracking_server() {
  const char* uri = std::getenv("MLFLOW_TRACKING_URI");
  return uri && *uri;
}

template <class T>
Result<T> from_sdk(sdk::Result<T> result) {
  if (!result) return fail(Code::kUnavailable, "tracking: {}", result.error().message);
  if constexpr (std::is_void_v<T>)
    return {};
  else
    return std::move(*result);
}

bool lies_in(const fs::path& file, const fs::path& folder) {
  std::error_code ignored;
  auto relative =
      fs::weakly_canonical(file, ignored).lexically_relative(fs::weakly_canonical(folder, ignored));
  return !relative.empty() && *relative.begin() != "..";
}

}  // namespace

Result<Recorder> Recorder::from_environment(const std::string& experiment, const std::string& run_name) {
  Recorder recorder;
  if (!has_tracking_server()) return recorder;
  sdk::Options options;
  options.experiment = experiment;
  options.run_name = run_name;
  recorder.run_.emplace(TRY(from_sdk(sdk::Run::start(options))));
  return recorder;
}

void Recorder::param(std::string_view key, std::string_view value) {
  if (!run_) return;
  auto given = run_->given_param(key);
  if (!given) return run_->log_param(key, value);
  if (*given != value) run_->log_param(std::string(key) + "_used", value);
}

void Recorder::metric(std::string_view key, double value, int64_t step) {
  if (run_) run_->log_metric(key, value, step);
}

void Recorder::metrics(const std::vector<std::pair<std::string, double>>& metrics, int64_t step) {
  if (run_) run_->log_metrics(metrics, step);
}

void Recorder::tag(std::string_view key, std::string_view value) {
  if (run_) run_->set_tag(key, value);
}

Result<> Recorder::artifact(const fs::path& file) {
  if (!run_) return {};
  if (fs::path own = run_->local_artifact_dir(); !own.empty() && lies_in(file, own)) return {};
  return from_sdk(run_->log_artifact(file));
}

Result<> Recorder::end(Result<> done) {
  if (!run_) return done;
  std::string_view status = done ? "FINISHED" : done.error().code == Code::kCancelled ? "KILLED" : "FAILED";
  Result<> ended = from_sdk(run_->end(status));
  return done ? ended : done;
}

Result<fs::path> artifact_folder_of(const std::string& run_id) {
  if (!has_tracking_server())
    return fail(Code::kInvalid, "run {} cannot be looked up: MLFLOW_TRACKING_URI is not set", run_id);
  sdk::Options options;
  options.run_id = run_id;
  sdk::Run run = TRY(from_sdk(sdk::Run::start(options)));
  fs::path folder = run.local_artifact_dir();
  std::error_code ignored;
  if (folder.empty() || !fs::is_directory(folder, ignored))
    return fail(Code::kNotFound, "the artifacts of run {} ({}) are not on this machine", run_id,
                run.artifact_uri());
  return folder;
}

}  // namespace tidemill::cifar10
