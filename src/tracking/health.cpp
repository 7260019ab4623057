#include "tracking/health.h"

#include "tracking/store_state.h"

namespace tidemill::tracking {
namespace {

Result<uint64_t> count(db::Connection& connection, std::string_view sql) {
  db::Statement row = TRY(connection.prepare(sql));
  return TRY(row.step()) ? static_cast<uint64_t>(row.integer(0)) : 0;
}

Result<> add_places(db::Connection& connection, std::string_view sql, ArtifactPlace::Files files,
                    std::vector<ArtifactPlace>& places) {
  db::Statement row = TRY(connection.prepare(sql));
  while (TRY(row.step())) places.push_back({std::string(row.text(0)), std::string(row.text(1)), files});
  return {};
}

constexpr std::string_view kStrays[] = {
    "SELECT count(*) FROM runs WHERE experiment NOT IN (SELECT id FROM experiments)",
    "SELECT count(*) FROM params WHERE run NOT IN (SELECT id FROM runs)",
    "SELECT count(*) FROM tags WHERE run NOT IN (SELECT id FROM runs)",
    "SELECT count(*) FROM metrics WHERE run NOT IN (SELECT id FROM runs)",
    "SELECT count(*) FROM metric_chunks WHERE run NOT IN (SELECT id FROM runs)",
    "SELECT count(*) FROM metric_tails WHERE id NOT IN (SELECT tail FROM metrics WHERE tail IS NOT NULL)",
    "SELECT count(*) FROM artifacts WHERE run NOT IN (SELECT id FROM runs)",
    "SELECT count(*) FROM run_requests WHERE run NOT IN (SELECT id FROM runs)",
    "SELECT count(*) FROM model_versions WHERE model NOT IN (SELECT id FROM registered_models)",
    "SELECT count(*) FROM logged_models WHERE experiment NOT IN (SELECT id FROM experiments)"};

}  // namespace

Result<Health> examine(Store& store) {
  return store.state().read_metrics<Health>([](Reader& reader) -> Result<Health> {
    db::Connection& connection = *reader.connection;
    Health health;
    health.runs = TRY(count(connection, "SELECT count(*) FROM runs"));
    health.running = TRY(count(connection, "SELECT count(*) FROM runs WHERE status = 1 AND lifecycle = 0"));
    for (std::string_view sql : kStrays) health.strays += TRY(count(connection, sql));
    TRY(add_places(
        connection,
        "SELECT 'run ' || uuid, artifact_uri FROM runs r WHERE lifecycle = 0 AND EXISTS (SELECT 1 FROM "
        "artifacts a WHERE a.run = r.id) ORDER BY id",
        ArtifactPlace::Files::kExpected, health.places));
    TRY(add_places(
        connection,
        "SELECT 'logged model ' || model_id, artifact_uri FROM logged_models WHERE lifecycle = 0 AND "
        "status = 2 ORDER BY id",
        ArtifactPlace::Files::kUsual, health.places));
    TRY(add_places(
        connection,
        "SELECT 'version ' || CAST(v.version AS TEXT) || ' of ' || m.name, v.storage_location FROM "
        "model_versions v JOIN registered_models m ON m.id = v.model ORDER BY m.name, v.version",
        ArtifactPlace::Files::kExpected, health.places));
    return health;
  });
}

}  // namespace tidemill::tracking
