// The commands of the program, one .cpp file each, and what they share.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/files.h"
#include "base/result.h"
#include "config/mlproject.h"
#include "db/location.h"
#include "engine/engine.h"
#include "tracking/store.h"

namespace CLI {
class App;
}
namespace tidemill::artifacts {
class ArtifactRepository;
}

namespace tidemill::cli {

enum class Create { no, yes };
// Where runs and models keep their files that a command makes: at an address that is good for clients of a
// server, or in a folder, into which steps write.
enum class Places { kServed, kFolders };

struct Context {
  // --store, TIDEMILL_STORE or MLFLOW_BACKEND_STORE_URI: a path or a URI, which may hold a password.
  std::string store = "tidemill.db";
  bool store_is_named = false;  // by one of these, not by default
  std::string tracking_uri;     // --tracking-uri, "" without; see records.h
  bool json = false;            // --json
  fs::path program;             // the absolute path of this program
  // The command that was chosen; set by a CLI11 callback, called by main once all of the command line is
  // read. Returns the exit status.
  std::function<Result<int>()> action;

  Result<db::Location> location() const;
  // The folder behind mlflow-artifacts:/: MLFLOW_ARTIFACTS_DESTINATION, when that is a folder, else
  // mlartifacts beside the store's file, or in the current folder.
  Result<fs::path> artifact_root() const;
  // Where new experiments keep artifacts: at a place that means the same to clients of a server for this
  // store. But a folder, when MLFLOW_ARTIFACTS_DESTINATION is none: steps write into folders of this machine.
  Result<std::string> default_artifact_root() const;
  // What the engine needs to know of this program and the store.
  Result<engine::Options> engine_options() const;
  // Opens the store and marks the runs FAILED whose runner has died.
  Result<tracking::Store> open_store(Create create = Create::no, Places places = Places::kServed) const;
  // Only opens it; of what is MLflow's it says how that is taken over.
  Result<tracking::Store> open_store(const tracking::StoreOptions& options) const;
  // The files of a run or model: on this machine, in S3, or behind the proxy of a server whose destination
  // MLFLOW_ARTIFACTS_DESTINATION names.
  Result<std::unique_ptr<artifacts::ArtifactRepository>> artifacts_at(const std::string& artifact_uri) const;
  Result<std::unique_ptr<artifacts::ArtifactRepository>> artifacts_of(const tracking::RunInfo& run) const;
  // What an artifact URI (s3://, runs:/, models:/, mlflow-artifacts:/) names.
  Result<engine::ArtifactPlace> find_artifacts(const std::string& uri) const;
};

// Each adds its command with options, help and examples to the program.
void add_run(CLI::App& app, Context& context);
void add_init(CLI::App& app, Context& context);
void add_check(CLI::App& app, Context& context);
void add_graph(CLI::App& app, Context& context);
void add_resume(CLI::App& app, Context& context);
void add_cancel(CLI::App& app, Context& context);
void add_status(CLI::App& app, Context& context);
void add_ps(CLI::App& app, Context& context);
void add_logs(CLI::App& app, Context& context);
void add_why(CLI::App& app, Context& context);
void add_runs(CLI::App& app, Context& context);
// Of `tidemill runs`.
void add_run_changes(CLI::App& runs, Context& context);
void add_diff(CLI::App& runs, Context& context);
void add_compare(CLI::App& runs, Context& context);
void add_watch(CLI::App& runs, Context& context);
void add_tune(CLI::App& app, Context& context);
void add_reproduce(CLI::App& app, Context& context);
void add_experiments(CLI::App& app, Context& context);
void add_artifacts(CLI::App& app, Context& context);
void add_models(CLI::App& app, Context& context);
void add_db(CLI::App& app, Context& context);
void add_doctor(CLI::App& app, Context& context);
void add_export(CLI::App& app, Context& context);
void add_import(CLI::App& app, Context& context);
void add_cache(CLI::App& app, Context& context);
void add_gc(CLI::App& app, Context& context);
void add_users(CLI::App& app, Context& context);
void add_server(CLI::App& app, Context& context);
void add_image(CLI::App& app, Context& context);
void add_serve(CLI::App& app, Context& context);

// What every command understands: --store and --json.
void add_common_options(CLI::App& command, Context& context);
// Of -P NAME=VALUE.
Result<config::Arguments> read_params(const std::vector<std::string>& texts);
// The environments that the plan's projects ask for, into how.environments. kFound: those that are not there
// are not made.
struct EnvironmentOptions {
  std::string manager;                   // --env-manager; "": the projects' own choice
  std::vector<std::string> docker_args;  // --docker-args, NAME=VALUE or NAME
  bool build_image = false;              // --build-image
};
enum class Environments { kFound, kMade };
Result<> add_environments(const pipeline::Plan& plan, const EnvironmentOptions& options, Environments which,
                          engine::Options& how);
// The pipeline's file, when the target is one or a folder with one.
std::optional<fs::path> pipeline_file(const fs::path& target);
// "1d2h3m4s", any of the parts, also with fractions, as milliseconds. option: for the error.
Result<int64_t> parse_age(std::string_view option, std::string_view text);
// Removes results of steps that nothing needs until all take no more than the quota; "": there is none.
Result<> keep_quota(const Context& context, tracking::Store& store, const std::string& quota);
// To stdout; a closed or full output is an error (kUnavailable).
Result<> print(std::string_view text);

}  // namespace tidemill::cli
