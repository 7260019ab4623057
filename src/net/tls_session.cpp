#include "net/tls_session.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

namespace tidemill {
namespace {

template <auto kFree>
struct Deleter {
  template <class T>
  void operator()(T* pointer) const {
    kFree(pointer);
  }
};

std::string tls_problem() {
  unsigned long code = ERR_get_error();
  ERR_clear_error();
  const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  return reason ? reason : "the peer ended the connection";
}

}  // namespace

struct TlsServerContext::State {
  std::unique_ptr<SSL_CTX, Deleter<SSL_CTX_free>> context;
};

TlsServerContext::TlsServerContext(std::unique_ptr<State> state) : state_(std::move(state)) {}
TlsServerContext::~TlsServerContext() = default;

Result<std::shared_ptr<TlsServerContext>> TlsServerContext::load(const fs::path& certificate,
                                                                 const fs::path& key) {
  auto state = std::make_unique<State>();
  state->context.reset(SSL_CTX_new(TLS_server_method()));
  SSL_CTX* context = state->context.get();
  if (!context) return fail(Code::kInternal, "cannot set up TLS: {}", tls_problem());
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);  // tickets do the same without memory
  if (SSL_CTX_use_certificate_chain_file(context, certificate.c_str()) != 1)
    return fail(Code::kInvalid, "{}: not a certificate in PEM: {}", certificate.string(), tls_problem());
  if (SSL_CTX_use_PrivateKey_file(context, key.c_str(), SSL_FILETYPE_PEM) != 1)
    return fail(Code::kInvalid, "{}: not the private key in PEM of {}: {}", key.string(),
                certificate.string(), tls_problem());
  return std::shared_ptr<TlsServerContext>(new TlsServerContext(std::move(state)));
}

struct TlsSession::State {
  std::shared_ptr<TlsServerContext> context;
  std::unique_ptr<SSL, Deleter<SSL_free>> ssl;
  BIO* from_network = nullptr;  // owned by ssl
  BIO* to_network = nullptr;    // owned by ssl
};

TlsSession::TlsSession(std::unique_ptr<State> state) : state_(std::move(state)) {}
TlsSession::~TlsSession() = default;

Result<std::unique_ptr<TlsSession>> TlsSession::accept(std::shared_ptr<TlsServerContext> context) {
  auto state = std::make_unique<State>();
  state->ssl.reset(SSL_new(context->state_->context.get()));
  state->context = std::move(context);
  state->from_network = BIO_new(BIO_s_mem());
  state->to_network = BIO_new(BIO_s_mem());
  if (!state->ssl || !state->from_network || !state->to_network)
    return fail(Code::kInternal, "cannot set up TLS");
  SSL_set_bio(state->ssl.get(), state->from_network, state->to_network);
  SSL_set_accept_state(state->ssl.get());
  return std::unique_ptr<TlsSession>(new TlsSession(std::move(state)));
}

void TlsSession::put_received(std::string_view bytes) {
  BIO_write(state_->from_network, bytes.data(), static_cast<int>(bytes.size()));
}

Result<size_t> TlsSession::read(std::span<char> buffer) {
  ERR_clear_error();
  int got = SSL_read(state_->ssl.get(), buffer.data(), static_cast<int>(buffer.size()));
  collect_outgoing();
  if (got > 0) return static_cast<size_t>(got);
  if (SSL_get_error(state_->ssl.get(), got) == SSL_ERROR_WANT_READ) return size_t{0};
  return fail(Code::kUnavailable, "TLS: {}", tls_problem());
}

Result<> TlsSession::write(std::string_view bytes) {
  ERR_clear_error();
  if (!bytes.empty() && SSL_write(state_->ssl.get(), bytes.data(), static_cast<int>(bytes.size())) <= 0)
    return fail(Code::kUnavailable, "TLS: {}", tls_problem());
  collect_outgoing();
  return {};
}

void TlsSession::say_goodbye() {
  SSL_shutdown(state_->ssl.get());
  ERR_clear_error();
  collect_outgoing();
}

void TlsSession::collect_outgoing() {
  char* data = nullptr;
  long size = BIO_get_mem_data(state_->to_network, &data);
  if (size > 0) outgoing_.append(data, static_cast<size_t>(size));
  (void)BIO_reset(state_->to_network);
}

void TlsSession::sent(size_t bytes) {
  sent_ += bytes;
  if (sent_ < outgoing_.size()) return;
  sent_ = 0;
  outgoing_.clear();
}

}  // namespace tidemill
