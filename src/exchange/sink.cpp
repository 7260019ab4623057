#include "exchange/sink.h"

namespace tidemill::exchange {
namespace {

// What is in a target already, folder by folder as it is asked for.
class Present {
 public:
  explicit Present(const artifacts::ArtifactRepository& target) : target_(target) {}

  // The same size, and not changed since.
  Result<bool> has(const std::string& path, const ArtifactFile& file) {
    size_t slash = path.rfind('/');
    std::string folder = path.substr(0, slash);
    auto known = folders_.find(folder);
    if (known == folders_.end()) known = folders_.emplace(folder, TRY(names_in(folder))).first;
    auto found = known->second.find(path.substr(slash + 1));
    if (found == known->second.end() || found->second.is_folder || found->second.size != file.size)
      return false;
    return !file.written || (found->second.written && *found->second.written >= *file.written);
  }

 private:
  using Names = std::unordered_map<std::string, artifacts::FileInfo>;
  Result<Names> names_in(const std::string& folder) {
    Names names;
    for (auto& info : TRY(target_.list(folder))) names[info.name] = info;
    return names;
  }

  const artifacts::ArtifactRepository& target_;
  std::unordered_map<std::string, Names> folders_;
};

}  // namespace

Result<bool> store_files(const Sink::Files& files, const artifacts::ArtifactRepository& target,
                         const std::string& place, const std::string& uri, Report& report) {
  Present present(target);
  Result<> copied = files([&](const ArtifactFile& file) -> Result<> {
    std::string path = place + "/" + file.path;
    auto known = present.has(path, file);
    if (known && *known) return {};
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
