#include "cli/remote.h"

#include <cstdlib>

#include "base/text.h"

namespace tidemill::cli {

static std::string env(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

exchange::ServerAddress server_at(const std::string& url) {
  std::string insecure = to_lower(env("MLFLOW_TRACKING_INSECURE_TLS"));
  exchange::ServerAddress address{.url = url,
                                  .authorization = {},
                                  .trust = {.certificates = env("MLFLOW_TRACKING_SERVER_CERT_PATH"),
                                            .anybody = insecure == "true" || insecure == "1"}};
  std::string user = env("MLFLOW_TRACKING_USERNAME"), token = env("MLFLOW_TRACKING_TOKEN");
  size_t host = url.find("://");
  if (host == std::string::npos || url.find('@') != std::string::npos) return address;
  if (!user.empty())
    address.url.insert(host + 3,
                       fmt::format("{}:{}@", url_encode(user), url_encode(env("MLFLOW_TRACKING_PASSWORD"))));
  else if (!token.empty())
    address.authorization = "Bearer " + token;
  return address;
}

}  // namespace tidemill::cli
