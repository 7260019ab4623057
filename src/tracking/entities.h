// What is tracked, with MLflow's names and meanings.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tidemill::tracking {

using KeyValue = std::pair<std::string, std::string>;  // a parameter or a tag

struct Metric {
  std::string key;
  double value = 0;
  int64_t timestamp = 0;  // ms since 1970
  int64_t step = 0;
  bool operator==(const Metric&) const = default;
};

enum class RunStatus { kRunning = 1, kScheduled = 2, kFinished = 3, kFailed = 4, kKilled = 5 };
std::string_view to_string(RunStatus status);  // "RUNNING", ...
std::optional<RunStatus> run_status_from(std::string_view name);
inline bool is_terminal(RunStatus status) { return status >= RunStatus::kFinished; }

enum class Lifecycle { kActive, kDeleted };
std::string_view to_string(Lifecycle stage);  // "active", "deleted"

enum class ViewType { kActiveOnly = 1, kDeletedOnly = 2, kAll = 3 };

struct Experiment {
  std::string id;
  std::string name;
  std::string artifact_location;
  Lifecycle lifecycle = Lifecycle::kActive;
  int64_t created = 0, updated = 0;  // ms
  std::vector<KeyValue> tags;
};

struct RunInfo {
  std::string id;
  std::string name;
  std::string experiment_id;
  std::string user;
  RunStatus status = RunStatus::kRunning;
  int64_t start_time = 0;           // ms
  std::optional<int64_t> end_time;  // ms
  std::string artifact_uri;
  Lifecycle lifecycle = Lifecycle::kActive;
};

// A data set that a run has read. Name and digest tell it apart from the others of its experiment.
struct Dataset {
  std::string name;
  std::string digest;
  std::string source_type;
  std::string source;
  std::optional<std::string> schema;
  std::optional<std::string> profile;
};
struct DatasetInput {
  Dataset dataset;
  std::vector<KeyValue> tags;  // of this use, as mlflow.data.context = training
};
// A logged model that a run has made, at one step of its training.
struct ModelOutput {
  std::string model_id;
  int64_t step = 0;
};

struct Run {
  RunInfo info;
  std::vector<Metric> metrics;  // the latest point of each key
  std::vector<KeyValue> params;
  std::vector<KeyValue> tags;
  std::vector<DatasetInput> datasets = {};
  std::vector<std::string> model_inputs = {};  // ids of logged models
  std::vector<ModelOutput> model_outputs = {};

  std::string_view tag(std::string_view key) const;    // "" when missing
  std::string_view param(std::string_view key) const;  // "" when missing
  std::optional<double> metric(std::string_view key) const;
};

// A file that a run has written, as its index knows it.
struct ArtifactEntry {
  std::string path;  // relative to the run's artifact root
  uint64_t size = 0;
  std::string sha256;
};

}  // namespace tidemill::tracking
