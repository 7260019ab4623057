// The server's side of TLS (1.2 and 1.3) without sockets: bytes from the network in, bytes for the network
// out.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/files.h"
#include "base/result.h"

namespace tidemill {

// A certificate chain and its key, for all connections of a server.
class TlsServerContext {
 public:
  // PEM files. kInvalid names the file that cannot be used, or says that the two do not belong together.
  static Result<std::shared_ptr<TlsServerContext>> load(const fs::path& certificate, const fs::path& key);
  ~TlsServerContext();

 private:
  friend class TlsSession;
  struct State;
  explicit TlsServerContext(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// One connection; not thread-safe.
class TlsSession {
 public:
  static Result<std::unique_ptr<TlsSession>> accept(std::shared_ptr<TlsServerContext> context);
  ~TlsSession();

  void put_received(std::string_view bytes);
  // Decrypted bytes; 0: more must be received first. Handshakes go on here: look at outgoing() afterwards.
  // kUnavailable: the peer ended the connection, or does not speak TLS.
  Result<size_t> read(std::span<char> buffer);
  Result<> write(std::string_view bytes);
  void say_goodbye();  // close_notify

  std::string_view outgoing() const { return std::string_view(outgoing_).substr(sent_); }
  void sent(size_t bytes);  // of outgoing()

 private:
  struct State;
  explicit TlsSession(std::unique_ptr<State> state);
  void collect_outgoing();

  std::unique_ptr<State> state_;
  std::string outgoing_;
  size_t sent_ = 0;
};

}  // namespace tidemill
