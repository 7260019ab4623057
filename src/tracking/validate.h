// MLflow's limits on names and values, with the texts of its errors: clients compare them.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/result.h"
#include "tracking/entities.h"

namespace tidemill::tracking {

struct Batch;

constexpr size_t kMaxBatchMetrics = 1000;
constexpr size_t kMaxBatchParams = 100;
constexpr size_t kMaxBatchTags = 100;
constexpr size_t kMaxBatchEntities = 1000;
constexpr size_t kMaxKeyChars = 250;
constexpr size_t kMaxParamChars = 6000;  // longer values are cut
constexpr size_t kMaxTagChars = 8000;    // longer values are cut
constexpr size_t kMaxExperimentNameChars = 500;
constexpr size_t kMaxExperimentTagChars = 20'000;
constexpr size_t kMaxArtifactLocationChars = 2048;
constexpr size_t kMaxDatasetNameChars = 500;
constexpr size_t kMaxDatasetDigestChars = 36;
constexpr size_t kMaxDatasetSourceChars = 65'535;
constexpr size_t kMaxDatasetSchemaChars = 1'048'575;
constexpr size_t kMaxDatasetProfileChars = 16'777'215;
constexpr size_t kMaxInputTagKeyChars = 255;
constexpr size_t kMaxInputTagValueChars = 500;
constexpr size_t kMaxModelTagChars = 100'000;
constexpr size_t kMaxModelNameChars = 256;
constexpr size_t kMaxAliasChars = 255;
constexpr size_t kMaxDescriptionChars = 100'000;
constexpr size_t kMaxSourceChars = 4096;

// path is where the thing lies in the request: "" or "metrics[3]".
Result<> check_metric(const Metric& metric, std::string_view path = "");
Result<> check_param_key(std::string_view key, std::string_view path = "");
Result<> check_tag_key(std::string_view key, std::string_view path = "");
// Of a new run: MLflow looks at nothing else of them.
Result<> check_unique_tags(const std::vector<KeyValue>& tags);
Result<> check_experiment_tag(std::string_view key, std::string_view value);
Result<> check_batch(const Batch& batch);
// A data set and the tags of its use.
Result<> check_dataset_input(const DatasetInput& input);
// No character that would make a models:/ URI ambiguous.
Result<> check_logged_model_name(std::string_view name);
Result<> check_model_tag(std::string_view key, std::string_view value);
Result<> check_run_id(std::string_view run_id);
Result<> check_experiment_name(std::string_view name);
Result<> check_artifact_location(std::string_view location);
// A relative path goes on from the current folder, since clients have others; whatever else stays.
std::string absolute_location(std::string_view location);
// member: what the request calls the name.
Result<> check_model_name(std::string_view name, std::string_view member = "name");
Result<> check_alias(std::string_view alias);
// As check_alias, and not one of the names that mean a version already: "latest", "v1".
Result<> check_new_alias(std::string_view alias);
Result<> check_registry_tag(std::string_view key, std::string_view value);
Result<> check_length(std::string_view what, std::string_view text, size_t max_chars);
// "12" -> 12; kInvalid when it is no integer.
Result<int64_t> parse_experiment_id(std::string_view id);
// The number of a model version: "3" -> 3.
Result<int64_t> parse_version(std::string_view version);

// At most so many characters (code points) of the text.
std::string_view cut(std::string_view text, size_t max_chars);

// As Python prints them: 'it', "it's", 1.0, 1e-05, nan.
std::string python_repr(std::string_view text);
std::string python_repr(double value);

}  // namespace tidemill::tracking
