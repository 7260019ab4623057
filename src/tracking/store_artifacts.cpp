#include "tracking/store.h"
#include "tracking/store_state.h"

namespace tidemill::tracking {

Result<> put_artifacts(db::Connection& connection, WriteCache& cache, std::string_view run_id,
                       const std::vector<ArtifactEntry>& entries) {
  RunRow run = TRY(cache.active_run(connection, run_id));
  cache.note_update(run, run_id);
  for (const ArtifactEntry& entry : entries)
    TRY(connection.run(
        "INSERT INTO artifacts (run, path, size, sha256) VALUES (?, ?, ?, ?) ON CONFLICT (run, path) "
        "DO UPDATE SET size = excluded.size, sha256 = excluded.sha256",
        run.row, entry.path, static_cast<int64_t>(entry.size), entry.sha256));
  return {};
}

Result<> Store::record_artifacts(std::string_view run_id, const std::vector<ArtifactEntry>& entries) {
  return state_->commits.run(
      [&](db::Connection& connection) { return put_artifacts(connection, state_->cache, run_id, entries); });
}

Result<std::vector<ArtifactEntry>> Store::artifacts(std::string_view run_id) {
  return state_->read<std::vector<ArtifactEntry>>([&](Reader& reader) -> Result<std::vector<ArtifactEntry>> {
    db::Statement run = TRY(reader.connection->prepare("SELECT id FROM runs WHERE uuid = ?"));
    if (!TRY(run.bind(run_id).step())) return tl::unexpected<Error>(no_run(run_id));
    db::Statement row = TRY(
        reader.connection->prepare("SELECT path, size, sha256 FROM artifacts WHERE run = ? ORDER BY path"));
    row.bind(run.integer(0));
    std::vector<ArtifactEntry> entries;
    while (TRY(row.step()))
      entries.push_back(
          {std::string(row.text(0)), static_cast<uint64_t>(row.integer(1)), std::string(row.text(2))});
    return entries;
  });
}

}  // namespace tidemill::tracking
