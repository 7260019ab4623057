// Rows of the registry's tables as entities. Private to this folder.
#pragma once

#include <string_view>
#include <vector>

#include "db/database.h"
#include "tracking/registry.h"

namespace tidemill::tracking {

struct ModelRow {
  int64_t id = 0;
  RegisteredModel model;
};
struct VersionRow {
  int64_t id = 0;
  int64_t model = 0;  // registered_models.id
  ModelVersion version;
};

// The columns that read_model expects, in this order, of registered_models m.
inline constexpr std::string_view kModelColumns = "m.id, m.name, m.created, m.updated, m.description";
ModelRow read_model(const db::Statement& row);
// The columns that read_version expects, in this order, of model_versions v joined to registered_models m.
inline constexpr std::string_view kVersionColumns =
    "v.id, v.model, m.name, v.version, v.created, v.updated, v.description, v.stage, v.source, "
    "v.storage_location, v.run_id, v.run_link, v.model_id";
VersionRow read_version(const db::Statement& row);

// Adds tags and aliases; for models, the newest versions too.
Result<std::vector<RegisteredModel>> complete(db::Connection& connection, std::vector<ModelRow> rows);
Result<std::vector<ModelVersion>> complete(db::Connection& connection, std::vector<VersionRow> rows);

// kNotFound with MLflow's texts.
Result<int64_t> find_model(db::Connection& connection, std::string_view name);
Result<RegisteredModel> load_model(db::Connection& connection, std::string_view name);
Result<VersionRow> find_version(db::Connection& connection, std::string_view name, int64_t version);
Result<ModelVersion> load_version(db::Connection& connection, std::string_view name, int64_t version);

Result<> touch_model(db::Connection& connection, int64_t model, int64_t now);

}  // namespace tidemill::tracking
