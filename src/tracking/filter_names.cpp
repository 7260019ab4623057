#include "tracking/filter_names.h"

#include <algorithm>
#include <span>

namespace tidemill::tracking {
namespace {

struct EntityName {
  std::string_view name;
  Entity entity;
};
constexpr EntityName kEntityNames[] = {{"metric", Entity::kMetric},
                                       {"metrics", Entity::kMetric},
                                       {"parameter", Entity::kParam},
                                       {"parameters", Entity::kParam},
                                       {"param", Entity::kParam},
                                       {"params", Entity::kParam},
                                       {"tag", Entity::kTag},
                                       {"tags", Entity::kTag},
                                       {"attribute", Entity::kAttribute},
                                       {"attributes", Entity::kAttribute},
                                       {"attr", Entity::kAttribute},
                                       {"run", Entity::kAttribute},
                                       {"dataset", Entity::kDataset},
                                       {"datasets", Entity::kDataset}};

struct Attribute {
  std::string_view name;     // as written
  std::string_view meaning;  // without aliases
  bool numeric;
};
constexpr Attribute kRunAttributes[] = {
    {"run_id", "run_id", false},        {"run_name", "run_name", false},
    {"run name", "run_name", false},    {"Run name", "run_name", false},
    {"Run Name", "run_name", false},    {"status", "status", false},
    {"user_id", "user_id", false},      {"artifact_uri", "artifact_uri", false},
    {"start_time", "start_time", true}, {"end_time", "end_time", true},
    {"created", "start_time", true},    {"Created", "start_time", true}};
constexpr Attribute kExperimentAttributes[] = {{"name", "name", false},
                                               {"experiment_id", "experiment_id", false},
                                               {"creation_time", "creation_time", true},
                                               {"last_update_time", "last_update_time", true}};
constexpr Attribute kExperimentOrderAttributes[] = {{"name", "name", false},
                                                    {"experiment_id", "experiment_id", true},
                                                    {"creation_time", "creation_time", true},
                                                    {"last_update_time", "last_update_time", true}};
constexpr Attribute kLoggedModelAttributes[] = {{"name", "name", false},
                                                {"model_id", "model_id", false},
                                                {"experiment_id", "experiment_id", false},
                                                {"lifecycle_stage", "lifecycle_stage", false},
                                                {"model_type", "model_type", false},
                                                {"status", "status", false},
                                                {"source_run_id", "source_run_id", false},
                                                {"artifact_location", "artifact_location", false},
                                                {"creation_timestamp", "creation_timestamp", true},
                                                {"creation_timestamp_ms", "creation_timestamp", true},
                                                {"creation_time", "creation_timestamp", true},
                                                {"last_updated_timestamp", "last_updated_timestamp", true},
                                                {"last_updated_timestamp_ms", "last_updated_timestamp", true},
                                                {"last_updated_time", "last_updated_timestamp", true}};
constexpr Attribute kRegisteredModelAttributes[] = {{"name", "name", false}};
constexpr Attribute kRegisteredModelOrderAttributes[] = {
    {"name", "name", false},
    {"creation_timestamp", "creation_timestamp", true},
    {"timestamp", "last_updated_timestamp", true},
    {"last_updated_timestamp", "last_updated_timestamp", true}};
constexpr Attribute kModelVersionAttributes[] = {{"name", "name", false},
                                                 {"version_number", "version_number", true},
                                                 {"run_id", "run_id", false},
                                                 {"source_path", "source_path", false}};
constexpr Attribute kModelVersionOrderAttributes[] = {
    {"name", "name", false},
    {"version_number", "version_number", true},
    {"creation_timestamp", "creation_timestamp", true},
    {"last_updated_timestamp", "last_updated_timestamp", true}};
constexpr std::string_view kDatasetKeys[] = {"name", "digest", "context"};

std::span<const Attribute> attributes_of(Subject subject) {
  switch (subject) {
    case Subject::kRuns:
      return kRunAttributes;
    case Subject::kExperiments:
      return kExperimentAttributes;
    case Subject::kLoggedModels:
      return kLoggedModelAttributes;
    case Subject::kRegisteredModels:
      return kRegisteredModelAttributes;
    case Subject::kModelVersions:
      return kModelVersionAttributes;
  }
  return {};
}

std::span<const Attribute> order_attributes_of(Subject subject) {
  switch (subject) {
    case Subject::kRuns:
      return kRunAttributes;
    case Subject::kExperiments:
      return kExperimentOrderAttributes;
    case Subject::kLoggedModels:
      return kLoggedModelAttributes;
    case Subject::kRegisteredModels:
      return kRegisteredModelOrderAttributes;
    case Subject::kModelVersions:
      return kModelVersionOrderAttributes;
  }
  return {};
}

bool has_entity(Subject subject, Entity entity) {
  if (entity == Entity::kAttribute || entity == Entity::kTag || subject == Subject::kRuns) return true;
  return subject == Subject::kLoggedModels && entity != Entity::kDataset;
}

Result<Entity> parse_entity(std::string_view name, Subject subject) {
  for (const EntityName& known : kEntityNames)
    if (known.name == name && has_entity(subject, known.entity)) return known.entity;
  if (subject != Subject::kRuns && subject != Subject::kLoggedModels)
    return fail(Code::kInvalid,
                "Invalid entity type '{}'. Valid entity types are ('attribute', 'tag', 'tags')", name);
  return fail(
      Code::kInvalid,
      "Invalid entity type '{}'. Valid values are ['metric', 'parameter', 'tag', 'attribute', 'dataset']",
      name);
}

}  // namespace

std::string_view singular(Entity entity) {
  switch (entity) {
    case Entity::kMetric:
      return "metric";
    case Entity::kParam:
      return "parameter";
    case Entity::kTag:
      return "tag";
    case Entity::kAttribute:
      return "attribute";
    case Entity::kDataset:
      return "dataset";
  }
  return "";
}

bool in_registry(Subject subject) {
  return subject == Subject::kRegisteredModels || subject == Subject::kModelVersions;
}

std::string unquote(std::string_view text) {
  if (text.size() < 2 || text.front() != text.back() ||
      std::string_view("'\"`").find(text.front()) == std::string_view::npos)
    return std::string(text);
  std::string out;
  for (size_t i = 1; i + 1 < text.size(); ++i) {
    out += text[i];
    if (text[i] == text.front()) ++i;  // doubled
  }
  return out;
}

bool is_quoted(std::string_view text, char quote) {
  return text.size() >= 2 && text.front() == quote && text.back() == quote;
}

Result<Identifier> parse_identifier(std::string_view text, Subject subject, NameUse use) {
  std::span<const Attribute> attributes =
      use == NameUse::kFilter ? attributes_of(subject) : order_attributes_of(subject);
  Identifier out;
  std::string_view key = text;
  // A dot inside quotes does not part entity and key.
  size_t dot = text.empty() || text[0] == '"' || text[0] == '`' ? std::string_view::npos : text.find('.');
  if (!text.empty() && text[0] == '`') {
    size_t close = text.find('`', 1);
    if (close != std::string_view::npos && close + 1 < text.size() && text[close + 1] == '.') dot = close + 1;
  }
  if (dot != std::string_view::npos) {
    out.entity = TRY(parse_entity(unquote(text.substr(0, dot)), subject));
    key = text.substr(dot + 1);
  }
  out.key = unquote(key);
  if (out.entity == Entity::kAttribute) {
    auto known = std::find_if(attributes.begin(), attributes.end(),
                              [&](const Attribute& attribute) { return attribute.name == out.key; });
    if (known == attributes.end()) {
      std::vector<std::string_view> names;
      for (const Attribute& attribute : attributes) names.push_back(attribute.name);
      return fail(Code::kInvalid, "Invalid attribute key '{}' specified. Valid keys are '{}'", out.key,
                  python_set(names));
    }
    out.key = known->meaning;
    out.numeric = known->numeric;
  }
  if (out.entity == Entity::kDataset &&
      std::find(std::begin(kDatasetKeys), std::end(kDatasetKeys), out.key) == std::end(kDatasetKeys))
    return fail(Code::kInvalid, "Invalid dataset key '{}' specified. Valid keys are '{}'", out.key,
                python_set(kDatasetKeys));
  return out;
}

}  // namespace tidemill::tracking
