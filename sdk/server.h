// The calls of MLflow's REST interface that a run needs. Thread-safe.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "base/json.h"
#include "net/http_client.h"

namespace tidemill::sdk {

// kMany: again while the server is away or busy.
enum class Attempts { kOne, kMany };

class Server {
 public:
  // The user, the password, the token and the certificates come from MLFLOW_TRACKING_*.
  static tidemill::Result<Server> connect(const std::string& uri);

  // kDenied: this program may not; kUnavailable, kTimeout: the server is away or busy; kConflict: it exists
  // already; kNotFound; kInvalid: refused for what is in it.
  tidemill::Result<Json> post(std::string_view call, const Json& body, Attempts attempts = Attempts::kMany);
  tidemill::Result<Json> get(std::string_view call, std::string_view key, std::string_view value);
  tidemill::Result<> put_file(const std::string& target, const fs::path& file);
  // From now on calls wait longer for a server that is away: it was there.
  void be_patient();

 private:
  explicit Server(HttpClient client) : client_(std::move(client)) {}
  tidemill::Result<ClientResponse> send(ClientRequest request, Attempts attempts = Attempts::kMany);

  HttpClient client_;
  std::string authorization_;
  std::chrono::seconds patience_;
};

// "" when it is not set.
std::string env(const char* name);
std::string first_of(const std::string& a, const std::string& b);

}  // namespace tidemill::sdk
