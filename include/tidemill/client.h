// The C++ client of a tracking server and its model registry, Tidemill's or MLflow's: what
// mlflow.MlflowClient is to Python. Every call is a request and returns when it has been answered; for a
// training loop, which must not wait, there is Run in tidemill.h.
//
//   auto client = tidemill::sdk::Client::connect().value();
//   auto best = client.search_runs({"3"}, {.filter = "metrics.accuracy > 0.9",
//                                          .order_by = {"metrics.accuracy DESC"}, .max_results = 1});
//   if (!best) std::cerr << best.error() << '\n';
//
// Times are milliseconds since 1970 (UTC). Ids and versions are the server's. Every call fails with
// kUnavailable or kTimeout when the server is not reached within ClientOptions::patience, with kDenied when
// its user may not do that, with kNotFound when a run, model or file that it names is not there, and with
// kInvalid when the server refuses an argument; further codes stand at the calls.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <tidemill/result.h>

namespace tidemill::sdk {

struct ClientOptions {
  std::string tracking_uri = {};  // "": MLFLOW_TRACKING_URI, else http://127.0.0.1:5000
  // How long a call tries to reach a server that is away or busy.
  std::chrono::seconds patience{30};
};

using Tags = std::map<std::string, std::string>;

enum class Lifecycle { kActive, kDeleted };
enum class RunStatus { kRunning, kScheduled, kFinished, kFailed, kKilled };

struct Experiment {
  std::string id;
  std::string name;
  std::string artifact_location;  // a folder or URI below which its runs keep their files
  Lifecycle lifecycle = Lifecycle::kActive;
  int64_t created = 0, updated = 0;
  Tags tags;
};

struct Metric {
  std::string key;
  double value = 0;  // may be NaN or infinite
  int64_t step = 0;
  int64_t timestamp = 0;  // of a metric to be logged 0: now
};

// A run as the server has it.
struct RunRecord {
  std::string id;
  std::string name;
  std::string experiment_id;
  std::string user;
  RunStatus status = RunStatus::kRunning;
  int64_t start_time = 0;
  std::optional<int64_t> end_time;  // nothing: it runs still
  std::string artifact_uri;
  Lifecycle lifecycle = Lifecycle::kActive;
  std::map<std::string, Metric> metrics;  // by key, the latest point of each
  std::map<std::string, std::string> params;
  Tags tags;
};

struct NewRun {
  std::string experiment_id = "0";
  std::string name = {};           // "": the server makes one up
  std::string parent_run_id = {};  // shown below this run
  int64_t start_time = 0;          // 0: now
  Tags tags = {};
};

struct RunData {
  std::vector<Metric> metrics = {};
  std::map<std::string, std::string> params = {};
  Tags tags = {};
};

struct ArtifactInfo {
  std::string path;  // from the root of the run's artifacts
  bool is_folder = false;
  uint64_t size = 0;  // bytes, of a file
};

struct RegisteredModel {
  std::string name;
  std::string description;
  int64_t created = 0, updated = 0;
  Tags tags;
  std::map<std::string, int64_t> aliases;  // to versions
};

struct ModelVersion {
  std::string name;     // of its registered model
  int64_t version = 0;  // from 1
  std::string description;
  int64_t created = 0, updated = 0;
  std::string stage;   // "None", "Staging", "Production", "Archived"
  std::string source;  // where its files are
  std::string run_id;  // that made it; "": not known
  std::string status;  // "READY", "PENDING_REGISTRATION", "FAILED_REGISTRATION"
  Tags tags;
  std::vector<std::string> aliases;
};

struct NewModelVersion {
  std::string name;         // of a registered model that exists
  std::string source;       // the URI of its files; servers want it within the artifacts of run_id
  std::string run_id = {};  // that made it
  std::string description = {};
  Tags tags = {};
};

enum class View { kActiveOnly, kDeletedOnly, kAll };

// One page of a search. The filter is in MLflow's language, "" finds everything.
struct Search {
  std::string filter = {};
  std::vector<std::string> order_by = {};  // "metrics.accuracy DESC"
  View view = View::kActiveOnly;           // models have no deleted ones
  int64_t max_results = 1000;              // of this page; servers allow 50 000 runs, and 1000 models
  std::string page_token = {};             // of the page before
};

template <class T>
struct Page {
  std::vector<T> items;
  std::string next_page_token;  // "" on the last page
};

// Thread-safe.
class Client {
 public:
  // Asks nobody yet. The user, the password, the token and the certificates come from MLFLOW_TRACKING_*.
  // kInvalid: the URI is not an http or https URL.
  static Result<Client> connect(const ClientOptions& options = {});
  Client(Client&&) noexcept;
  Client& operator=(Client&&) noexcept;
  ~Client();

