// Logged models, as MLflow 3 clients write them beside a run: parameters, tags, and metrics that were
// measured of the model on a data set. Knows MLflow's rules, not HTTP. Thread-safe; what was answered is on
// disk.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "tracking/entities.h"
#include "tracking/store.h"

namespace tidemill::tracking {

enum class ModelStatus { kUnspecified = 0, kPending = 1, kReady = 2, kUploadFailed = 3 };
std::string_view to_string(ModelStatus status);  // "LOGGED_MODEL_PENDING", ...
std::optional<ModelStatus> model_status_from(std::string_view name);

struct ModelMetric {
  Metric metric;
  std::string run_id;                        // the run that measured it
  std::string dataset_name, dataset_digest;  // "": of no data set
};

struct LoggedModel {
  std::string id;  // "m-" and 32 hex digits
  std::string experiment_id;
  std::string name;
  std::string model_type;     // "": unknown
  std::string source_run_id;  // "": none
  std::string artifact_uri;
  ModelStatus status = ModelStatus::kPending;
  Lifecycle lifecycle = Lifecycle::kActive;
  int64_t created = 0, updated = 0;  // ms
  std::vector<KeyValue> params;
  std::vector<KeyValue> tags;
  std::vector<ModelMetric> metrics;  // every point
};

struct CreateLoggedModel {
  std::string experiment_id;
  std::string name;  // "": one is made up
  std::string model_type;
  std::string source_run_id;
  std::vector<KeyValue> params;
  std::vector<KeyValue> tags;
};

struct DatasetFilter {
  std::string name;
  std::string digest;  // "": any
};
struct ModelOrder {
  std::string field;  // "name", "creation_time", "metrics.accuracy", ...
  bool ascending = true;
  DatasetFilter dataset = {};  // for metrics; name "": any
};
struct SearchLoggedModels {
  std::vector<std::string> experiment_ids;
  std::string filter;
  std::vector<DatasetFilter> datasets;  // metrics in the filter must be of one of them
  int64_t max_results = 0;              // 0: 50
  std::vector<ModelOrder> order_by;
  std::string page_token;
};

class LoggedModels {
 public:
  // The store must outlive it.
  explicit LoggedModels(Store& store) : state_(store.state()) {}

  Result<LoggedModel> create(const CreateLoggedModel& create);
  enum class Deleted { kHidden, kShown };
  Result<LoggedModel> get(std::string_view model_id, Deleted deleted = Deleted::kHidden);
  // The id of the model's experiment, which never changes.
  Result<std::string> experiment_of(std::string_view model_id);
  Result<LoggedModel> finalize(std::string_view model_id, ModelStatus status);
  Result<> remove(std::string_view model_id);
  Result<> set_tags(std::string_view model_id, const std::vector<KeyValue>& tags);
  Result<> delete_tag(std::string_view model_id, std::string_view key);
  // kInvalid when one has another value already.
  Result<> log_params(std::string_view model_id, const std::vector<KeyValue>& params);
  Result<Page<LoggedModel>> search(const SearchLoggedModels& search);

 private:
  Store::State& state_;
};

}  // namespace tidemill::tracking
