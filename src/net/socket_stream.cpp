#include "net/socket_stream.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>

namespace tidemill {

using std::chrono::milliseconds;

namespace {

template <auto kFree>
struct Deleter {
  template <class T>
  void operator()(T* pointer) const {
    kFree(pointer);
  }
};

Result<> wait_until_ready(int fd, short events, milliseconds timeout) {
  auto end = std::chrono::steady_clock::now() + timeout;
  for (;;) {
    auto left = std::chrono::ceil<milliseconds>(end - std::chrono::steady_clock::now());
    pollfd entry{fd, events, 0};
    int ready = ::poll(&entry, 1, static_cast<int>(std::clamp<int64_t>(left.count(), 0, INT32_MAX)));
    if (ready > 0) return {};
    if (ready == 0) return fail(Code::kTimeout, "no answer within {} ms", timeout.count());
    if (errno != EINTR) return tl::unexpected<Error>(errno_error("poll", errno));
  }
}

bool would_block() { return errno == EAGAIN || errno == EWOULDBLOCK; }

Error connection_error(int error_number) { return {Code::kUnavailable, strerror(error_number)}; }

Result<Fd> connect_to(const addrinfo& address, milliseconds timeout) {
  Fd fd(::socket(address.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return tl::unexpected<Error>(connection_error(errno));
  if (::connect(fd.get(), address.ai_addr, address.ai_addrlen) != 0) {
    if (errno != EINPROGRESS) return tl::unexpected<Error>(connection_error(errno));
    TRY(wait_until_ready(fd.get(), POLLOUT, timeout));
    int problem = 0;
    socklen_t length = sizeof problem;
    getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &problem, &length);
    if (problem != 0) return tl::unexpected<Error>(connection_error(problem));
  }
  int on = 1;
  setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}

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
};

TlsContext::TlsContext(std::unique_ptr<State> state) : state_(std::move(state)) {}
TlsContext::~TlsContext() = default;

Result<std::shared_ptr<TlsContext>> TlsContext::create(const TlsTrust& trust) {
  auto state = std::make_unique<State>();
  state->context.reset(SSL_CTX_new(TLS_client_method()));
  SSL_CTX* context = state->context.get();
  if (!context || SSL_CTX_set_default_verify_paths(context) != 1)
    return fail(Code::kInternal, "cannot set up TLS: {}", tls_problem());
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_verify(context, trust.anybody ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, nullptr);
  if (trust.certificates.empty()) return std::shared_ptr<TlsContext>(new TlsContext(std::move(state)));
  std::error_code ignored;
  bool is_folder = fs::is_directory(trust.certificates, ignored);
  const char* path = trust.certificates.c_str();
  if (SSL_CTX_load_verify_locations(context, is_folder ? nullptr : path, is_folder ? path : nullptr) != 1)
    return fail(Code::kInvalid, "{}: not a file of certificates in PEM: {}", path, tls_problem());
  return std::shared_ptr<TlsContext>(new TlsContext(std::move(state)));
}

// TLS runs over two memory buffers, so that the socket is only ever written with MSG_NOSIGNAL.
struct SocketStream::Tls {
  std::shared_ptr<TlsContext> context;
  std::unique_ptr<SSL, Deleter<SSL_free>> ssl;
  BIO* from_network = nullptr;  // owned by ssl
  BIO* to_network = nullptr;    // owned by ssl
};

SocketStream::SocketStream(Fd socket) : socket_(std::move(socket)) {}
SocketStream::~SocketStream() = default;

Result<std::unique_ptr<SocketStream>> SocketStream::connect(const Url& url,
                                                            const std::shared_ptr<TlsContext>& tls,
                                                            milliseconds timeout) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* found = nullptr;
  int problem = getaddrinfo(url.host.c_str(), url.port.c_str(), &hints, &found);
  if (problem != 0) return fail(Code::kUnavailable, "cannot find the host: {}", gai_strerror(problem));
  std::unique_ptr<addrinfo, Deleter<freeaddrinfo>> owner(found);
  Result<Fd> socket = fail(Code::kUnavailable, "the host has no address");
  for (addrinfo* address = found; address && !socket; address = address->ai_next)
    socket = connect_to(*address, timeout);
  if (!socket) return tl::unexpected<Error>(std::move(socket).error());
  std::unique_ptr<SocketStream> stream(new SocketStream(std::move(*socket)));
  if (tls) TRY(stream->handshake(url, tls, timeout));
  return stream;
}

Result<> SocketStream::handshake(const Url& url, std::shared_ptr<TlsContext> context, milliseconds timeout) {
  auto tls = std::make_unique<Tls>();
  tls->context = std::move(context);
  tls->ssl.reset(SSL_new(tls->context->state_->context.get()));
  tls->from_network = BIO_new(BIO_s_mem());
  tls->to_network = BIO_new(BIO_s_mem());
  SSL* ssl = tls->ssl.get();
  if (!ssl || !tls->from_network || !tls->to_network) return fail(Code::kInternal, "cannot set up TLS");
  SSL_set_bio(ssl, tls->from_network, tls->to_network);
  SSL_set_connect_state(ssl);
  X509_VERIFY_PARAM* checks = SSL_get0_param(ssl);
  if (is_ip_address(url.host)) {
    X509_VERIFY_PARAM_set1_ip_asc(checks, url.host.c_str());
  } else {
    SSL_set_tlsext_host_name(ssl, url.host.c_str());
    X509_VERIFY_PARAM_set1_host(checks, url.host.c_str(), url.host.size());
  }
  tls_ = std::move(tls);
  for (;;) {
    int done = SSL_do_handshake(ssl);
    TRY(flush_tls(timeout));
    if (done == 1) return {};
    if (SSL_get_error(ssl, done) != SSL_ERROR_WANT_READ) {
      long verdict = SSL_get_verify_result(ssl);
      std::string reason = verdict == X509_V_OK ? tls_problem() : X509_verify_cert_error_string(verdict);
      return fail(Code::kUnavailable, "TLS: {}", reason);
    }
    TRY(feed_tls(timeout));
  }
}

Result<size_t> SocketStream::read_raw(std::span<char> buffer, milliseconds timeout) {
  for (;;) {
    ssize_t got = ::recv(socket_.get(), buffer.data(), buffer.size(), 0);
    if (got >= 0) return static_cast<size_t>(got);
    if (would_block()) {
      TRY(wait_until_ready(socket_.get(), POLLIN, timeout));
    } else if (errno != EINTR) {
      return tl::unexpected<Error>(connection_error(errno));
    }
  }
}

Result<> SocketStream::write_raw(std::string_view bytes, milliseconds timeout) {
  while (!bytes.empty()) {
    ssize_t wrote = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (wrote >= 0) {
      bytes.remove_prefix(static_cast<size_t>(wrote));
    } else if (would_block()) {
      TRY(wait_until_ready(socket_.get(), POLLOUT, timeout));
    } else if (errno != EINTR) {
      return tl::unexpected<Error>(connection_error(errno));
    }
  }
  return {};
}

Result<> SocketStream::flush_tls(milliseconds timeout) {
  char* data = nullptr;
  long size = BIO_get_mem_data(tls_->to_network, &data);
  if (size > 0) TRY(write_raw({data, static_cast<size_t>(size)}, timeout));
  (void)BIO_reset(tls_->to_network);
  return {};
}

Result<> SocketStream::feed_tls(milliseconds timeout) {
  char buffer[1 << 15];
  size_t got = TRY(read_raw(buffer, timeout));
  if (got == 0) return fail(Code::kUnavailable, "the connection was closed");
  BIO_write(tls_->from_network, buffer, static_cast<int>(got));
  return {};
}

Result<size_t> SocketStream::read(std::span<char> buffer, milliseconds timeout) {
  if (!tls_) return read_raw(buffer, timeout);
  for (;;) {
    int got =
        SSL_read(tls_->ssl.get(), buffer.data(), static_cast<int>(std::min<size_t>(buffer.size(), 1 << 30)));
    TRY(flush_tls(timeout));
    if (got > 0) return static_cast<size_t>(got);
    int problem = SSL_get_error(tls_->ssl.get(), got);
    if (problem == SSL_ERROR_ZERO_RETURN) return size_t{0};
    if (problem != SSL_ERROR_WANT_READ) return fail(Code::kUnavailable, "TLS: {}", tls_problem());
    TRY(feed_tls(timeout));
  }
}

Result<> SocketStream::write(std::string_view bytes, milliseconds timeout) {
  if (!tls_) return write_raw(bytes, timeout);
  while (!bytes.empty()) {
    int size = static_cast<int>(std::min<size_t>(bytes.size(), 1 << 18));
    int wrote = SSL_write(tls_->ssl.get(), bytes.data(), size);
    TRY(flush_tls(timeout));
    if (wrote > 0) {
      bytes.remove_prefix(static_cast<size_t>(wrote));
    } else if (SSL_get_error(tls_->ssl.get(), wrote) == SSL_ERROR_WANT_READ) {
      TRY(feed_tls(timeout));
    } else {
      return fail(Code::kUnavailable, "TLS: {}", tls_problem());
    }
  }
  return {};
}

bool SocketStream::stale() const {
  pollfd entry{socket_.get(), POLLIN | POLLRDHUP, 0};
  int ready = ::poll(&entry, 1, 0);
  if (ready <= 0) return ready < 0;
  if (!tls_) return true;
  // TLS 1.3 sends session tickets at any time: only an end or an error counts.
  char byte;
  return (entry.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0 ||
         ::recv(socket_.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

}  // namespace tidemill
