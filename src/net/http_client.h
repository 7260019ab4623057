// An HTTP/1.1 client with kept-alive connections. Thread-safe.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "base/files.h"
#include "base/result.h"
#include "net/http.h"

namespace tidemill {

struct ClientRequest {
  std::string method = "GET";
  std::string target = "/";
  Headers headers = {};
  std::string host = {};  // of the Host header; the base URL's when empty
  std::string body = {};
  fs::path body_file = {};   // sent instead of body when not empty
  uint64_t body_offset = 0;  // of body_file: from here on,
  uint64_t body_size = 0;    // so many bytes; 0: to its end
  fs::path save_to =
      {};  // the response's body is written to this file (2xx only) when not empty: from its start,
           // or for 206 at the offset that Content-Range names, so that a download can be resumed
  std::chrono::milliseconds timeout{120'000};  // without progress
  std::function<void(uint64_t done, uint64_t total)> on_progress =
      {};  // bytes of the larger body; total 0: not known
};

struct ClientResponse {
  int status = 0;
  Headers headers;
  std::string body;  // at most 1 GiB
};

class HttpClient {
 public:
  // base_url: "http://host:port" or "https://...", user:password@ gives Basic authentication.
  static Result<HttpClient> create(std::string_view base_url, const TlsTrust& trust = {});
  HttpClient(HttpClient&&) noexcept;
  HttpClient& operator=(HttpClient&&) noexcept;
  ~HttpClient();

  // kUnavailable: no connection, or it broke; kTimeout; kCancelled (net/cancel.h). Any HTTP status is a
  // success here. An idempotent request (GET, HEAD, PUT, DELETE) is sent once more when a kept-alive
  // connection had been closed.
  Result<ClientResponse> send(const ClientRequest& request);

 private:
  struct State;
  explicit HttpClient(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace tidemill
