#include "server.h"

#include <algorithm>
#include <cstdlib>
#include <thread>

#include "base/id.h"
#include "base/text.h"

namespace tidemill::sdk {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kFirstPause{100}, kLongestPause{10'000};
// How long to try to reach the server at first: it may never have been there.
constexpr std::chrono::seconds kPatienceAtStart{5};
// One attempt of many: memory holds what is logged meanwhile.
constexpr std::chrono::seconds kOneAttempt{60};

Error refusal(const ClientResponse& response) {
  auto body = parse_json(response.body);
  std::string message = body ? json_string(*body, "message") : "";
  int status = response.status;
  if (message.empty()) message = fmt::format("the server answered {} {}", status, reason_phrase(status));
  if (status == 429 || status == 408 || status >= 500) return {Code::kUnavailable, std::move(message)};
  // A redirection is the login page of whatever stands before the server.
  if (status == 401 || status == 403 || status < 400) return {Code::kDenied, std::move(message)};
  if (status == 404) return {Code::kNotFound, std::move(message)};
  bool exists = body && json_string(*body, "error_code") == "RESOURCE_ALREADY_EXISTS";
  return {exists ? Code::kConflict : Code::kInvalid, std::move(message)};
}

// Something else than the tracking server may answer 200, such as the page of a proxy.
tidemill::Result<Json> answer(tidemill::Result<ClientResponse> response) {
  auto body = parse_json(TRY(std::move(response)).body);
  if (!body || !body->is_object())
    return fail(Code::kUnavailable, "what answers there does not speak as an MLflow server does");
  return body;
}

}  // namespace

std::string env(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

std::string first_of(const std::string& a, const std::string& b) { return a.empty() ? b : a; }

tidemill::Result<Server> Server::connect(const std::string& given) {
  std::string uri = first_of(first_of(given, env("MLFLOW_TRACKING_URI")), "http://127.0.0.1:5000");
  std::string address = uri;
  std::string user = env("MLFLOW_TRACKING_USERNAME"), token = env("MLFLOW_TRACKING_TOKEN");
  size_t host = address.find("://");
  if (!user.empty() && host != std::string::npos && address.find('@') == std::string::npos)
    address.insert(host + 3,
                   fmt::format("{}:{}@", url_encode(user), url_encode(env("MLFLOW_TRACKING_PASSWORD"))));
  std::string insecure = to_lower(env("MLFLOW_TRACKING_INSECURE_TLS"));
  auto client = HttpClient::create(address, {.certificates = env("MLFLOW_TRACKING_SERVER_CERT_PATH"),
                                             .anybody = insecure == "true" || insecure == "1"});
  if (!client && address.starts_with("https://"))
    return tl::unexpected<Error>(std::move(client).error().in(uri));
  if (!client)
    return fail(Code::kInvalid,
                "tracking URI '{}' is not an http:// or https:// URL; set MLFLOW_TRACKING_URI", uri);
  Server server(uri, std::move(*client));
  server.patience_ = kPatienceAtStart;
  if (user.empty() && !token.empty()) server.authorization_ = "Bearer " + token;
  return server;
}

tidemill::Result<ClientResponse> Server::send(ClientRequest request, Attempts attempts) {
  if (!authorization_.empty()) request.headers.add("Authorization", authorization_);
  auto give_up = std::chrono::steady_clock::now() + patience_;
  for (milliseconds pause = kFirstPause;; pause = std::min(pause * 2, kLongestPause)) {
    auto response = client_.send(request);
    if (response && response->status >= 200 && response->status < 300) return response;
    Error error = response ? refusal(*response) : std::move(response).error();
    bool transient = error.code == Code::kUnavailable || error.code == Code::kTimeout;
    if (!transient || attempts == Attempts::kOne || std::chrono::steady_clock::now() + pause > give_up)
      return tl::unexpected<Error>(std::move(error));
    // A little random, so that many steps do not come back at the same moment.
    std::this_thread::sleep_for(pause + milliseconds(random_u64() % static_cast<uint64_t>(pause.count())));
  }
}

tidemill::Result<Json> Server::send_json(std::string method, std::string_view call, const Json& body,
                                         Attempts attempts) {
  ClientRequest request{.method = std::move(method),
                        .target = fmt::format("/api/2.0/mlflow/{}", call),
                        .body = dump_json(body)};
  request.headers.add("Content-Type", "application/json");
  if (attempts == Attempts::kOne) request.timeout = kOneAttempt;
  return answer(send(std::move(request), attempts));
}

tidemill::Result<Json> Server::get(std::string_view call, const Query& query) {
  std::string target = fmt::format("/api/2.0/mlflow/{}", call);
  char separator = '?';
  for (const auto& [key, value] : query) {
    target += fmt::format("{}{}={}", separator, key, url_encode(value));
    separator = '&';
  }
  return answer(send({.target = std::move(target)}));
}

tidemill::Result<> Server::each_page(std::string_view call, Query query, std::string_view items,
                                     const Each& each) {
  query.emplace_back("page_token", "");
  for (std::string token;;) {
    Query asked = query;
    if (token.empty()) asked.pop_back();
    Json page = TRY(get(call, asked));
    if (auto list = page.find(items); list != page.end() && list->is_array())
      for (const Json& item : *list) TRY(each(item));
    std::string next = json_string(page, "next_page_token");
    if (next.empty() || next == token) return {};  // the same once more: a server that turns in a circle
    token = query.back().second = std::move(next);
  }
}

tidemill::Result<> Server::put_file(const std::string& target, const fs::path& file) {
  ClientRequest request{.method = "PUT", .target = target, .body_file = file};
  request.headers.add("Content-Type", "application/octet-stream");
  TRY(send(std::move(request)));
  return {};
}

tidemill::Result<> Server::get_file(const std::string& target, const fs::path& to) {
  TRY(send({.target = target, .save_to = to}));
  return {};
}

}  // namespace tidemill::sdk
