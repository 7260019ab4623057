// The model registry: models under names, their numbered versions, aliases that point at a version, stages,
// tags. MLflow's rules and the texts of its errors; knows nothing of HTTP, nor where a version's source may
// lie. Same guarantees as the Store whose data it is part of.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "tracking/store.h"

namespace tidemill::tracking {

enum class Stage { kNone = 0, kStaging = 1, kProduction = 2, kArchived = 3 };
std::string_view to_string(Stage stage);           // "None", "Staging", ...
Result<Stage> parse_stage(std::string_view name);  // in upper or lower case

// Prompts are kept as models and versions with this tag.
inline constexpr std::string_view kPromptTag = "mlflow.prompt.is_prompt";
bool is_prompt(const std::vector<KeyValue>& tags);

struct ModelVersion {
  std::string name;  // of its model
  int64_t version = 0;
  int64_t created = 0, updated = 0;  // ms
  std::optional<std::string> description;
  Stage stage = Stage::kNone;
  std::string source;            // as it was registered: "models:/m-0123", a URI, a folder
  std::string storage_location;  // where its files are
  std::string run_id;            // "": none
  std::string run_link;
  std::string model_id;              // the logged model that it is; "": none
  std::vector<KeyValue> tags;        // by key
  std::vector<std::string> aliases;  // sorted
};

struct ModelAlias {
  std::string alias;
  int64_t version = 0;
};

struct RegisteredModel {
  std::string name;
  int64_t created = 0, updated = 0;           // ms
  std::string description;                    // "": none
  std::vector<ModelVersion> latest_versions;  // the newest of each stage
  std::vector<KeyValue> tags;                 // by key
  std::vector<ModelAlias> aliases;            // by name
};

struct CreateModel {
  std::string name;
  std::string description;
  std::vector<KeyValue> tags;
};

struct CreateVersion {
  std::string name;
  std::string source;
  std::string storage_location;  // "": the source
  std::string run_id;
  std::string run_link;
  std::string model_id;
  std::string description;
  std::vector<KeyValue> tags;
};

struct SearchRegistry {
  std::string filter;
  int64_t max_results = 100;
  std::vector<std::string> order_by;
  std::string page_token;
  Visible visible = {};  // names of models
};

// Whether other versions leave the stage that a version enters.
enum class Others { kStay, kArchive };

constexpr int64_t kMaxModelResults = 1000;
constexpr int64_t kMaxVersionResults = 200'000;

class Registry {
 public:
  // A view of the store, which must outlive it.
  explicit Registry(Store& store) : state_(store.state()) {}

  // kConflict when the name is taken.
  Result<RegisteredModel> create_model(const CreateModel& create);
  Result<RegisteredModel> model(std::string_view name);
  Result<RegisteredModel> update_model(std::string_view name, std::string_view description);
  // Its versions, aliases and tags come along.
  Result<RegisteredModel> rename_model(std::string_view name, std::string_view new_name);
  // With all its versions, aliases and tags; files stay.
  Result<> delete_model(std::string_view name);
  Result<> set_model_tag(std::string_view name, std::string_view key, std::string_view value);
  Result<> delete_model_tag(std::string_view name, std::string_view key);
  // Default order: by name. Prompts, which are kept as models with a tag, are found only by asking for that
  // tag.
  Result<Page<RegisteredModel>> search_models(const SearchRegistry& search);
  // The newest version of each of these stages; of all stages when none is named.
  Result<std::vector<ModelVersion>> latest_versions(std::string_view name, const std::vector<Stage>& stages);

  Result<ModelVersion> create_version(const CreateVersion& create);
  Result<ModelVersion> version(std::string_view name, int64_t version);
  // Without a description the version loses the one it had.
  Result<ModelVersion> update_version(std::string_view name, int64_t version,
                                      std::optional<std::string> description);
  Result<ModelVersion> transition(std::string_view name, int64_t version, Stage stage, Others others);
  Result<> delete_version(std::string_view name, int64_t version);
  Result<> set_version_tag(std::string_view name, int64_t version, std::string_view key,
                           std::string_view value);
  Result<> delete_version_tag(std::string_view name, int64_t version, std::string_view key);
  // Default order: the last changed first.
  Result<Page<ModelVersion>> search_versions(const SearchRegistry& search);

  // Points the alias at this version, away from the one it pointed at.
  Result<> set_alias(std::string_view name, std::string_view alias, int64_t version);
  // Also when there is no such alias.
  Result<> delete_alias(std::string_view name, std::string_view alias);
  // "latest" is the version with the highest number.
  Result<ModelVersion> version_by_alias(std::string_view name, std::string_view alias);

 private:
  Store::State& state_;
};

}  // namespace tidemill::tracking
