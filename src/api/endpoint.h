// The tracking endpoint: MLflow's REST interface over a store, on a port of this machine. `tidemill server`
// is one, and `tidemill run` starts one on loopback for the steps it runs.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "auth/permission.h"
#include "base/files.h"
#include "base/result.h"

namespace tidemill::tracking {
class Store;
}

namespace tidemill::api {

enum class Serves { kAll, kArtifactsOnly };
enum class Metrics { kHidden, kShown };

struct EndpointOptions {
  std::string host = "127.0.0.1";
  uint16_t port = 0;  // 0: any free one
  // Host names, beside localhost and IP addresses, under which browsers and clients may reach it; "*" as
  // wildcard.
  std::vector<std::string> allowed_hosts = {};
  // Origins whose pages may use it, "https://app.example.org", "*" as wildcard; the page's own always may.
  std::vector<std::string> cors_origins = {};
  std::string x_frame_options = "SAMEORIGIN";  // "": no such header
  std::string path_prefix = {};                // "/mlflow": in front of all paths
  Serves serves = Serves::kAll;
  Metrics metrics = Metrics::kHidden;           // /metrics for Prometheus
  fs::path access_log = {};                     // see RequestLog::open
  fs::path tls_certificate = {}, tls_key = {};  // PEM; https when set
  // Set: people must log in (auth::Users), and may do this with experiments and models on which nothing is
  // granted to them.
  std::optional<auth::Permission> default_permission = {};
  // What is behind mlflow-artifacts:/ URIs: a folder, made if need be, or s3://bucket/prefix. Empty: that
  // proxy is off.
  std::string artifacts_destination = {};
  // Whoever asks is told an mlflow-artifacts:/ URI of artifacts in that folder that were written there
  // directly, as `tidemill run` does it: clients on other machines can fetch them then.
  bool tells_proxied_uris = false;
  // Folders of this machine, and s3:// URIs, whose artifacts may be listed and read, for runs whose
  // artifact_uri names them. An endpoint on loopback to which nobody has to log in may read all that its user
  // may.
  std::vector<std::string> readable_roots = {};
};

// Whether only this machine can reach a server that listens on the host.
bool is_loopback(std::string_view host);

class Endpoint {
 public:
  // The store must outlive the endpoint. kUnavailable when the port is taken.
  static Result<Endpoint> start(tracking::Store& store, EndpointOptions options);
  Endpoint(Endpoint&&) noexcept;
  Endpoint& operator=(Endpoint&&) noexcept;
  ~Endpoint();

  uint16_t port() const;
  std::string url() const;  // "http://127.0.0.1:5000"
  // Lets calls in progress finish for at most `grace`.
  void stop(std::chrono::milliseconds grace);

 private:
  struct State;
  explicit Endpoint(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace tidemill::api
