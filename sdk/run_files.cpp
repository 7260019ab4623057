#include "run_files.h"

#include <algorithm>

#include "base/id.h"
#include "base/text.h"
#include "replies.h"

namespace tidemill::sdk {
namespace {

constexpr int kMostLevels = 64;  // of folders: a server may turn in a circle

fs::path beside(fs::path target) {
  target += fmt::format(".{:016x}.tmp", random_u64());
  return target;
}

// What a fetch leaves is a whole file or none.
template <class Fetch>
tidemill::Result<> replace(const fs::path& target, Fetch fetch) {
  TRY(make_dirs(target.parent_path()));
  fs::path temporary = beside(target);
  tidemill::Result<> fetched = fetch(temporary);
  std::error_code error, ignored;
  if (fetched) fs::rename(temporary, target, error);
  if (fetched && !error) return {};
  fs::remove(temporary, ignored);
  if (!fetched) return fetched;
  return tl::unexpected<tidemill::Error>(
      errno_error(fmt::format("write {}", target.string()), error.value()));
}

tidemill::Result<> copy_over(const fs::path& file, const fs::path& target) {
  std::error_code error;
  if (fs::equivalent(file, target, error)) return {};
  return replace(target, [&](const fs::path& temporary) -> tidemill::Result<> {
    std::error_code problem;
    fs::copy_file(file, temporary, problem);
    if (!problem) return {};
    return tl::unexpected<tidemill::Error>(
        errno_error(fmt::format("copy {} to {}", file.string(), target.string()), problem.value()));
  });
}

std::string last_name(const std::string& path) { return path.substr(path.rfind('/') + 1); }

}  // namespace

// file:// URIs and plain paths.
std::optional<fs::path> RunFiles::local_folder() const {
  std::string_view uri = artifact_uri_;
  for (std::string_view prefix : {"file://localhost/", "file:///", "file:/"})
    if (uri.starts_with(prefix)) return "/" + url_decode(uri.substr(prefix.size()));
  size_t colon = uri.find(':');
  if (uri.empty() || (colon != std::string_view::npos && uri.find('/') > colon)) return std::nullopt;
  return fs::path(uri);
}

std::optional<std::string> RunFiles::proxy_target(std::string_view path) const {
  constexpr std::string_view kProxy = "mlflow-artifacts:";
  if (!artifact_uri_.starts_with(kProxy)) return std::nullopt;
  std::string_view root = std::string_view(artifact_uri_).substr(kProxy.size());
  if (root.starts_with("//")) root.remove_prefix(std::min(root.find('/', 2), root.size()));
  while (root.starts_with('/')) root.remove_prefix(1);
  return fmt::format("/api/2.0/mlflow-artifacts/artifacts/{}/{}", root, url_encode(path, "/"));
}

tidemill::Result<> RunFiles::put(const fs::path& file, const std::string& path) {
  if (auto folder = local_folder()) {
    fs::path target = TRY(path_inside(*folder, path));
    return copy_over(file, target);
  }
  auto target = proxy_target(path);
  if (target) return server_.put_file(*target, file);
  return fail(Code::kInvalid,
              "artifacts at '{}' cannot be written from here: neither a folder nor served by the "
              "tracking server",
              artifact_uri_);
}

tidemill::Result<std::vector<ArtifactInfo>> RunFiles::list(std::string_view folder) {
  Query query{{"run_id", run_id_}};
  if (!folder.empty()) query.emplace_back("path", folder);
  std::vector<ArtifactInfo> found;
  TRY(server_.each_page("artifacts/list", std::move(query), "files",
                        [&](const Json& file) -> tidemill::Result<> {
                          found.push_back(TRY(artifact_from(file)));
                          return {};
                        }));
  std::sort(found.begin(), found.end(),
            [](const ArtifactInfo& a, const ArtifactInfo& b) { return a.path < b.path; });
  return found;
}

tidemill::Result<bool> RunFiles::is_file(const std::string& path) {
  size_t slash = path.rfind('/');
  for (const ArtifactInfo& info : TRY(list(slash == std::string::npos ? "" : path.substr(0, slash))))
    if (info.path == path) return !info.is_folder;
  return fail(Code::kNotFound, "run {} has no artifact '{}'", run_id_, path);
}

// `place` is its path within the destination.
tidemill::Result<> RunFiles::fetch(const std::string& path, const fs::path& destination,
                                   const std::string& place) {
  fs::path target = TRY(path_inside(destination, place));
  if (auto folder = local_folder())
    if (std::error_code error; fs::exists(*folder, error))
      return copy_over(TRY(path_inside(*folder, path)), target);
  // Files that the server does not pass on may still be within its reach.
  std::string call = proxy_target(path).value_or(
      fmt::format("/get-artifact?run_id={}&run_uuid={}&path={}", run_id_, run_id_, url_encode(path)));
  return replace(target, [&](const fs::path& temporary) { return server_.get_file(call, temporary); });
}

tidemill::Result<> RunFiles::fetch_folder(const std::string& path, const fs::path& destination,
                                          const std::string& place, int level) {
  if (level > kMostLevels) return fail(Code::kInvalid, "more than {} levels of folders", kMostLevels);
  TRY(make_dirs(place.empty() ? destination : TRY(path_inside(destination, place))));
  for (const ArtifactInfo& info : TRY(list(path))) {
    std::string name = last_name(info.path);
    std::string inside = place.empty() ? name : place + "/" + name;
    if (info.is_folder)
      TRY(fetch_folder(info.path, destination, inside, level + 1));
    else
      TRY(fetch(info.path, destination, inside));
  }
  return {};
}

tidemill::Result<fs::path> RunFiles::download(std::string path, const fs::path& destination) {
  while (path.ends_with('/')) path.pop_back();
  TRY(make_dirs(destination));
  if (path.empty()) {
    TRY(fetch_folder("", destination, "", 0));
    return destination;
  }
  std::string name = last_name(path);
  if (TRY(is_file(path)))
    TRY(fetch(path, destination, name));
  else
    TRY(fetch_folder(path, destination, name, 0));
  return destination / name;
}

}  // namespace tidemill::sdk
