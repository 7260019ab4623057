#include "api/replies.h"
#include "api/service.h"
#include "base/text.h"
#include "tracking/registry.h"
#include "tracking/validate.h"

namespace tidemill::api {
namespace {

using artifacts::ArtifactRepository;
using artifacts::FileInfo;

// The artifacts of a run or model as a folder of this machine. The experiment's location was chosen by a
// client: it must not open the rest of the disk to others.
Result<ArtifactRepository> repository_of(const Service& service, std::string_view artifact_uri) {
  if (auto path = artifacts::proxied_path(artifact_uri); path && service.destination) {
    fs::path root = service.destination->root();
    return ArtifactRepository(path->empty() ? root : TRY(path_inside(root, *path)));
  }
  std::optional<fs::path> folder = artifacts::local_folder(artifact_uri);
  if (!folder) return fail(Code::kInvalid, "artifacts at '{}' cannot be read by this server", artifact_uri);
  auto readable = [&](const fs::path& root) { return artifacts::lies_in(*folder, root); };
  if (!service.any_local_folder &&
      std::none_of(service.readable_roots.begin(), service.readable_roots.end(), readable))
    return fail(Code::kDenied, "the folder '{}' lies outside the server's artifact root", folder->string());
  return ArtifactRepository(*folder);
}

// The artifact URI behind a location in a run: "runs:/<id>/model".
Result<std::string> files_of(const Service& service, std::string location) {
  constexpr std::string_view kRuns = "runs:/";
  if (!location.starts_with(kRuns)) return location;
  std::string_view rest = std::string_view(location).substr(kRuns.size());
  std::string_view id = rest.substr(0, rest.find('/'));
  tracking::Run run = TRY(service.store.run(id));
  return run.info.artifact_uri + std::string(rest.substr(id.size()));
}

std::string files_reply(JsonWriter json, std::string_view prefix, const std::vector<FileInfo>& files) {
  if (!files.empty()) {
    json.key("files").begin_array();
    for (const FileInfo& file : files) {
      json.begin_object().field("path", prefix.empty() ? file.name : fmt::format("{}/{}", prefix, file.name));
      json.key("is_dir").boolean(file.is_folder);
      if (!file.is_folder) json.key("file_size").integer(static_cast<int64_t>(file.size));
      json.end_object();
    }
    json.end_array();
  }
  json.end_object();
  return json.take();
}

// The name for the browser's "save as", RFC 6266.
std::string attachment(std::string_view name) {
  return fmt::format("attachment; filename*=UTF-8''{}", url_encode(name));
}

Result<HttpResponse> send_file(const HttpRequest& request, const fs::path& file) {
  HttpResponse response = TRY(HttpResponse::file(request, file));
  response.headers.add("Content-Disposition", attachment(file.filename().string()));
  response.headers.add("X-Content-Type-Options", "nosniff");
  return response;
}

Result<HttpResponse> get_proxied(Service& service, const HttpRequest& request, const std::string& path) {
  auto file = service.destination->find(path);
  if (file) return send_file(request, *file);
  if (file.error().code != Code::kNotFound) return tl::unexpected<Error>(file.error());
  return fail(Code::kNotFound,
              "The following failures occurred while downloading one or more artifacts from {}:\n##### File "
              "{} #####\n{}",
              service.destination->root().string(), path, file.error().message);
}

Result<> put_proxied(Service& service, const HttpRequest& request, const std::string& path) {
  if (request.body_file.empty()) return service.destination->put(path, request.body);
  return service.destination->put_file(path, request.body_file, ArtifactRepository::Source::kMove);
}

// What deletes a file deletes folders too, so it takes more than writing one.
auth::Right right_to(std::string_view method) {
  if (method == "GET" || method == "HEAD") return auth::Right::kRead;
  return method == "PUT" ? auth::Right::kEdit : auth::Right::kManage;
}

}  // namespace

static Result<std::string> listing(const Service& service, std::string_view artifact_uri,
                                   std::string folder) {
  while (folder.ends_with('/')) folder.pop_back();
  JsonWriter json;
  json.begin_object().field("root_uri", artifact_uri);
  auto files = TRY(TRY(repository_of(service, artifact_uri)).list(folder));
  return files_reply(std::move(json), folder, files);
}

Result<std::string> list_artifacts(Service& service, const Params& params) {
  tracking::Run run = TRY(service.store.run(TRY(params.run_id())));
  return listing(service, run.info.artifact_uri, TRY(params.text("path")));
}

Result<std::string> list_logged_model_artifacts(Service& service, const Params& params) {
  tracking::LoggedModels models(service.store);
  tracking::LoggedModel model = TRY(models.get(TRY(params.required_text("model_id"))));
  return listing(service, model.artifact_uri, TRY(params.text("artifact_directory_path")));
}

Result<HttpResponse> get_logged_model_file(Service& service, const HttpRequest& request,
                                           const Params& params) {
  std::string path = TRY(params.text("artifact_file_path"));
  if (path.empty())
    return error_reply(400, "BAD_REQUEST",
                       "Request must include the \"artifact_file_path\" query parameter.");
  tracking::LoggedModels models(service.store);
  tracking::LoggedModel model = TRY(models.get(TRY(params.required_text("model_id"))));
  return send_file(request, TRY(TRY(repository_of(service, model.artifact_uri)).find(path)));
}

Result<HttpResponse> get_artifact(Service& service, const HttpRequest& request, const Params& params) {
  tracking::Run run = TRY(service.store.run(TRY(params.run_id())));
  std::string path = TRY(params.required_text("path"));
  return send_file(request, TRY(TRY(repository_of(service, run.info.artifact_uri)).find(path)));
}

Result<HttpResponse> get_model_version_artifact(Service& service, const HttpRequest& request,
                                                const Params& params) {
  std::string name = TRY(params.required_text("name"));
  int64_t number = TRY(tracking::parse_version(TRY(params.required_text("version"))));
  std::string path = TRY(params.required_text("path"));
  auto version = TRY(tracking::Registry(service.store).version(name, number));
  std::string location = TRY(files_of(service, version.storage_location));
  return send_file(request, TRY(TRY(repository_of(service, location)).find(path)));
}

Result<HttpResponse> proxy_artifacts(Service& service, HttpRequest& request, std::string_view path,
                                     const auth::Access* sender) {
  constexpr std::string_view kArtifacts = "artifacts";
  if (path.starts_with("mpu/"))
    return error_reply(501, "NOT_IMPLEMENTED",
                       "Multipart upload is not supported for the current artifact repository");
  if (path != kArtifacts && !path.starts_with("artifacts/")) return no_such_page();
  if (!service.destination)
    return HttpResponse::text(
        503, "This endpoint does not store artifacts: runs write them to their artifact_uri.\n");
  if (path == kArtifacts) {
    if (request.method != "GET") return method_not_allowed();
    if (sender) TRY(check_artifact(*sender, request.param("path"), auth::Right::kRead));
    JsonWriter json;
    json.begin_object();
    return json_reply(
        files_reply(std::move(json), "", TRY(service.destination->list(request.param("path")))));
  }
  std::string file = url_decode(path.substr(kArtifacts.size() + 1));
  if (sender) TRY(check_artifact(*sender, file, right_to(request.method)));
  if (request.method == "GET" || request.method == "HEAD") return get_proxied(service, request, file);
  if (request.method == "PUT") {
    TRY(put_proxied(service, request, file));
  } else if (request.method == "DELETE") {
    TRY(service.destination->remove(file));
  } else {
    return method_not_allowed();
  }
  return json_reply("{}");
}

}  // namespace tidemill::api
