#include "base/time.h"
#include "tracking/registry.h"
#include "tracking/registry_rows.h"
#include "tracking/store_state.h"
#include "tracking/validate.h"

namespace tidemill::tracking {
namespace {

Result<> put_tag(db::Connection& connection, int64_t version, std::string_view key, std::string_view value) {
  return connection.run(
      "INSERT INTO model_version_tags (version, key, value) VALUES (?, ?, ?) "
      "ON CONFLICT (version, key) DO UPDATE SET value = excluded.value",
      version, key, value);
}

// The next number of the model, taken from its counter, so that two who register at once get two numbers.
Result<int64_t> take_number(db::Connection& connection, std::string_view name, int64_t now) {
  db::Statement next =
      TRY(connection.prepare("UPDATE registered_models SET last_version = last_version + 1, updated = ? "
                             "WHERE name = ? RETURNING last_version"));
  if (TRY(next.bind(now, name).step())) return next.integer(0);
  return fail(Code::kNotFound, "Registered Model with name={} not found", name);
}

Result<int64_t> insert_version(db::Connection& connection, const CreateVersion& create) {
  int64_t now = now_ms();
  int64_t number = TRY(take_number(connection, create.name, now));
  int64_t model = TRY(find_model(connection, create.name));
  int64_t id = TRY(connection.insert(
      "INSERT INTO model_versions (model, version, stage, description, source, storage_location, run_id, "
      "run_link, model_id, created, updated) VALUES (?, ?, 0, ?, ?, ?, ?, ?, ?, ?, ?)",
      model, number, create.description, create.source,
      create.storage_location.empty() ? create.source : create.storage_location, create.run_id,
      create.run_link, create.model_id, now, now));
  for (const auto& [key, value] : create.tags) TRY(put_tag(connection, id, key, value));
  if (!create.model_id.empty()) TRY(add_model_version(connection, create.model_id, create.name, number));
  return number;
}

Result<> check_version(const CreateVersion& create) {
  TRY(check_model_name(create.name));
  for (const auto& [key, value] : create.tags) TRY(check_registry_tag(key, value));
  TRY(check_length("source", create.source, kMaxSourceChars));
  TRY(check_length("storage_location", create.storage_location, kMaxSourceChars));
  TRY(check_length("run_id", create.run_id, kMaxModelNameChars));
  TRY(check_length("run_link", create.run_link, kMaxSourceChars));
  TRY(check_length("model_id", create.model_id, kMaxModelNameChars));
  return check_length("description", create.description, kMaxDescriptionChars);
}

}  // namespace

Result<ModelVersion> Registry::create_version(const CreateVersion& create) {
  TRY(check_version(create));
  ModelVersion version;
  TRY(state_.commits.run([&](db::Connection& connection) -> Result<> {
    int64_t number = TRY(insert_version(connection, create));
    version = TRY(load_version(connection, create.name, number));
    return {};
  }));
  return version;
}

Result<ModelVersion> Registry::version(std::string_view name, int64_t version) {
  TRY(check_model_name(name));
  return state_.read<ModelVersion>(
      [&](Reader& reader) { return load_version(*reader.connection, name, version); });
}

Result<ModelVersion> Registry::update_version(std::string_view name, int64_t version,
                                              std::optional<std::string> description) {
  TRY(check_model_name(name));
  if (description) TRY(check_length("description", *description, kMaxDescriptionChars));
  ModelVersion updated;
  TRY(state_.commits.run([&](db::Connection& connection) -> Result<> {
    VersionRow row = TRY(find_version(connection, name, version));
    TRY(connection.run("UPDATE model_versions SET description = ?, updated = ? WHERE id = ?", description,
                       now_ms(), row.id));
    updated = TRY(load_version(connection, name, version));
    return {};
  }));
  return updated;
}

Result<ModelVersion> Registry::transition(std::string_view name, int64_t version, Stage stage,
                                          Others others) {
  bool active = stage == Stage::kStaging || stage == Stage::kProduction;
  if (others == Others::kArchive && !active)
    return fail(
        Code::kInvalid,
        "Model version transition cannot archive existing model versions because '{}' is not an Active "
        "stage. Valid stages are ['Staging', 'Production']",
        to_string(stage));
  TRY(check_model_name(name));
  ModelVersion moved;
  TRY(state_.commits.run([&](db::Connection& connection) -> Result<> {
    VersionRow row = TRY(find_version(connection, name, version));
    int64_t now = now_ms();
    if (others == Others::kArchive)
      TRY(connection.run(
          "UPDATE model_versions SET stage = ?, updated = ? WHERE model = ? AND stage = ? AND id <> ?",
          static_cast<int>(Stage::kArchived), now, row.model, static_cast<int>(stage), row.id));
    TRY(connection.run("UPDATE model_versions SET stage = ?, updated = ? WHERE id = ?",
                       static_cast<int>(stage), now, row.id));
    TRY(touch_model(connection, row.model, now));
    moved = TRY(load_version(connection, name, version));
    return {};
  }));
  return moved;
}

Result<> Registry::delete_version(std::string_view name, int64_t version) {
  TRY(check_model_name(name));
  return state_.commits.run([&](db::Connection& connection) -> Result<> {
    VersionRow row = TRY(find_version(connection, name, version));
    TRY(connection.run("DELETE FROM registered_model_aliases WHERE model = ? AND version = ?", row.model,
                       version));
    TRY(connection.run("DELETE FROM model_version_tags WHERE version = ?", row.id));
    TRY(connection.run("DELETE FROM model_versions WHERE id = ?", row.id));
    return touch_model(connection, row.model, now_ms());
  });
}

Result<> Registry::set_version_tag(std::string_view name, int64_t version, std::string_view key,
                                   std::string_view value) {
  TRY(check_model_name(name));
  TRY(check_registry_tag(key, value));
  return state_.commits.run([&](db::Connection& connection) -> Result<> {
    return put_tag(connection, TRY(find_version(connection, name, version)).id, key, value);
  });
}

Result<> Registry::delete_version_tag(std::string_view name, int64_t version, std::string_view key) {
  TRY(check_model_name(name));
  TRY(check_tag_key(key));
  return state_.commits.run([&](db::Connection& connection) -> Result<> {
    return connection.run("DELETE FROM model_version_tags WHERE version = ? AND key = ?",
                          TRY(find_version(connection, name, version)).id, key);
  });
}

}  // namespace tidemill::tracking