  // The new id. kConflict: there is one of this name, maybe a deleted one. The server chooses the place of
  // the artifacts when none is given.
  Result<std::string> create_experiment(std::string_view name, std::string_view artifact_location = "",
                                        const Tags& tags = {});
  Result<Experiment> experiment(std::string_view id);
  Result<Experiment> experiment_by_name(std::string_view name);  // deleted ones, too
  Result<Page<Experiment>> search_experiments(const Search& search = {});
  Result<> rename_experiment(std::string_view id, std::string_view name);
  Result<> set_experiment_tag(std::string_view id, std::string_view key, std::string_view value);
  Result<> delete_experiment(std::string_view id);  // with its runs, until it is restored
  Result<> restore_experiment(std::string_view id);

  Result<RunRecord> create_run(const NewRun& run = {});
  Result<RunRecord> run(std::string_view id);
  Result<Page<RunRecord>> search_runs(const std::vector<std::string>& experiment_ids,
                                      const Search& search = {});
  Result<> log_metric(std::string_view run_id, const Metric& metric);
  // kInvalid: it has another value already; a parameter does not change.
  Result<> log_param(std::string_view run_id, std::string_view key, std::string_view value);
  // Any number of entries, in as many calls as MLflow's limits ask for (1000 entries each). After an error
  // what earlier calls carried is there; the same call may be repeated.
  Result<> log_batch(std::string_view run_id, const RunData& data);
  Result<> set_tag(std::string_view run_id, std::string_view key, std::string_view value);
  Result<> delete_tag(std::string_view run_id, std::string_view key);
  Result<> rename_run(std::string_view id, std::string_view name);
  Result<> set_terminated(std::string_view run_id, RunStatus status = RunStatus::kFinished,
                          int64_t end_time = 0);  // 0: now
  Result<> delete_run(std::string_view id);       // until it is restored
  Result<> restore_run(std::string_view id);
  // All points of one metric, as the server orders them: by time.
  Result<std::vector<Metric>> metric_history(std::string_view run_id, std::string_view key);

  // What is directly in a folder of the run's artifacts, "" for their root.
  Result<std::vector<ArtifactInfo>> list_artifacts(std::string_view run_id, std::string_view folder = "");
  // A file, or a folder with all that is in it, "" for all artifacts, to its name within `destination`.
  // Returns where it is: for all artifacts the destination itself. Files that are there are replaced.
  Result<std::filesystem::path> download_artifacts(std::string_view run_id, std::string_view path,
                                                   const std::filesystem::path& destination);
  // A file, or all files below a folder, to `folder` within the run's artifacts. kInvalid: the artifacts are
  // neither in a folder of this machine nor served by the tracking server.
  Result<> log_artifact(std::string_view run_id, const std::filesystem::path& file,
                        std::string_view folder = "");
  Result<> log_artifacts(std::string_view run_id, const std::filesystem::path& local_folder,
                         std::string_view folder = "");

  // kConflict: there is one of this name.
  Result<RegisteredModel> create_registered_model(std::string_view name, std::string_view description = "",
                                                  const Tags& tags = {});
  Result<RegisteredModel> registered_model(std::string_view name);
  Result<Page<RegisteredModel>> search_registered_models(const Search& search = {});
  Result<> set_registered_model_tag(std::string_view name, std::string_view key, std::string_view value);
  Result<> delete_registered_model(std::string_view name);  // with its versions, for good
  Result<ModelVersion> create_model_version(const NewModelVersion& version);
  // The files at `path` in the run's artifacts become the next version of the model, which is made when it is
  // not there.
  Result<ModelVersion> register_model(std::string_view name, std::string_view run_id, std::string_view path);
  Result<ModelVersion> model_version(std::string_view name, int64_t version);
  Result<ModelVersion> model_version_by_alias(std::string_view name, std::string_view alias);
  Result<Page<ModelVersion>> search_model_versions(const Search& search = {});
  Result<> set_model_version_tag(std::string_view name, int64_t version, std::string_view key,
                                 std::string_view value);
  Result<> delete_model_version(std::string_view name, int64_t version);  // for good
  // Takes the alias from the version that had it.
  Result<> set_model_alias(std::string_view name, std::string_view alias, int64_t version);
  Result<> delete_model_alias(std::string_view name, std::string_view alias);

 private:
  struct State;
  explicit Client(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace tidemill::sdk
