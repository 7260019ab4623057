// The calls of MLflow's REST interface that a run needs. Thread-safe.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <string_view>

#include "base/json.h"
#include "net/http.h"
#include "net/http_client.h"

namespace tidemill::sdk {

// kMany: again while the server is away or busy.
enum class Attempts { kOne, kMany };

class Server {
 public:
  // The user, the password, the token and the certificates come from MLFLOW_TRACKING_*.
  // uri: "" stands for MLFLOW_TRACKING_URI, or this machine's port 5000.
  static tidemill::Result<Server> connect(const std::string& uri);
  const std::string& uri() const { return uri_; }

  // kDenied: this program may not; kUnavailable, kTimeout: the server is away or busy; kConflict: it exists
  // already; kNotFound; kInvalid: refused for what is in it.
  tidemill::Result<Json> post(std::string_view call, const Json& body, Attempts attempts = Attempts::kMany) {
    return send_json("POST", call, body, attempts);
  }
  tidemill::Result<Json> send_json(std::string method, std::string_view call, const Json& body,
                                   Attempts attempts = Attempts::kMany);
  tidemill::Result<Json> get(std::string_view call, const Query& query);
  // Each item of a list that comes in pages: `items` is its name in the replies.
  using Each = std::function<tidemill::Result<>(const Json&)>;
  tidemill::Result<> each_page(std::string_view call, Query query, std::string_view items, const Each& each);
  // The target may be any path of the server.
  tidemill::Result<> put_file(const std::string& target, const fs::path& file);
  tidemill::Result<> get_file(const std::string& target, const fs::path& to);
  // From now on calls wait so long for a server that is away.
  void be_patient(std::chrono::seconds patience) { patience_ = patience; }

 private:
  Server(std::string uri, HttpClient client) : uri_(std::move(uri)), client_(std::move(client)) {}
  tidemill::Result<ClientResponse> send(ClientRequest request, Attempts attempts = Attempts::kMany);

  std::string uri_;
  HttpClient client_;
  std::string authorization_;
  std::chrono::seconds patience_;
};

// "" when it is not set.
std::string env(const char* name);
std::string first_of(const std::string& a, const std::string& b);

}  // namespace tidemill::sdk
