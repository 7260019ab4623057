// What `tidemill run` is told, and how it is kept with the run for `tidemill resume`.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/files.h"
#include "base/result.h"
#include "cli/commands.h"
#include "pipeline/selection.h"
#include "projects/source.h"

namespace tidemill::cli {

// MLFLOW_TRACKING_URI; "" when it is not set.
std::string tracking_uri_of_environment();

// --keep-going, --fail-fast.
struct AfterFailureFlags {
  bool keep_going = false, fail_fast = false;

  std::optional<config::AfterFailure> policy() const;  // nullopt: the pipeline's own
};
void add_after_failure(CLI::App& command, AfterFailureFlags& flags);

struct RunOptions {
  std::string uri, version;
  projects::Source source;  // what they name
  fs::path target;
  std::vector<std::string> params;  // NAME=VALUE
  std::string entry_point;
  std::string experiment;     // name
  std::string experiment_id;  // instead of the name
  std::string run_name;
  EnvironmentOptions environments;
  std::string backend = "local", backend_config;
  fs::path storage_dir;
  int max_parallel = 0;
  bool dry_run = false;
  bool force = false;
  std::string no_cache;  // "read", "write", "both"; "": as usual
  AfterFailureFlags after_failure;
  bool plain = false;
  std::vector<std::string> forced_steps;
  std::string cache_from, cache_quota;
  std::vector<tracking::KeyValue> tags;  // of the pipeline's run
  // Of a run that is made again: the pipeline's name then, which may have been its folder's; and that its
  // gates register nothing.
  std::string pipeline_name;
  bool registers = true;
  pipeline::Selection selection;
  pipeline::Continuation continuation;  // of a run that goes on; not kept, as what follows
  bool as_recorded = false;
  // Where it is recorded as well: an MLflow server's URL; "": in the store alone.
  std::string tracking_uri = tracking_uri_of_environment();
};

// A pipeline's run that goes on.
struct EarlierRun {
  std::string run_id;
  uint16_t port = 0;  // where its steps log to
};

// Of what was fetched; with absolute paths, the commit of a git repository, and the port of the endpoint that
// the steps log to.
std::string to_request(const RunOptions& options, uint16_t port);
struct Request {
  RunOptions options;
  uint16_t port = 0;
};
// kInternal when the text is not what to_request() makes.
Result<Request> parse_request(std::string_view text);

// earlier: nullopt for a new run. Returns the exit status.
Result<int> run(const Context& context, RunOptions& options, const std::optional<EarlierRun>& earlier);

}  // namespace tidemill::cli
