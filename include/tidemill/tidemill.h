// The C++ SDK: log parameters, metrics and artifacts of a training program to Tidemill, or to any MLflow
// server.
//
//   tidemill::sdk::Run run = tidemill::sdk::Run::start({.experiment = "mnist"}).value();
//   run.log_param("lr", "0.001");
//   for (int step = 0; step < 100; ++step) run.log_metric("loss", loss, step);
//   run.log_artifact("model.onnx");
//   run.end();
//
// Inside a pipeline step MLFLOW_RUN_ID is set and Run::start() joins the step's run; otherwise it creates
// one. To look at what is recorded, and for the model registry, there is Client in client.h.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <tidemill/result.h>

namespace tidemill::sdk {

struct Options {
  std::string tracking_uri = {};  // "": MLFLOW_TRACKING_URI, else http://127.0.0.1:5000
  std::string experiment = {};  // name, made when missing; "": MLFLOW_EXPERIMENT_NAME or _ID, else "Default"
  std::string run_id = {};      // joins this run; "": MLFLOW_RUN_ID, else a new run
  std::string run_name = {};
  std::string parent_run_id = {};  // shown below this run
  // The machine's CPU, memory, disk, network and NVIDIA GPUs every ten seconds, under MLflow's system/* names
  // and with its MLFLOW_SYSTEM_METRICS_* settings. Not set: MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING.
  std::optional<bool> system_metrics = {};
  // How long flush() and end() wait for a server that is away.
  std::chrono::seconds patience{120};
  // Where what cannot be sent is kept, for the next program that logs to the same server. "":
  // TIDEMILL_SPOOL_DIR, else tidemill/spool in XDG_STATE_HOME or ~/.local/state.
  std::filesystem::path spool_dir = {};
};

// A run being recorded. Parameters, metrics and tags are queued and sent in batches by a thread of the run,
// so logging never waits for the network; flush() and end() do. While the server is away the thread writes to
// a private file (at most 256 MiB), and sends from it, in order, when the server is back. Thread-safe.
class Run {
 public:
  static Result<Run> start(const Options& options = {});
  Run(Run&&) noexcept;
  Run& operator=(Run&&) noexcept;
  // Sends what is queued. A run that start() created and nobody ended becomes FAILED; a joined run is left
  // to whoever created it.
  ~Run();

  const std::string& id() const;
  const std::string& experiment_id() const;
  const std::string& artifact_uri() const;
  // A parameter that a joined run had when start() joined it: its runner logs what it was given.
  std::optional<std::string> given_param(std::string_view key) const;

  void log_param(std::string_view key, std::string_view value);
  void log_metric(std::string_view key, double value, int64_t step = 0);
  void log_metrics(const std::vector<std::pair<std::string, double>>& metrics, int64_t step = 0);
  void set_tag(std::string_view key, std::string_view value);

  // The run's artifact folder when it is on this machine (artifact_uri is a path or file://), else "".
  // A step may write its outputs straight into it.
  std::filesystem::path local_artifact_dir() const;
  // Copies or uploads a file to `folder` inside the run's artifacts.
  Result<> log_artifact(const std::filesystem::path& file, std::string_view folder = "");
  Result<> log_text(std::string_view text, std::string_view artifact_path);

  // Waits until everything queued has been accepted by the server; the first refusal is returned, or where
  // the rest lies when the server stays away.
  Result<> flush();
  // flush(), then sets the final status: "FINISHED", "FAILED" or "KILLED". A joined run keeps its status.
  Result<> end(std::string_view status = "FINISHED");

 private:
  struct State;
  explicit Run(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace tidemill::sdk
