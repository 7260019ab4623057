// What s3://, runs:/, models:/ and mlflow-artifacts:/ URIs name.
#include "api/model_source.h"
#include "artifacts/folder_repository.h"
#include "base/text.h"
#include "cli/commands.h"

namespace tidemill::cli {
namespace {

// "https://host/a/b.csv" -> "https://host/a" and "b.csv"; a place without a slash behind its scheme has no
// name.
std::pair<std::string, std::string> without_name(std::string uri) {
  while (uri.ends_with('/')) uri.pop_back();
  const size_t host = uri.find(":/");
  const size_t slash = uri.rfind('/');
  if (host == std::string::npos || slash <= host + 2) return {uri, ""};
  return {uri.substr(0, slash), uri.substr(slash + 1)};
}

struct RunPlace {
  std::string run_id, path;
};
Result<RunPlace> parse_run_uri(std::string_view uri) {
  std::string_view rest = uri.substr(std::string_view("runs:/").size());
  while (rest.starts_with('/')) rest.remove_prefix(1);
  const std::string id(rest.substr(0, rest.find('/')));
  if (id.empty()) return fail(Code::kInvalid, "'{}': write runs:/RUN/PATH", uri);
  std::string path(rest.substr(std::min(rest.size(), id.size() + 1)));
  while (path.ends_with('/')) path.pop_back();
  return RunPlace{id, path};
}

}  // namespace

Result<engine::ArtifactPlace> Context::find_artifacts(const std::string& uri) const {
  // A file that lies on this machine is used where it is.
  auto in_run = [&](const tracking::RunInfo& run, const std::string& path) -> Result<engine::ArtifactPlace> {
    auto repository = TRY(artifacts_of(run));
    if (const auto* folder = dynamic_cast<const artifacts::FolderRepository*>(repository.get())) {
      fs::path place = path.empty() ? folder->root() : TRY(path_inside(folder->root(), path));
      std::error_code ignored;
      if (!fs::exists(place, ignored)) return fail(Code::kNotFound, "there is no {}", uri);
      return engine::ArtifactPlace{.repository = nullptr, .path = {}, .local = std::move(place)};
    }
    return engine::ArtifactPlace{.repository = std::move(repository), .path = path, .local = {}};
  };
  tracking::RunInfo run;
  if (artifacts::is_s3(uri)) {
    const auto [folder, name] = without_name(uri);
    return engine::ArtifactPlace{
        .repository = TRY(artifacts::open_repository(folder)), .path = name, .local = {}};
  }
  if (uri.starts_with("mlflow-artifacts:/")) {
    run.artifact_uri = uri;
    return in_run(run, "");
  }
  if (uri.starts_with("runs:/")) {
    const RunPlace place = TRY(parse_run_uri(uri));
    auto opened = TRY(open_store());
    return in_run(TRY(opened.run(place.run_id)).info, place.path);
  }
  if (!uri.starts_with("models:/"))
    return fail(Code::kInvalid,
                "'{}' cannot be fetched: http, https, s3, runs:/, models:/ and mlflow-artifacts:/ can", uri);
  auto opened = TRY(open_store());
  const std::string model_id = api::model_in(uri).model_id;
  const api::SourceRequest request{
      .source = uri, .run_id = {}, .model_id = model_id.empty() ? std::nullopt : std::optional(model_id)};
  run.artifact_uri = TRY(api::check_model_source(opened, request)).storage_location;
  return in_run(run, "");
}

}  // namespace tidemill::cli
