// The files of MLflow's file store, from 1.0 on, as text and back. Nothing here touches a disk.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "tracking/transfer.h"

namespace tidemill::exchange {

// One line of a metric's file: "timestamp value", "timestamp value step", both perhaps followed by a data
// set's name and digest; of a logged model: "timestamp value step run [name digest]".
struct MetricLine {
  tracking::Point point;
  std::string run_id, dataset_name, dataset_digest;
};
enum class MetricOwner { kRun, kLoggedModel };
// Nothing when the line is none.
std::optional<MetricLine> parse_metric_line(std::string_view line, MetricOwner owner);

// The meta.yaml files. `file` is named in errors, with line and column. What older versions did not write is
// left empty.
Result<tracking::Experiment> parse_experiment(std::string_view yaml, const std::string& file);
Result<tracking::TransferredRun> parse_run(std::string_view yaml, const std::string& file);
Result<tracking::Dataset> parse_dataset(std::string_view yaml, const std::string& file);
// inputs/<...>/meta.yaml: what the run has read.
struct InputMeta {
  bool is_model = false;
  std::string source_id;  // the folder below datasets/, or the model's id
  std::vector<tracking::KeyValue> tags;
};
Result<InputMeta> parse_input(std::string_view yaml, const std::string& file);
Result<tracking::ModelOutput> parse_output(std::string_view yaml, const std::string& file);
Result<tracking::LoggedModel> parse_logged_model(std::string_view yaml, const std::string& file);
Result<tracking::RegisteredModel> parse_registered_model(std::string_view yaml, const std::string& file);
// Nothing when the version was deleted.
Result<std::optional<tracking::ModelVersion>> parse_version(std::string_view yaml, const std::string& file);

// A data set's description may be as long as the store takes it.
constexpr size_t kMaxDatasetBytes = 20 << 20;

}  // namespace tidemill::exchange
