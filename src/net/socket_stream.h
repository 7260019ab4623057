// A connected TCP or TLS socket with a time limit on every step, which cancel.h ends too. Not thread-safe.
#pragma once

#include <chrono>
#include <memory>
#include <span>
#include <string_view>

#include "base/files.h"
#include "base/result.h"
#include "net/http.h"
#include "net/splice_pipe.h"
#include "net/tls_session.h"

namespace tidemill {

class SocketStream {
 public:
  // tls: nullptr for plain TCP. Checks the certificate and that it was issued for url.host.
  static Result<std::unique_ptr<SocketStream>> connect(const Url& url, const std::shared_ptr<TlsContext>& tls,
                                                       std::chrono::milliseconds timeout);
  ~SocketStream();

  // 0 at the end of the stream. kTimeout, kUnavailable.
  Result<size_t> read(std::span<char> buffer, std::chrono::milliseconds timeout);
  // The time limit is for each piece that the kernel accepts.
  Result<> write(std::string_view bytes, std::chrono::milliseconds timeout);
  // Whether nothing is encrypted. Then files need not pass through this process's memory:
  bool is_plain() const { return !tls_; }
  // Sends what is next in the file, at most so many bytes; how many that were. 0 at its end.
  Result<size_t> write_from(const Fd& file, size_t most, std::chrono::milliseconds timeout);
  // As read(), but to the file.
  Result<size_t> read_into(const Fd& file, size_t most, std::chrono::milliseconds timeout);
  // True when an idle stream cannot carry a request any more: closed, or with bytes nobody asked for.
  bool stale() const;

 private:
  explicit SocketStream(Fd socket);
  Result<> handshake(std::chrono::milliseconds timeout);
  Result<size_t> read_raw(std::span<char> buffer, std::chrono::milliseconds timeout);
  Result<> write_raw(std::string_view bytes, std::chrono::milliseconds timeout);
  Result<> flush_tls(std::chrono::milliseconds timeout);
  Result<> feed_tls(std::chrono::milliseconds timeout);

  Fd socket_;
  std::unique_ptr<TlsSession> tls_;
  SplicePipe pipe_;
};

}  // namespace tidemill
