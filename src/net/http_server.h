// An HTTP/1.1 server: keep-alive, pipelining, bounded headers and bodies, streaming bodies both ways,
// graceful stop.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>

#include "base/files.h"
#include "base/result.h"
#include "net/http.h"
#include "net/response_stream.h"

namespace tidemill {

class TlsContext;

struct HttpRequest {
  std::string method;
  std::string target;  // as sent
  std::string path;    // as sent, without the query; percent-encoding is left in
  Query query;
  Headers headers;
  std::string body;    // empty when it went to a file
  fs::path body_file;  // set when the route asked for BodyPlace::kFile; the handler may rename it away
  std::string peer;    // "127.0.0.1:40312"

  std::string_view param(std::string_view key) const;  // the query's first value of this key, or ""
};

// A response body that is a part of a file, sent without loading it.
struct FileBody {
  Fd file;
  uint64_t offset = 0;
  uint64_t size = 0;
};

struct HttpResponse {
  int status = 200;
  Headers headers;  // Content-Length, Date and Connection are set by the server
  // A stream has no length and ends with its connection; a server that stops ends it.
  std::variant<std::string, FileBody, std::shared_ptr<ResponseStream>> body;

  static HttpResponse text(int status, std::string body,
                           std::string_view content_type = "text/plain; charset=utf-8");
  // The whole file, or the one range that the request asks for (206; 416 when it lies outside). With ETag,
  // If-Range and If-None-Match (304).
  static Result<HttpResponse> file(const HttpRequest& request, const fs::path& path);
};

// Answers one request; may be called from any thread, once. Dropping it unanswered answers 500.
using Respond = std::function<void(HttpResponse)>;
// May block, unless the request is_quick; may keep `respond` and answer later from another thread.
using HttpHandler = std::function<void(HttpRequest, Respond)>;

struct HttpServerOptions {
  std::string host = "127.0.0.1";
  uint16_t port = 0;                     // 0: any free port, see HttpServer::port()
  std::shared_ptr<TlsContext> tls = {};  // https when set
  // For handlers. 0: one for each core, at least 4; give more where handlers wait for disks or other servers.
  int threads = 0;
  // Which requests' handlers never wait. When set, few threads read from the network and call these handlers
  // themselves, the others go to `threads` workers, started as they are needed. Unset: `threads` threads both
  // read and handle.
  std::function<bool(const HttpRequest&)> is_quick = {};
  // With is_quick: called by a thread that reads from the network when it has called the handlers of all that
  // had come in, and by a worker when it has called one: the place to finish together what handlers have
  // begun. It may block; the other threads read on. When it returns a time it is called again after it, or
  // earlier, when more has come in.
  std::function<std::optional<std::chrono::nanoseconds>()> settle = {};
  uint64_t max_body_bytes = 64u << 20;             // above it 413
  uint32_t max_header_bytes = 64u << 10;           // above it 431
  std::chrono::milliseconds idle_timeout{75'000};  // between requests
  std::chrono::milliseconds read_timeout{30'000};  // without progress inside a request
  // Asked once the header has been read: an answer is sent at once, and the body is not kept. May block,
  // shortly.
  std::function<std::optional<HttpResponse>(const HttpRequest&)> turn_away = {};
  // Requests for which the body is to be spooled to a file in `spool_dir` instead of memory
  // (then max_body_bytes does not apply). Asked once the header has been read.
  std::function<bool(const HttpRequest&)> spool_body = {};
  fs::path spool_dir = {};
};

class HttpServer {
 public:
  // Binds and starts to listen. kUnavailable: "cannot listen on 127.0.0.1:5000: Address already in use ...".
  static Result<HttpServer> start(HttpServerOptions options, HttpHandler handler);
  HttpServer(HttpServer&&) noexcept;
  HttpServer& operator=(HttpServer&&) noexcept;
  ~HttpServer();  // stop(0)

  uint16_t port() const;
  std::string url() const;  // "http://127.0.0.1:5000", or https
  // Stops listening, lets requests in progress finish for at most `grace`, then closes.
  void stop(std::chrono::milliseconds grace);

 private:
  struct State;
  explicit HttpServer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace tidemill
