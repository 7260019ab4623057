#include "exchange/sink.h"

#include "artifacts/folder_repository.h"

namespace tidemill::exchange {

// The same size, and not changed since.
static bool is_copy_of(const fs::path& copy, const ArtifactFile& file) {
  std::error_code error;
  if (!fs::is_regular_file(copy, error) || fs::file_size(copy, error) != file.size) return false;
  return !file.written || fs::last_write_time(copy, error) >= *file.written;
}

Result<bool> store_files(const Sink::Files& files, const fs::path& folder, const std::string& place,
                         const std::string& uri, Report& report) {
  artifacts::FolderRepository target(folder);
  Result<> copied = files([&](const ArtifactFile& file) -> Result<> {
    std::string path = place + "/" + file.path;
    if (is_copy_of(folder / path, file)) return {};
    Result<> stored = file.fetch().and_then([&](const fs::path& fetched) {
      return target.put_file(path, fetched, artifacts::ArtifactRepository::Source::kKeep);
    });
    if (stored) {
      ++report.files;
      report.file_bytes += file.size;
    } else if (concerns_one_thing(stored.error())) {
      report.problem(uri + "/" + file.path, stored.error());
      return {};
    }
    return stored;
  });
  if (copied) return true;
  if (!concerns_one_thing(copied.error())) return tl::unexpected<Error>(std::move(copied).error());
  report.problem(uri, fmt::format("artifacts not copied: {}", copied.error().message));
  return false;
}

std::string moved_uri(const Moves& moves, const std::string& uri) {
  for (size_t end = uri.size(); end != std::string::npos && end > 0; end = uri.rfind('/', end - 1))
    if (auto move = moves.find(uri.substr(0, end)); move != moves.end())
      return move->second + uri.substr(end);
  return uri;
}

}  // namespace tidemill::exchange
