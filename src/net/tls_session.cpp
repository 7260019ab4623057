#include "net/tls_session.h"

#include <arpa/inet.h>
#include <fcntl.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

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

bool is_ip_address(const std::string& host) {
  unsigned char unused[16];
  return inet_pton(AF_INET, host.c_str(), unused) == 1 || inet_pton(AF_INET6, host.c_str(), unused) == 1;
}

}  // namespace

struct TlsContext::State {
  std::unique_ptr<SSL_CTX, Deleter<SSL_CTX_free>> context;

  static Result<std::unique_ptr<State>> create(const SSL_METHOD* method) {
    auto state = std::make_unique<State>();
    state->context.reset(SSL_CTX_new(method));
    if (!state->context) return fail(Code::kInternal, "cannot set up TLS: {}", tls_problem());
    SSL_CTX_set_min_proto_version(state->context.get(), TLS1_2_VERSION);
    // So that a session never has to read in order to write.
    SSL_CTX_set_options(state->context.get(), SSL_OP_NO_RENEGOTIATION);
    return state;
  }
};

TlsContext::TlsContext(std::unique_ptr<State> state) : state_(std::move(state)) {}
TlsContext::~TlsContext() = default;

Result<std::shared_ptr<TlsContext>> TlsContext::for_server(const fs::path& certificate, const fs::path& key) {
  for (const fs::path& file : {certificate, key})
    TRY(open_file(file, O_RDONLY));  // says what is wrong with it
  auto state = TRY(State::create(TLS_server_method()));
  SSL_CTX* context = state->context.get();
  SSL_CTX_set_options(context, SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);  // tickets do the same without memory
  if (SSL_CTX_use_certificate_chain_file(context, certificate.c_str()) != 1)
    return fail(Code::kInvalid, "{}: not a certificate in PEM: {}", certificate.string(), tls_problem());
  if (SSL_CTX_use_PrivateKey_file(context, key.c_str(), SSL_FILETYPE_PEM) != 1)
    return fail(Code::kInvalid, "{}: not the private key in PEM of {}: {}", key.string(),
                certificate.string(), tls_problem());
  return std::shared_ptr<TlsContext>(new TlsContext(std::move(state)));
}

Result<std::shared_ptr<TlsContext>> TlsContext::for_client(const TlsTrust& trust) {
  auto state = TRY(State::create(TLS_client_method()));
  SSL_CTX* context = state->context.get();
  if (SSL_CTX_set_default_verify_paths(context) != 1)
    return fail(Code::kInternal, "cannot set up TLS: {}", tls_problem());
  SSL_CTX_set_verify(context, trust.anybody ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, nullptr);
  if (trust.certificates.empty()) return std::shared_ptr<TlsContext>(new TlsContext(std::move(state)));
  std::error_code ignored;
  bool is_folder = fs::is_directory(trust.certificates, ignored);
  const char* path = trust.certificates.c_str();
  if (SSL_CTX_load_verify_locations(context, is_folder ? nullptr : path, is_folder ? path : nullptr) != 1)
    return fail(Code::kInvalid, "{}: not a file of certificates in PEM: {}", path, tls_problem());
  return std::shared_ptr<TlsContext>(new TlsContext(std::move(state)));
}

struct TlsSession::State {
  std::shared_ptr<TlsContext> context;
  std::unique_ptr<SSL, Deleter<SSL_free>> ssl;
  BIO* from_network = nullptr;  // owned by ssl
  BIO* to_network = nullptr;    // owned by ssl
};

TlsSession::TlsSession(std::unique_ptr<State> state) : state_(std::move(state)) {}
TlsSession::~TlsSession() = default;

Result<std::unique_ptr<TlsSession>> TlsSession::start(std::shared_ptr<TlsContext> context) {
  auto state = std::make_unique<State>();
  state->ssl.reset(SSL_new(context->state_->context.get()));
  state->context = std::move(context);
  state->from_network = BIO_new(BIO_s_mem());
  state->to_network = BIO_new(BIO_s_mem());
  if (!state->ssl || !state->from_network || !state->to_network)
    return fail(Code::kInternal, "cannot set up TLS");
  SSL_set_bio(state->ssl.get(), state->from_network, state->to_network);
  return std::unique_ptr<TlsSession>(new TlsSession(std::move(state)));
}

Result<std::unique_ptr<TlsSession>> TlsSession::accept(std::shared_ptr<TlsContext> server) {
  auto session = TRY(start(std::move(server)));
  SSL_set_accept_state(session->state_->ssl.get());
  return session;
}

Result<std::unique_ptr<TlsSession>> TlsSession::connect(std::shared_ptr<TlsContext> client,
                                                        const std::string& host) {
  auto session = TRY(start(std::move(client)));
  SSL* ssl = session->state_->ssl.get();
  SSL_set_connect_state(ssl);
  X509_VERIFY_PARAM* checks = SSL_get0_param(ssl);
  if (is_ip_address(host)) {
    X509_VERIFY_PARAM_set1_ip_asc(checks, host.c_str());
  } else {
    SSL_set_tlsext_host_name(ssl, host.c_str());
    X509_VERIFY_PARAM_set1_host(checks, host.c_str(), host.size());
  }
  return session;
}

void TlsSession::put_received(std::string_view bytes) {
  BIO_write(state_->from_network, bytes.data(), static_cast<int>(bytes.size()));
}

Error TlsSession::problem() const {
  const long verdict = SSL_get_verify_result(state_->ssl.get());
  const bool is_trusted = verdict == X509_V_OK || SSL_get_verify_mode(state_->ssl.get()) == SSL_VERIFY_NONE;
  const std::string reason = is_trusted ? tls_problem() : X509_verify_cert_error_string(verdict);
  return {Code::kUnavailable, "TLS: " + reason};
}

Result<bool> TlsSession::handshake() {
  ERR_clear_error();
  const int done = SSL_do_handshake(state_->ssl.get());
  collect_outgoing();
  if (done == 1) return true;
  if (SSL_get_error(state_->ssl.get(), done) == SSL_ERROR_WANT_READ) return false;
  return tl::unexpected<Error>(problem());
}

Result<size_t> TlsSession::read(std::span<char> buffer) {
  ERR_clear_error();
  const int most = static_cast<int>(std::min<size_t>(buffer.size(), 1 << 30));
  const int got = SSL_read(state_->ssl.get(), buffer.data(), most);
  collect_outgoing();
  if (got > 0) return static_cast<size_t>(got);
  if (SSL_get_error(state_->ssl.get(), got) == SSL_ERROR_WANT_READ) return size_t{0};
  return tl::unexpected<Error>(problem());
}

Result<> TlsSession::write(std::string_view bytes) {
  ERR_clear_error();
  const int written =
      bytes.empty() ? 1 : SSL_write(state_->ssl.get(), bytes.data(), static_cast<int>(bytes.size()));
  collect_outgoing();
  if (written <= 0) return tl::unexpected<Error>(problem());
  return {};
}

bool TlsSession::peer_has_said_goodbye() const {
  return (SSL_get_shutdown(state_->ssl.get()) & SSL_RECEIVED_SHUTDOWN) != 0;
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
