#include "exchange/mlflow_api.h"

#include <chrono>
#include <thread>

#include "base/text.h"
#include "db/location.h"

namespace tidemill::exchange {
namespace {

using std::chrono::milliseconds;

constexpr int kAttempts = 5;
constexpr milliseconds kFirstPause{200};

bool may_pass(int status) { return status == 408 || status == 429 || status >= 500; }

std::string without_words(int status) {
  std::string text = fmt::format("the server answered {} {}", status, reason_phrase(status));
  if (status == 401)
    text +=
        ": it wants to know who asks; set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or "
        "MLFLOW_TRACKING_TOKEN";
  return text;
}

Error refusal(const ClientResponse& response) {
  auto body = parse_json(response.body);
  std::string message = body && body->is_object() ? json_string(*body, "message") : "";
  if (message.empty()) message = without_words(response.status);
  std::string code = body && body->is_object() ? json_string(*body, "error_code") : "";
  if (response.status == 500) return {Code::kInvalid, std::move(message)};  // it fails at this call
  if (may_pass(response.status)) return {Code::kUnavailable, std::move(message)};
  if (response.status == 404) return {Code::kNotFound, std::move(message)};
  if (response.status == 401 || response.status == 403) return {Code::kDenied, std::move(message)};
  return {code == "RESOURCE_ALREADY_EXISTS" ? Code::kConflict : Code::kInvalid, std::move(message)};
}

std::string with_query(std::string_view call, const MlflowApi::Query& query) {
  std::string target(call);
  char separator = '?';
  for (const auto& [key, value] : query) {
    target += fmt::format("{}{}={}", separator, key, url_encode(value));
    separator = '&';
  }
  return target;
}

}  // namespace

Result<MlflowApi> MlflowApi::connect(const ServerAddress& address) {
  Url url;
  std::string name = db::without_secrets(address.url);
  if (!parse_url(address.url, url)) return fail(Code::kInvalid, "{}: not the URL of a server", name);
  std::string prefix = url.target.substr(0, url.target.find('?'));
  while (prefix.ends_with('/')) prefix.pop_back();
  std::string base = address.url.substr(0, address.url.find('/', address.url.find("://") + 3));
  const std::string base_name = db::without_secrets(base);
  HttpClient client = TRY_IN(name, HttpClient::create(base, address.trust));
  MlflowApi api(std::move(client), name, prefix, address.authorization);
  if (auto heard = api.post("experiments/search", Json{{"max_results", 1}}); !heard) {
    Error error = std::move(heard).error();  // a lost connection names the server, a refusal does not
    const bool is_named = error.message.find(base_name) != std::string::npos;
    return tl::unexpected<Error>(is_named ? std::move(error) : std::move(error).in(name));
  }
  return api;
}

Result<ClientResponse> MlflowApi::send(ClientRequest request) {
  request.target = prefix_ + request.target;
  if (!authorization_.empty()) request.headers.add("Authorization", authorization_);
  milliseconds pause = kFirstPause;
  for (int attempt = 1;; ++attempt, pause *= 2) {
    auto response = client_.send(request);
    if (response && response->status >= 200 && response->status < 300) return response;
    bool transient =
        response ? may_pass(response->status)
                 : response.error().code == Code::kUnavailable || response.error().code == Code::kTimeout;
    if (transient && attempt < kAttempts) {
      std::this_thread::sleep_for(pause);
      continue;
    }
    if (response) return tl::unexpected<Error>(refusal(*response));
    Error error = std::move(response).error();
    if (error.code == Code::kTimeout) error.code = Code::kUnavailable;
    return tl::unexpected<Error>(std::move(error));
  }
}

Result<Json> MlflowApi::get(std::string_view call, const Query& query) {
  Json reply =
      TRY(parse_json(TRY(send({.target = with_query(fmt::format("/api/2.0/mlflow/{}", call), query)})).body));
  if (!reply.is_object()) return fail(Code::kInvalid, "{}: the reply to {} is no object", name_, call);
  return reply;
}

Result<Json> MlflowApi::send_json(std::string_view method, std::string_view call, const Json& body) {
  ClientRequest request{.method = std::string(method),
                        .target = fmt::format("/api/2.0/mlflow/{}", call),
                        .body = dump_json(body)};
  request.headers.add("Content-Type", "application/json");
  Json reply = TRY(parse_json(TRY(send(std::move(request))).body));
  if (!reply.is_object()) return fail(Code::kInvalid, "{}: the reply to {} is no object", name_, call);
  return reply;
}

constexpr std::string_view kArtifacts = "/api/2.0/mlflow-artifacts/artifacts";

Result<std::vector<MlflowApi::Listed>> MlflowApi::list_artifacts(const std::string& folder) {
  Json reply = TRY(parse_json(TRY(send({.target = with_query(kArtifacts, {{"path", folder}})})).body));
  std::vector<Listed> listed;
  if (auto files = reply.find("files"); reply.is_object() && files != reply.end() && files->is_array())
    for (const Json& file : *files) {
      bool is_folder = file.is_object() && file.value("is_dir", false);
      listed.push_back({json_string(file, "path"), is_folder,
                        static_cast<uint64_t>(std::max<int64_t>(0, json_int(file, "file_size")))});
    }
  return listed;
}

Result<> MlflowApi::download(const std::string& path, const fs::path& to) {
  TRY(send({.target = fmt::format("{}/{}", kArtifacts, url_encode(path, "/")), .save_to = to}));
  return {};
}

Result<> MlflowApi::upload(const std::string& path, const fs::path& file) {
  ClientRequest request{
      .method = "PUT", .target = fmt::format("{}/{}", kArtifacts, url_encode(path, "/")), .body_file = file};
  request.headers.add("Content-Type", "application/octet-stream");
  TRY(send(std::move(request)));
  return {};
}

Result<> MlflowApi::remove_artifact(const std::string& path) {
  TRY(send({.method = "DELETE", .target = fmt::format("{}/{}", kArtifacts, url_encode(path, "/"))}));
  return {};
}

}  // namespace tidemill::exchange
