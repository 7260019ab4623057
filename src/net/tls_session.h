// TLS (1.2 and 1.3) without sockets: bytes from the network in, bytes for the network out.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/files.h"
#include "base/result.h"
#include "net/http.h"

namespace tidemill {

// What the connections of a server or of a client share.
class TlsContext {
 public:
  // A server's certificate chain and its key, PEM files. kInvalid names the file that cannot be used, or says
  // that the two do not belong together.
  static Result<std::shared_ptr<TlsContext>> for_server(const fs::path& certificate, const fs::path& key);
  static Result<std::shared_ptr<TlsContext>> for_client(const TlsTrust& trust);
  ~TlsContext();

 private:
  friend class TlsSession;
  struct State;
  explicit TlsContext(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// One connection; not thread-safe. Whatever is called: look at outgoing() afterwards, errors have an alert to
// send.
class TlsSession {
 public:
  static Result<std::unique_ptr<TlsSession>> accept(std::shared_ptr<TlsContext> server);
  // Checks that the peer's certificate was issued for this host, a name or an address.
  static Result<std::unique_ptr<TlsSession>> connect(std::shared_ptr<TlsContext> client,
                                                     const std::string& host);
  ~TlsSession();

  void put_received(std::string_view bytes);
  // True when the handshake is over; false: more must be received first. read() goes on with it too.
  Result<bool> handshake();
  // Decrypted bytes; 0: more must be received first. kUnavailable: the peer ended the connection, or does not
  // speak TLS, or is not to be trusted.
  Result<size_t> read(std::span<char> buffer);
  // After the handshake.
  Result<> write(std::string_view bytes);
  void say_goodbye();  // close_notify
  bool peer_has_said_goodbye() const;

  std::string_view outgoing() const { return std::string_view(outgoing_).substr(sent_); }
  void sent(size_t bytes);  // of outgoing()

 private:
  struct State;
  explicit TlsSession(std::unique_ptr<State> state);
  static Result<std::unique_ptr<TlsSession>> start(std::shared_ptr<TlsContext> context);
  void collect_outgoing();
  Error problem() const;

  std::unique_ptr<State> state_;
  std::string outgoing_;
  size_t sent_ = 0;
};

}  // namespace tidemill
