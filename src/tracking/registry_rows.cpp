#include "tracking/registry_rows.h"

#include <algorithm>
#include <unordered_map>

#include "tracking/query.h"
#include "tracking/validate.h"

namespace tidemill::tracking {
namespace {

constexpr size_t kIdsAtATime = 500;

// Runs "<sql> (?, ?, ...) <order>" for the ids, some at a time, and hands each row to take.
template <class Take>
Result<> for_ids(db::Connection& connection, std::string_view sql, std::string_view order,
                 const std::vector<int64_t>& ids, Take&& take) {
  for (size_t first = 0; first < ids.size(); first += kIdsAtATime) {
    Query query;
    query.add(sql);
    query.add_list(std::span(ids).subspan(first, std::min(kIdsAtATime, ids.size() - first)));
    query.add(order);
    db::Statement row = TRY(query.prepare(connection));
    while (TRY(row.step())) take(row);
  }
  return {};
}

std::vector<int64_t> distinct(std::vector<int64_t> ids) {
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return ids;
}

Result<> add_version_tags(db::Connection& connection, std::vector<VersionRow>& rows) {
  std::unordered_map<int64_t, ModelVersion*> by_id;
  std::vector<int64_t> ids;
  for (VersionRow& row : rows) {
    by_id[row.id] = &row.version;
    ids.push_back(row.id);
  }
  return for_ids(connection, "SELECT version, key, value FROM model_version_tags WHERE version IN ",
                 " ORDER BY key", ids, [&](const db::Statement& tag) {
                   by_id[tag.integer(0)]->tags.emplace_back(tag.text(1), tag.text(2));
                 });
}

struct AliasRow {
  int64_t model;
  ModelAlias alias;
};

Result<std::vector<AliasRow>> aliases_of(db::Connection& connection, const std::vector<int64_t>& models) {
  std::vector<AliasRow> rows;
  TRY(for_ids(connection, "SELECT model, alias, version FROM registered_model_aliases WHERE model IN ",
              " ORDER BY alias", models, [&](const db::Statement& row) {
                rows.push_back({row.integer(0), {std::string(row.text(1)), row.integer(2)}});
              }));
  return rows;
}

void add_aliases(std::vector<VersionRow>& versions, const std::vector<AliasRow>& aliases) {
  std::unordered_map<int64_t, std::vector<const ModelAlias*>> by_model;
  for (const AliasRow& row : aliases) by_model[row.model].push_back(&row.alias);
  if (by_model.empty()) return;
  for (VersionRow& row : versions) {
    auto found = by_model.find(row.model);
    if (found == by_model.end()) continue;
    for (const ModelAlias* alias : found->second)
      if (alias->version == row.version.version) row.version.aliases.push_back(alias->alias);
  }
}

Result<std::vector<VersionRow>> newest_versions(db::Connection& connection,
                                                const std::vector<int64_t>& models) {
  std::vector<VersionRow> rows;
  std::string newest = fmt::format(
      "SELECT {} FROM model_versions v JOIN registered_models m ON m.id = v.model JOIN "
      "(SELECT model, stage, MAX(version) AS version FROM model_versions WHERE model IN ",
      kVersionColumns);
  TRY(for_ids(connection, newest,
              " GROUP BY model, stage) n ON n.model = v.model AND n.version = v.version "
              "ORDER BY v.model, v.stage",
              models, [&](const db::Statement& row) { rows.push_back(read_version(row)); }));
  return rows;
}

}  // namespace

ModelRow read_model(const db::Statement& row) {
  ModelRow out{.id = row.integer(0), .model = {}};
  out.model.name = row.text(1);
  out.model.created = row.integer(2);
  out.model.updated = row.integer(3);
  out.model.description = row.text(4);
  return out;
}

VersionRow read_version(const db::Statement& row) {
  VersionRow out{.id = row.integer(0), .model = row.integer(1), .version = {}};
  ModelVersion& version = out.version;
  version.name = row.text(2);
  version.version = row.integer(3);
  version.created = row.integer(4);
  version.updated = row.integer(5);
  if (!row.is_null(6)) version.description = row.text(6);
  version.stage = static_cast<Stage>(row.integer(7));
  version.source = row.text(8);
  version.storage_location = row.text(9);
  version.run_id = row.text(10);
  version.run_link = row.text(11);
  version.model_id = row.text(12);
  return out;
}

Result<std::vector<ModelVersion>> complete(db::Connection& connection, std::vector<VersionRow> rows) {
  TRY(add_version_tags(connection, rows));
  std::vector<int64_t> models;
  for (const VersionRow& row : rows) models.push_back(row.model);
  add_aliases(rows, TRY(aliases_of(connection, distinct(std::move(models)))));
  std::vector<ModelVersion> versions;
  versions.reserve(rows.size());
  for (VersionRow& row : rows) versions.push_back(std::move(row.version));
  return versions;
}

Result<std::vector<RegisteredModel>> complete(db::Connection& connection, std::vector<ModelRow> rows) {
  std::unordered_map<int64_t, RegisteredModel*> by_id;
  std::vector<int64_t> ids;
  for (ModelRow& row : rows) {
    by_id[row.id] = &row.model;
    ids.push_back(row.id);
  }
  TRY(for_ids(
      connection, "SELECT model, key, value FROM registered_model_tags WHERE model IN ", " ORDER BY key", ids,
      [&](const db::Statement& tag) { by_id[tag.integer(0)]->tags.emplace_back(tag.text(1), tag.text(2)); }));
  std::vector<AliasRow> aliases = TRY(aliases_of(connection, ids));
  std::vector<VersionRow> newest = TRY(newest_versions(connection, ids));
  TRY(add_version_tags(connection, newest));
  add_aliases(newest, aliases);
  for (VersionRow& row : newest) by_id[row.model]->latest_versions.push_back(std::move(row.version));
  for (AliasRow& row : aliases) by_id[row.model]->aliases.push_back(std::move(row.alias));
  std::vector<RegisteredModel> models;
  models.reserve(rows.size());
  for (ModelRow& row : rows) models.push_back(std::move(row.model));
  return models;
}

Result<int64_t> find_model(db::Connection& connection, std::string_view name) {
  db::Statement row = TRY(connection.prepare("SELECT id FROM registered_models WHERE name = ?"));
  if (TRY(row.bind(name).step())) return row.integer(0);
  return fail(Code::kNotFound, "Registered Model with name={} not found", name);
}

Result<RegisteredModel> load_model(db::Connection& connection, std::string_view name) {
  std::vector<ModelRow> rows;
  {
    db::Statement row = TRY(connection.prepare(
        fmt::format("SELECT {} FROM registered_models m WHERE m.name = ?", kModelColumns)));
    if (!TRY(row.bind(name).step()))
      return fail(Code::kNotFound, "Registered Model with name={} not found", name);
    rows.push_back(read_model(row));
  }
  auto models = TRY(complete(connection, std::move(rows)));
  return std::move(models.front());
}

Result<VersionRow> find_version(db::Connection& connection, std::string_view name, int64_t version) {
  db::Statement row = TRY(connection.prepare(
      fmt::format("SELECT {} FROM model_versions v JOIN registered_models m ON m.id = v.model "
                  "WHERE m.name = ? AND v.version = ?",
                  kVersionColumns)));
  if (TRY(row.bind(name, version).step())) return read_version(row);
  return fail(Code::kNotFound, "Model Version (name={}, version={}) not found", name, version);
}

Result<ModelVersion> load_version(db::Connection& connection, std::string_view name, int64_t version) {
  auto versions = TRY(complete(connection, std::vector{TRY(find_version(connection, name, version))}));
  return std::move(versions.front());
}

Result<> touch_model(db::Connection& connection, int64_t model, int64_t now) {
  return connection.run("UPDATE registered_models SET updated = ? WHERE id = ?", now, model);
}

}  // namespace tidemill::tracking
