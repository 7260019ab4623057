#include <algorithm>
#include <array>

#include "base/text.h"
#include "base/time.h"
#include "tracking/grants.h"
#include "tracking/registry.h"
#include "tracking/registry_rows.h"
#include "tracking/store_state.h"
#include "tracking/validate.h"

namespace tidemill::tracking {

constexpr std::array<std::string_view, 4> kStageNames = {"None", "Staging", "Production", "Archived"};

std::string_view to_string(Stage stage) { return kStageNames.at(static_cast<size_t>(stage)); }

Result<Stage> parse_stage(std::string_view name) {
  std::string wanted = to_lower(name);
  for (size_t i = 0; i < kStageNames.size(); ++i)
    if (to_lower(kStageNames[i]) == wanted) return static_cast<Stage>(i);
  return fail(Code::kInvalid, "Invalid Model Version stage: {}. Value must be one of {}.", name,
              fmt::join(kStageNames, ", "));
}

bool is_prompt(const std::vector<KeyValue>& tags) {
  bool found = false;
  for (const auto& [key, value] : tags)
    if (key == kPromptTag) found = to_lower(value) == "true";  // the last one counts
  return found;
}

namespace {

Error taken(const CreateModel& create, const RegisteredModel& existing) {
  std::string_view wanted = is_prompt(create.tags) ? "Prompt" : "Registered Model";
  std::string_view found = is_prompt(existing.tags) ? "Prompt" : "Registered Model";
  if (wanted == found)
    return {Code::kConflict, fmt::format("{} (name={}) already exists.", wanted, create.name)};
  return {
      Code::kConflict,
      fmt::format("Tried to create a {} with name {}, but the name is already taken by a {}. A model and a "
                  "prompt cannot have the same name.",
                  to_lower(wanted), python_repr(create.name), to_lower(found))};
}

Result<> put_tag(db::Connection& connection, int64_t model, std::string_view key, std::string_view value) {
  return connection.run(
      "INSERT INTO registered_model_tags (model, key, value) VALUES (?, ?, ?) "
      "ON CONFLICT (model, key) DO UPDATE SET value = excluded.value",
      model, key, value);
}

Result<> insert_model(db::Connection& connection, const CreateModel& create) {
  int64_t now = now_ms();
  int64_t model = 0;
  {
    db::Statement insert = TRY(connection.prepare(
        "INSERT INTO registered_models (name, description, created, updated, last_version) "
        "VALUES (?, ?, ?, ?, 0) ON CONFLICT (name) DO NOTHING RETURNING id"));
    if (!TRY(insert.bind(create.name, create.description, now, now).step()))
      return tl::unexpected<Error>(taken(create, TRY(load_model(connection, create.name))));
    model = insert.integer(0);
  }
  for (const auto& [key, value] : create.tags) TRY(put_tag(connection, model, key, value));
  return {};
}

}  // namespace

Result<RegisteredModel> Registry::create_model(const CreateModel& create) {
  TRY(check_model_name(create.name));
  TRY(check_length("description", create.description, kMaxDescriptionChars));
  for (const auto& [key, value] : create.tags) TRY(check_registry_tag(key, value));
  RegisteredModel model;
  TRY(state_.commits.run([&](db::Connection& connection) -> Result<> {
    TRY(insert_model(connection, create));
    model = TRY(load_model(connection, create.name));
    return {};
  }));
  return model;
}

Result<RegisteredModel> Registry::model(std::string_view name) {
  TRY(check_model_name(name));
  return state_.read<RegisteredModel>([&](Reader& reader) { return load_model(*reader.connection, name); });
}

Result<RegisteredModel> Registry::update_model(std::string_view name, std::string_view description) {
  TRY(check_model_name(name));
  TRY(check_length("description", description, kMaxDescriptionChars));
  RegisteredModel model;
  TRY(state_.commits.run([&](db::Connection& connection) -> Result<> {
    int64_t id = TRY(find_model(connection, name));
    TRY(connection.run("UPDATE registered_models SET description = ?, updated = ? WHERE id = ?", description,
                       now_ms(), id));
    model = TRY(load_model(connection, name));
    return {};
  }));
  return model;
}

Result<RegisteredModel> Registry::rename_model(std::string_view name, std::string_view new_name) {
  TRY(check_model_name(new_name, "new_name"));
  TRY(check_model_name(name));
  RegisteredModel model;
  TRY(state_.commits.run([&](db::Connection& connection) -> Result<> {
    int64_t id = TRY(find_model(connection, name));
    if (name != new_name && find_model(connection, new_name))
      return fail(Code::kConflict, "Registered Model (name={}) already exists.", new_name);
    int64_t now = now_ms();
    TRY(connection.run("UPDATE registered_models SET name = ?, updated = ? WHERE id = ?", new_name, now, id));
    TRY(connection.run("UPDATE model_versions SET updated = ? WHERE model = ?", now, id));
    TRY(rename_grants(connection, Granted::kModel, name, new_name));
    model = TRY(load_model(connection, new_name));
    return {};
  }));
  return model;
}

Result<> Registry::delete_model(std::string_view name) {
  TRY(check_model_name(name));
  return state_.commits.run([&](db::Connection& connection) -> Result<> {
    int64_t id = TRY(find_model(connection, name));
    TRY(
        connection.run("DELETE FROM model_version_tags WHERE version IN "
                       "(SELECT id FROM model_versions WHERE model = ?)",
                       id));
    TRY(connection.run("DELETE FROM model_versions WHERE model = ?", id));
    TRY(connection.run("DELETE FROM registered_model_aliases WHERE model = ?", id));
    TRY(forget_grants(connection, Granted::kModel, name));
    TRY(connection.run("DELETE FROM registered_model_tags WHERE model = ?", id));
    return connection.run("DELETE FROM registered_models WHERE id = ?", id);
  });
}

Result<> Registry::set_model_tag(std::string_view name, std::string_view key, std::string_view value) {
  TRY(check_model_name(name));
  TRY(check_registry_tag(key, value));
  return state_.commits.run([&](db::Connection& connection) -> Result<> {
    return put_tag(connection, TRY(find_model(connection, name)), key, value);
  });
}

Result<> Registry::delete_model_tag(std::string_view name, std::string_view key) {
  TRY(check_model_name(name));
  TRY(check_tag_key(key));
  return state_.commits.run([&](db::Connection& connection) -> Result<> {
    return connection.run("DELETE FROM registered_model_tags WHERE model = ? AND key = ?",
                          TRY(find_model(connection, name)), key);
  });
}

Result<std::vector<ModelVersion>> Registry::latest_versions(std::string_view name,
                                                            const std::vector<Stage>& stages) {
  RegisteredModel found = TRY(model(name));
  std::vector<ModelVersion> wanted;
  for (ModelVersion& version : found.latest_versions)
    if (stages.empty() || std::find(stages.begin(), stages.end(), version.stage) != stages.end())
      wanted.push_back(std::move(version));
  return wanted;
}

Result<> Registry::set_alias(std::string_view name, std::string_view alias, int64_t version) {
  TRY(check_model_name(name));
  TRY(check_new_alias(alias));
  return state_.commits.run([&](db::Connection& connection) -> Result<> {
    VersionRow row = TRY(find_version(connection, name, version));
    return connection.run(
        "INSERT INTO registered_model_aliases (model, alias, version) VALUES (?, ?, ?) "
        "ON CONFLICT (model, alias) DO UPDATE SET version = excluded.version",
        row.model, alias, version);
  });
}

Result<> Registry::delete_alias(std::string_view name, std::string_view alias) {
  TRY(check_model_name(name));
  TRY(check_alias(alias));
  return state_.commits.run([&](db::Connection& connection) -> Result<> {
    return connection.run("DELETE FROM registered_model_aliases WHERE model = ? AND alias = ?",
                          TRY(find_model(connection, name)), alias);
  });
}

Result<ModelVersion> Registry::version_by_alias(std::string_view name, std::string_view alias) {
  TRY(check_model_name(name));
  TRY(check_alias(alias));
  bool newest = to_lower(alias) == "latest";
  return state_.read<ModelVersion>([&](Reader& reader) -> Result<ModelVersion> {
    db::Connection& connection = *reader.connection;
    int64_t model = TRY(find_model(connection, name));
    db::Statement row = TRY(connection.prepare(
        newest ? "SELECT MAX(version) FROM model_versions WHERE model = ?"
               : "SELECT version FROM registered_model_aliases WHERE model = ? AND alias = ?"));
    row.bind(model);
    if (!newest) row.bind(alias);
    bool found = TRY(row.step()) && !row.is_null(0);
    if (found) return load_version(connection, name, row.integer(0));
    if (newest) return fail(Code::kNotFound, "Latest version not found for model {}.", name);
    return fail(Code::kInvalid, "Registered model alias {} not found.", alias);
  });
}

}  // namespace tidemill::tracking
