#include "net/socket_stream.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

#include <cerrno>

#include "net/cancel.h"

namespace tidemill {

using std::chrono::milliseconds;

namespace {

Result<> wait_until_ready(int fd, short events, milliseconds timeout) {
  auto end = std::chrono::steady_clock::now() + timeout;
  for (;;) {
    auto left = std::chrono::ceil<milliseconds>(end - std::chrono::steady_clock::now());
    pollfd entries[] = {{fd, events, 0}, {cancel_descriptor(), POLLIN, 0}};
    int ready = ::poll(entries, 2, static_cast<int>(std::clamp<int64_t>(left.count(), 0, INT32_MAX)));
    if (ready > 0 && entries[1].revents != 0) return fail(Code::kCancelled, "interrupted");
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

// sendfile(2) cannot be told to raise no SIGPIPE, and the process, which may be a user's own program, need
// not ignore it: it is blocked for this thread, and taken away when it has come.
class WithoutSigpipe {
 public:
  WithoutSigpipe() {
    sigemptyset(&pipe_);
    sigaddset(&pipe_, SIGPIPE);
    sigset_t pending;
    sigpending(&pending);
    was_pending_ = sigismember(&pending, SIGPIPE) == 1;
    pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  ~WithoutSigpipe() {
    int problem = errno;
    timespec none{};
    if (!was_pending_) sigtimedwait(&pipe_, nullptr, &none);
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
    errno = problem;
  }
  WithoutSigpipe(const WithoutSigpipe&) = delete;
  WithoutSigpipe& operator=(const WithoutSigpipe&) = delete;

 private:
  sigset_t pipe_, before_;
  bool was_pending_;
};

}  // namespace

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
  std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(found, freeaddrinfo);
  Result<Fd> socket = fail(Code::kUnavailable, "the host has no address");
  for (addrinfo* address = found; address && !socket; address = address->ai_next)
    socket = connect_to(*address, timeout);
  if (!socket) return tl::unexpected<Error>(std::move(socket).error());
  std::unique_ptr<SocketStream> stream(new SocketStream(std::move(*socket)));
  if (!tls) return stream;
  stream->tls_ = TRY(TlsSession::connect(tls, url.host));
  TRY(stream->handshake(timeout));
  return stream;
}

Result<> SocketStream::handshake(milliseconds timeout) {
  for (;;) {
    Result<bool> done = tls_->handshake();
    TRY(flush_tls(timeout));
    if (TRY(std::move(done))) return {};
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
  const size_t size = tls_->outgoing().size();
  TRY(write_raw(tls_->outgoing(), timeout));
  tls_->sent(size);
  return {};
}

Result<> SocketStream::feed_tls(milliseconds timeout) {
  char buffer[1 << 15];
  size_t got = TRY(read_raw(buffer, timeout));
  if (got == 0) return fail(Code::kUnavailable, "the connection was closed");
  tls_->put_received({buffer, got});
  return {};
}

Result<size_t> SocketStream::read(std::span<char> buffer, milliseconds timeout) {
  if (!tls_) return read_raw(buffer, timeout);
  for (;;) {
    Result<size_t> got = tls_->read(buffer);
    TRY(flush_tls(timeout));
    if (!got && tls_->peer_has_said_goodbye()) return size_t{0};
    if (!got || *got > 0) return got;
    TRY(feed_tls(timeout));
  }
}

Result<> SocketStream::write(std::string_view bytes, milliseconds timeout) {
  if (!tls_) return write_raw(bytes, timeout);
  constexpr size_t kPiece = 1 << 18;
  for (; !bytes.empty(); bytes.remove_prefix(std::min(bytes.size(), kPiece))) {
    TRY(tls_->write(bytes.substr(0, kPiece)));
    TRY(flush_tls(timeout));
  }
  return {};
}

Result<size_t> SocketStream::write_from(const Fd& file, size_t most, milliseconds timeout) {
  WithoutSigpipe no_signal;
  for (;;) {
    ssize_t sent = ::sendfile(socket_.get(), file.get(), nullptr, most);
    if (sent >= 0) return static_cast<size_t>(sent);
    if (would_block()) {
      TRY(wait_until_ready(socket_.get(), POLLOUT, timeout));
    } else if (errno != EINTR) {
      return tl::unexpected<Error>(connection_error(errno));
    }
  }
}

Result<size_t> SocketStream::read_into(const Fd& file, size_t most, milliseconds timeout) {
  for (;;) {
    SplicePipe::Moved moved = pipe_.move(socket_.get(), file.get(), most);
    if (moved.file_error != 0) return tl::unexpected<Error>(errno_error("write", moved.file_error));
    if (moved.socket_error == 0) return moved.bytes;
    if (moved.socket_error == EAGAIN) {
      TRY(wait_until_ready(socket_.get(), POLLIN, timeout));
    } else if (moved.socket_error != EINTR) {
      return tl::unexpected<Error>(connection_error(moved.socket_error));
    }
  }
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
