// Calls of MLflow's REST interface, to an MLflow or a Tidemill server.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/files.h"
#include "base/json.h"
#include "base/result.h"
#include "net/http_client.h"

namespace tidemill::exchange {

struct ServerAddress {
  std::string url;  // http://host:port or https://..., perhaps with user:password@ and a path prefix
  std::string authorization;  // the header's value; "": from the URL, or none
  TlsTrust trust = {};
};

class MlflowApi {
 public:
  using Query = std::vector<std::pair<std::string, std::string>>;

  // Asks the server for an experiment, to see that there is one and that it lets us in.
  static Result<MlflowApi> connect(const ServerAddress& address);

  // Below /api/2.0/mlflow/. A call that the server cannot answer now is repeated a few times. kUnavailable:
  // the server is away; any other code: it refuses this call.
  Result<Json> get(std::string_view call, const Query& query);
  Result<Json> post(std::string_view call, const Json& body) { return send_json("POST", call, body); }
  Result<Json> patch(std::string_view call, const Json& body) { return send_json("PATCH", call, body); }
  Result<Json> remove(std::string_view call, const Json& body) { return send_json("DELETE", call, body); }

  // Below /api/2.0/mlflow-artifacts/artifacts; a path may hold any characters.
  struct Listed {
    std::string name;
    bool is_folder = false;
    uint64_t size = 0;
  };
  Result<std::vector<Listed>> list_artifacts(const std::string& folder);
  Result<> download(const std::string& path, const fs::path& to);
  Result<> upload(const std::string& path, const fs::path& file);
  Result<> remove_artifact(const std::string& path);

  const std::string& name() const { return name_; }  // the URL without a password

 private:
  MlflowApi(HttpClient client, std::string name, std::string prefix, std::string authorization)
      : client_(std::move(client)),
        name_(std::move(name)),
        prefix_(std::move(prefix)),
        authorization_(std::move(authorization)) {}

  Result<ClientResponse> send(ClientRequest request);
  Result<Json> send_json(std::string_view method, std::string_view call, const Json& body);

  HttpClient client_;
  std::string name_, prefix_, authorization_;
};

// All pages of a search. `next(token)` asks for one page, `items` is the list's name in the reply.
template <class Next, class Each>
Result<> each_page(std::string_view items, Next next, Each each) {
  std::string token;
  do {
    Json page = TRY(next(token));
    if (auto list = page.find(items); list != page.end() && list->is_array())
      for (const Json& item : *list) TRY(each(item));
    std::string following = json_string(page, "next_page_token");
    if (following == token) break;  // a server that turns in a circle
    token = std::move(following);
  } while (!token.empty());
  return {};
}

}  // namespace tidemill::exchange
