#include "cli/remote.h"

#include "base/log.h"
#include "base/text.h"
#include "cli/caller.h"
#include "exchange/open_source.h"

namespace tidemill::cli {

exchange::ServerAddress server_at(const std::string& url) {
  std::string insecure = to_lower(variable("MLFLOW_TRACKING_INSECURE_TLS"));
  exchange::ServerAddress address{.url = url,
                                  .authorization = {},
                                  .trust = {.certificates = variable("MLFLOW_TRACKING_SERVER_CERT_PATH"),
                                            .anybody = insecure == "true" || insecure == "1"}};
  std::string user = variable("MLFLOW_TRACKING_USERNAME"), token = variable("MLFLOW_TRACKING_TOKEN");
  size_t host = url.find("://");
  if (host == std::string::npos || url.find('@') != std::string::npos) return address;
  if (!user.empty())
    address.url.insert(
        host + 3, fmt::format("{}:{}@", url_encode(user), url_encode(variable("MLFLOW_TRACKING_PASSWORD"))));
  else if (!token.empty())
    address.authorization = "Bearer " + token;
  return address;
}

Result<std::optional<exchange::ServerAddress>> tracking_server(const Context& context, tracking::Store& store,
                                                               const std::string& uri) {
  if (uri.empty()) return std::nullopt;
  if (uri == variable(kEndpointVariable)) return std::nullopt;
  if (std::string run = variable("MLFLOW_RUN_ID"); !run.empty() && store.run(run)) return std::nullopt;
  if (exchange::is_server(uri)) return server_at(uri);
  log_warning("MLFLOW_TRACKING_URI {} is not the URL of a server: this run is recorded in {} alone",
              db::without_secrets(uri), TRY(context.location()).name());
  return std::nullopt;
}

}  // namespace tidemill::cli
