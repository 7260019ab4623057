#include "exchange/mlruns_format.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <limits>

#include "base/text.h"
#include "config/yaml.h"

namespace tidemill::exchange {
namespace {

using config::Node;

constexpr int64_t kLeast = std::numeric_limits<int64_t>::min(), kMost = std::numeric_limits<int64_t>::max();

// A map from a meta.yaml. Getters of what is missing or null give "" or nothing.
class Meta {
 public:
  static Result<Meta> parse(std::string_view yaml, const std::string& file,
                            size_t max_bytes = config::kMaxYamlBytes) {
    if (!is_utf8(yaml)) return fail(Code::kInvalid, "{}: not UTF-8", file);
    Node node = TRY(config::parse_yaml(yaml, file, max_bytes));
    if (node.kind == Node::Kind::kNull) return fail(Code::kInvalid, "{}: empty", file);
    if (!node.is_map()) return config::fail_at(node.place, "must be a map of names to values");
    return Meta(std::move(node));
  }

  Result<std::string> text(std::string_view key) const {
    const Node* node = node_.find(key);
    return node ? config::as_text(*node, key) : std::string();
  }
  Result<std::string> needed(std::string_view key) const {
    std::string value = TRY(text(key));
    if (value.empty()) return config::fail_at(node_.place, "'{}' is missing", key);
    return value;
  }
  Result<std::optional<std::string>> optional_text(std::string_view key) const {
    const Node* node = node_.find(key);
    if (!node || node->kind == Node::Kind::kNull) return std::nullopt;
    return TRY(config::as_text(*node, key));
  }
  Result<std::optional<int64_t>> integer(std::string_view key) const {
    const Node* node = node_.find(key);
    if (!node || node->kind == Node::Kind::kNull) return std::nullopt;
    return TRY(config::as_int(*node, key, kLeast, kMost));
  }
  const Node* find(std::string_view key) const { return node_.find(key); }

  Result<std::vector<tracking::KeyValue>> pairs(std::string_view key) const {
    std::vector<tracking::KeyValue> pairs;
    const Node* node = node_.find(key);
    if (!node || !node->is_map()) return pairs;
    for (const Node::Entry& entry : node->entries)
      pairs.emplace_back(entry.key, TRY(config::as_text(entry.value, entry.key)));
    return pairs;
  }
  const config::Place& place() const { return node_.place; }

 private:
  explicit Meta(Node node) : node_(std::move(node)) {}
  Node node_;
};

Result<tracking::Lifecycle> lifecycle_of(const Meta& meta) {
  std::string stage = TRY(meta.text("lifecycle_stage"));
  if (stage == "deleted") return tracking::Lifecycle::kDeleted;
  if (stage.empty() || stage == "active") return tracking::Lifecycle::kActive;
  return config::fail_at(meta.place(), "lifecycle_stage must be active or deleted, not '{}'", stage);
}

Result<tracking::RunStatus> run_status_of(const Meta& meta) {
  const Node* node = meta.find("status");
  if (!node || node->kind == Node::Kind::kNull) return tracking::RunStatus::kRunning;
  if (auto status = tracking::run_status_from(node->text)) return *status;
  return static_cast<tracking::RunStatus>(TRY(config::as_int(*node, "status", 1, 5)));
}

Result<tracking::ModelStatus> model_status_of(const Meta& meta) {
  const Node* node = meta.find("status");
  if (!node || node->kind == Node::Kind::kNull) return tracking::ModelStatus::kPending;
  for (std::string_view prefix : {"", "LOGGED_MODEL_"})
    if (auto status = tracking::model_status_from(fmt::format("{}{}", prefix, node->text))) return *status;
  return static_cast<tracking::ModelStatus>(TRY(config::as_int(*node, "status", 0, 3)));
}

bool parse_integer(std::string_view text, int64_t& number) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

// As Python's float() reads it: numbers that are too large are infinite, too small ones zero.
bool parse_value(std::string_view text, double& value) {
  if (text.starts_with('+')) text.remove_prefix(1);
  if (text.find('(') != std::string_view::npos) return false;  // "nan(x)" is C's
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc::invalid_argument || end != text.data() + text.size()) return false;
  if (error == std::errc::result_out_of_range) value = std::strtod(std::string(text).c_str(), nullptr);
  return true;
}

// Takes the first word, which a single space ends, off the line.
std::string_view take_word(std::string_view& line) {
  size_t end = std::min(line.find(' '), line.size());
  std::string_view word = line.substr(0, end);
  line.remove_prefix(std::min(end + 1, line.size()));
  return word;
}

}  // namespace

std::optional<MetricLine> parse_metric_line(std::string_view line, MetricOwner owner) {
  MetricLine parsed;
  line = trim(line);
  if (!parse_integer(take_word(line), parsed.point.timestamp)) return std::nullopt;
  if (!parse_value(take_word(line), parsed.point.value)) return std::nullopt;
  if (line.empty() && owner == MetricOwner::kRun) return parsed;  // before there were steps
  if (!parse_integer(take_word(line), parsed.point.step)) return std::nullopt;
  if (owner == MetricOwner::kLoggedModel) {
    if (line.empty()) return std::nullopt;
    parsed.run_id = take_word(line);
  }
  if (line.empty()) return parsed;
  // MLflow writes a name with spaces as it is, and cannot read it again.
  size_t space = line.rfind(' ');
  if (space == std::string_view::npos) return std::nullopt;
  parsed.dataset_name = line.substr(0, space);
  parsed.dataset_digest = line.substr(space + 1);
  return parsed;
}

