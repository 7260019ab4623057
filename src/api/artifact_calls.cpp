#include "api/replies.h"
#include "api/service.h"
#include "base/text.h"
#include "tracking/registry.h"
#include "tracking/validate.h"

namespace tidemill::api {
namespace {

using artifacts::ArtifactRepository;
using artifacts::FileInfo;

// The artifacts of a run or model. The experiment's location was chosen by a client: it must not open the
// rest of the disk, or what else this server may read, to others.
Result<std::unique_ptr<ArtifactRepository>> repository_of(const Service& service,
                                                          std::string_view artifact_uri) {
  if (auto path = artifacts::proxied_path(artifact_uri); path && service.destination)
    return service.destination->below(*path);
  std::string place(artifact_uri);
  if (auto folder = artifacts::local_folder(artifact_uri)) place = folder->string();
  if (!service.any_place && !lies_in_readable_root(service, place))
    return fail(Code::kDenied, "'{}' lies outside the server's artifact root", place);
  return artifacts::open_repository(place);
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

Result<HttpResponse> send_file(const HttpRequest& request, const ArtifactRepository& repository,
                               const std::string& path) {
  HttpResponse response = TRY(repository.answer(request, path));
  response.headers.add("Content-Disposition", attachment(fs::path(path).filename().string()));
  return response;
}

Result<HttpResponse> get_proxied(Service& service, const HttpRequest& request, const std::string& path) {
  auto response = send_file(request, *service.destination, path);
  if (response || response.error().code != Code::kNotFound) return response;
  return fail(Code::kNotFound,
              "The following failures occurred while downloading one or more artifacts from "
              "mlflow-artifacts:/:\n##### File {} #####\n{}",
              path, response.error().message);
}

Result<> put_proxied(Service& service, const HttpRequest& request, const std::string& path) {
  if (request.body_file.empty()) return service.destination->put(path, request.body);
  return service.destination->put_file(path, request.body_file, ArtifactRepository::Source::kMove);
}

std::string presigned_reply(const artifacts::PresignedDownload& download) {
  JsonWriter json;
  json.begin_object().field("url", download.url).key("headers").begin_object().end_object();
  json.key("file_size").integer(static_cast<int64_t>(download.size)).end_object();
  return json.take();
}

Result<std::string> begin_upload(const ArtifactRepository& repository, const std::string& file,
                                 const Params& params) {
  int64_t parts = TRY(params.required_integer("num_parts"));
  auto upload =
      TRY(repository.begin_upload(file, static_cast<int>(std::clamp<int64_t>(parts, 0, INT32_MAX))));
  JsonWriter json;
  json.begin_object().field("upload_id", upload.id).key("credentials").begin_array();
  for (const artifacts::PresignedPart& part : upload.parts) {
    json.begin_object().field("url", part.url).key("part_number").integer(part.number);
    json.key("headers").begin_object().end_object().end_object();
  }
  json.end_array().end_object();
  return json.take();
}

Result<std::string> complete_upload(const ArtifactRepository& repository, const std::string& file,
                                    const Params& params) {
  std::string id = TRY(params.required_text("upload_id"));
  std::vector<artifacts::UploadedPart> parts;
  for (const Params& part : TRY(params.objects("parts")))
    parts.push_back(
        {static_cast<int>(TRY(part.required_integer("part_number"))), TRY(part.required_text("etag"))});
  TRY(repository.complete_upload(file, id, parts));
  return "{}";
}

Result<std::string> abort_upload(const ArtifactRepository& repository, const std::string& file,
                                 const Params& params) {
  TRY(repository.abort_upload(file, TRY(params.required_text("upload_id"))));
  return "{}";
}

using UploadCall = Result<std::string> (*)(const ArtifactRepository&, const std::string&, const Params&);
constexpr std::pair<std::string_view, UploadCall> kUploadCalls[] = {
    {"mpu/create", begin_upload}, {"mpu/complete", complete_upload}, {"mpu/abort", abort_upload}};

// What deletes a file deletes folders too, so it takes more than writing one.
auth::Right right_to(std::string_view method) {
  if (method == "GET" || method == "HEAD") return auth::Right::kRead;
  return method == "PUT" ? auth::Right::kEdit : auth::Right::kManage;
}

}  // namespace

std::string Service::told(std::string uri) const {
  const std::string& folder = told_as_proxied;
  if (folder.empty() || !uri.starts_with(folder) || uri.size() <= folder.size() || uri[folder.size()] != '/')
    return uri;
  return "mlflow-artifacts:" + uri.substr(folder.size());
}

static Result<std::string> listing(const Service& service, std::string_view artifact_uri,
                                   std::string folder) {
  while (folder.ends_with('/')) folder.pop_back();
  JsonWriter json;
  json.begin_object().field("root_uri", service.told(std::string(artifact_uri)));
  auto files = TRY(TRY(repository_of(service, artifact_uri))->list(folder));
  return files_reply(std::move(json), folder, files);
}

Result<std::string> list_artifacts(Service& service, const Params& params) {
  tracking::Run run = TRY(service.store.run(TRY(params.run_id())));
  return listing(service, run.info.artifact_uri, TRY(params.text("path")));
}

// How long a URL is to be valid. Storages take no more than a week.
static Result<std::chrono::seconds> expiration(const Params& params, int64_t otherwise) {
  constexpr int64_t kMost = 7 * 24 * 3600;
  int64_t seconds = TRY(params.integer("expiration")).value_or(otherwise);
  if (seconds >= 1 && seconds <= kMost) return std::chrono::seconds(seconds);
  return fail(Code::kInvalid, "expiration must be between 1 and {} seconds (got {}).", kMost, seconds);
}

static Result<std::unique_ptr<ArtifactRepository>> presigning(const Service& service, std::string_view what,
                                                              std::string_view artifact_uri) {
  auto repository = TRY(repository_of(service, artifact_uri));
  if (repository->presigns()) return repository;
  return fail(Code::kInvalid, "Presigned {} is not supported for the current artifact repository", what);
}

static std::string presigned_url_reply(std::string_view url, std::optional<uint64_t> size) {
  JsonWriter json;
  json.begin_object().field("presigned_url", url).key("headers").begin_object().end_object();
  if (size) json.key("file_size").integer(static_cast<int64_t>(*size));
  json.end_object();
  return json.take();
}

Result<std::string> presign_artifact_upload(Service& service, const Params& params) {
  std::string run = TRY(params.text("run_id")), model = TRY(params.text("model_id"));
  if (run.empty() == model.empty())
    return fail(Code::kInvalid, "Exactly one of run_id and model_id must be provided.");
  std::string path = TRY(params.required_text("path"));
  std::chrono::seconds valid = TRY(expiration(params, 900));
  std::string uri = model.empty() ? TRY(service.store.run(run)).info.artifact_uri
                                  : TRY(tracking::LoggedModels(service.store).get(model)).artifact_uri;
  auto repository = TRY(presigning(service, "upload", uri));
  return presigned_url_reply(TRY(repository->presigned_upload(path, valid)), std::nullopt);
}

Result<std::string> presign_artifact_download(Service& service, const Params& params) {
  std::string uri = TRY(service.store.run(TRY(params.run_id()))).info.artifact_uri;
  std::string path = TRY(params.required_text("path"));
  std::chrono::seconds valid = TRY(expiration(params, 300));
  auto download = TRY(TRY(presigning(service, "download", uri))->presigned_download(path, valid));
  return presigned_url_reply(download.url, download.size);
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
  return send_file(request, *TRY(repository_of(service, model.artifact_uri)), path);
}

Result<HttpResponse> get_artifact(Service& service, const HttpRequest& request, const Params& params) {
  tracking::Run run = TRY(service.store.run(TRY(params.run_id())));
  std::string path = TRY(params.required_text("path"));
  return send_file(request, *TRY(repository_of(service, run.info.artifact_uri)), path);
}

Result<HttpResponse> get_model_version_artifact(Service& service, const HttpRequest& request,
                                                const Params& params) {
  std::string name = TRY(params.required_text("name"));
  int64_t number = TRY(tracking::parse_version(TRY(params.required_text("version"))));
  std::string path = TRY(params.required_text("path"));
  auto version = TRY(tracking::Registry(service.store).version(name, number));
  std::string location = TRY(files_of(service, version.storage_location));
  return send_file(request, *TRY(repository_of(service, location)), path);
}

static HttpResponse no_proxy() {
  return HttpResponse::text(
      503, "This endpoint does not store artifacts: runs write them to their artifact_uri.\n");
}

static HttpResponse presigned_nowhere(std::string_view what) {
  return error_reply(501, "NOT_IMPLEMENTED",
                     fmt::format("{} is not supported for the current artifact repository", what));
}

// "mpu/create/<folder>" and its like: clients send the parts of a large file to the storage themselves.
static Result<HttpResponse> answer_presigned(Service& service, const HttpRequest& request,
                                             std::string_view path, const auth::Access* sender) {
  bool download = path.starts_with("presigned/");
  if (request.method != (download ? "GET" : "POST")) return method_not_allowed();
  if (!service.destination) return no_proxy();
  if (!service.destination->presigns())
    return presigned_nowhere(download ? "Multipart download" : "Multipart upload");
  if (download) {
    std::string file = url_decode(path.substr(path.find('/') + 1));
    if (sender) TRY(check_artifact(*sender, file, auth::Right::kRead));
    return json_reply(presigned_reply(
        TRY(service.destination->presigned_download(file, ArtifactRepository::kPresignedFor))));
  }
  for (const auto& [name, call] : kUploadCalls) {
    if (!path.starts_with(name)) continue;
    std::string folder = url_decode(path.substr(name.size()));
    Params params = TRY(Params::of(request));
    std::string local = TRY(params.required_text("path"));
    std::string file = local.substr(local.find_last_of("/\\") + 1);
    while (folder.starts_with('/')) folder.erase(0, 1);
    if (!folder.empty()) file = fmt::format("{}/{}", folder, file);
    if (sender) TRY(check_artifact(*sender, file, auth::Right::kEdit));
    return json_reply(TRY(call(*service.destination, file, params)));
  }
  return no_such_page();
}

Result<HttpResponse> proxy_artifacts(Service& service, HttpRequest& request, std::string_view path,
                                     const auth::Access* sender) {
  constexpr std::string_view kArtifacts = "artifacts";
  if (path.starts_with("mpu/") || path.starts_with("presigned/"))
    return answer_presigned(service, request, path, sender);
  if (path != kArtifacts && !path.starts_with("artifacts/")) return no_such_page();
  if (!service.destination) return no_proxy();
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