Result<tracking::Experiment> parse_experiment(std::string_view yaml, const std::string& file) {
  Meta meta = TRY(Meta::parse(yaml, file));
  tracking::Experiment experiment;
  experiment.id = TRY(meta.needed("experiment_id"));
  experiment.name = TRY(meta.needed("name"));
  experiment.artifact_location = TRY(meta.text("artifact_location"));
  experiment.lifecycle = TRY(lifecycle_of(meta));
  experiment.created = TRY(meta.integer("creation_time")).value_or(0);
  experiment.updated = TRY(meta.integer("last_update_time")).value_or(experiment.created);
  return experiment;
}

Result<tracking::TransferredRun> parse_run(std::string_view yaml, const std::string& file) {
  Meta meta = TRY(Meta::parse(yaml, file));
  tracking::TransferredRun transferred;
  tracking::RunInfo& info = transferred.run.info;
  info.id = TRY(meta.text("run_id"));
  if (info.id.empty()) info.id = TRY(meta.needed("run_uuid"));
  info.name = TRY(meta.text("run_name"));
  if (info.name.empty()) info.name = TRY(meta.text("name"));
  info.experiment_id = TRY(meta.needed("experiment_id"));
  info.user = TRY(meta.text("user_id"));
  info.status = TRY(run_status_of(meta));
  info.start_time = TRY(meta.integer("start_time")).value_or(0);
  info.end_time = TRY(meta.integer("end_time"));
  info.artifact_uri = TRY(meta.text("artifact_uri"));
  info.lifecycle = TRY(lifecycle_of(meta));
  transferred.deleted_time = TRY(meta.integer("deleted_time"));
  return transferred;
}

Result<tracking::Dataset> parse_dataset(std::string_view yaml, const std::string& file) {
  Meta meta = TRY(Meta::parse(yaml, file, kMaxDatasetBytes));
  tracking::Dataset dataset;
  dataset.name = TRY(meta.needed("name"));
  dataset.digest = TRY(meta.needed("digest"));
  dataset.source_type = TRY(meta.text("source_type"));
  dataset.source = TRY(meta.text("source"));
  dataset.schema = TRY(meta.optional_text("schema"));
  dataset.profile = TRY(meta.optional_text("profile"));
  return dataset;
}

Result<InputMeta> parse_input(std::string_view yaml, const std::string& file) {
  Meta meta = TRY(Meta::parse(yaml, file));
  InputMeta input;
  std::string type = TRY(meta.text("source_type"));
  input.is_model = type.starts_with("MODEL");
  if (!input.is_model && !type.empty() && type != "DATASET")
    return config::fail_at(meta.place(), "source_type must be DATASET or MODEL, not '{}'", type);
  input.source_id = TRY(meta.needed("source_id"));
  input.tags = TRY(meta.pairs("tags"));
  return input;
}

Result<tracking::ModelOutput> parse_output(std::string_view yaml, const std::string& file) {
  Meta meta = TRY(Meta::parse(yaml, file));
  return tracking::ModelOutput{TRY(meta.needed("destination_id")), TRY(meta.integer("step")).value_or(0)};
}

Result<tracking::LoggedModel> parse_logged_model(std::string_view yaml, const std::string& file) {
  Meta meta = TRY(Meta::parse(yaml, file));
  tracking::LoggedModel model;
  model.id = TRY(meta.needed("model_id"));
  model.experiment_id = TRY(meta.needed("experiment_id"));
  model.name = TRY(meta.text("name"));
  model.model_type = TRY(meta.text("model_type"));
  model.source_run_id = TRY(meta.text("source_run_id"));
  model.artifact_uri = TRY(meta.text("artifact_location"));
  model.status = TRY(model_status_of(meta));
  model.lifecycle = TRY(lifecycle_of(meta));
  model.created = TRY(meta.integer("creation_timestamp")).value_or(0);
  model.updated = TRY(meta.integer("last_updated_timestamp")).value_or(model.created);
  return model;
}

Result<tracking::RegisteredModel> parse_registered_model(std::string_view yaml, const std::string& file) {
  Meta meta = TRY(Meta::parse(yaml, file));
  tracking::RegisteredModel model;
  model.name = TRY(meta.needed("name"));
  model.description = TRY(meta.text("description"));
  model.created = TRY(meta.integer("creation_timestamp")).value_or(0);
  model.updated = TRY(meta.integer("last_updated_timestamp")).value_or(model.created);
  return model;
}

Result<std::optional<tracking::ModelVersion>> parse_version(std::string_view yaml, const std::string& file) {
  Meta meta = TRY(Meta::parse(yaml, file));
  std::string stage = TRY(meta.text("current_stage"));
  if (stage == "Deleted_Internal") return std::nullopt;
  tracking::ModelVersion version;
  version.name = TRY(meta.needed("name"));
  version.version = TRY(meta.integer("version")).value_or(0);
  if (version.version < 1) return config::fail_at(meta.place(), "'version' must be a number from 1 on");
  version.created = TRY(meta.integer("creation_timestamp")).value_or(0);
  version.updated = TRY(meta.integer("last_updated_timestamp")).value_or(version.created);
  version.description = TRY(meta.optional_text("description"));
  version.stage = TRY_IN(file, tracking::parse_stage(stage.empty() ? "None" : stage));
  version.source = TRY(meta.text("source"));
  version.storage_location = TRY(meta.text("storage_location"));
  version.run_id = TRY(meta.text("run_id"));
  version.run_link = TRY(meta.text("run_link"));
  version.model_id = TRY(meta.text("model_id"));
  return version;
}

}  // namespace tidemill::exchange
