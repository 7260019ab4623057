#include "net/http_server.h"

#include <fcntl.h>
#include <netdb.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/log.h"
#include "net/answered_here.h"
#include "net/http_connection.h"

namespace tidemill {

using std::chrono::milliseconds;

std::string_view HttpRequest::param(std::string_view key) const {
  for (const auto& [name, value] : query)
    if (name == key) return value;
  return {};
}

HttpResponse HttpResponse::text(int status, std::string body, std::string_view content_type) {
  HttpResponse response;
  response.status = status;
  response.headers.add("Content-Type", std::string(content_type));
  response.body = std::move(body);
  return response;
}

namespace {

struct ByteRange {
  enum class Kind { kWhole, kPart, kOutside } kind = Kind::kWhole;
  uint64_t first = 0, last = 0;
};

std::optional<uint64_t> parse_number(std::string_view digits) {
  if (digits.empty() || digits.size() > 18) return std::nullopt;
  uint64_t value = 0;
  for (char c : digits) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + static_cast<uint64_t>(c - '0');
  }
  return value;
}

// RFC 9110 14.1.2. Several ranges, or what is not a range of bytes, are answered with the whole file.
ByteRange parse_range(std::string_view text, uint64_t size) {
  constexpr std::string_view kBytes = "bytes=";
  if (!text.starts_with(kBytes)) return {};
  text.remove_prefix(kBytes.size());
  size_t dash = text.find('-');
  if (dash == std::string_view::npos || text.find(',') != std::string_view::npos) return {};
  auto first = parse_number(text.substr(0, dash));
  auto last = parse_number(text.substr(dash + 1));
  if ((dash > 0 && !first) || (dash + 1 < text.size() && !last) || (!first && !last)) return {};
  if (!first) {  // the last N bytes
    if (*last == 0 || size == 0) return {ByteRange::Kind::kOutside};
    return {ByteRange::Kind::kPart, size - std::min(*last, size), size - 1};
  }
  if (last && *last < *first) return {};
  if (*first >= size) return {ByteRange::Kind::kOutside};
  return {ByteRange::Kind::kPart, *first, std::min(last.value_or(size - 1), size - 1)};
}

}  // namespace

Result<HttpResponse> HttpResponse::file(const HttpRequest& request, const fs::path& path) {
  Fd file = TRY(open_file(path, O_RDONLY | O_NONBLOCK));
  struct stat info{};
  if (fstat(file.get(), &info) != 0 || !S_ISREG(info.st_mode))
    return fail(Code::kNotFound, "{} is not a file", path.string());
  auto size = static_cast<uint64_t>(info.st_size);
  std::string tag =
      fmt::format("\"{:x}-{:x}\"", size, info.st_mtim.tv_sec * 1'000'000'000 + info.st_mtim.tv_nsec);
  HttpResponse response;
  response.headers.add("ETag", tag);
  if (names_tag(request.headers.get("If-None-Match"), tag)) {
    response.status = 304;
    return response;
  }
  response.headers.add("Content-Type", std::string(content_type_of(path.filename().string())));
  response.headers.add("Accept-Ranges", "bytes");
  std::string_view if_range = request.headers.get("If-Range");
  ByteRange range;
  if (if_range.empty() || if_range == tag) range = parse_range(request.headers.get("Range"), size);
  if (range.kind == ByteRange::Kind::kOutside) {
    response = text(416, "The range lies outside the file.\n");
    response.headers.add("Content-Range", fmt::format("bytes */{}", size));
    return response;
  }
  if (range.kind == ByteRange::Kind::kWhole) {
    response.body = FileBody{std::move(file), 0, size};
    return response;
  }
  response.status = 206;
  response.headers.add("Content-Range", fmt::format("bytes {}-{}/{}", range.first, range.last, size));
  response.body = FileBody{std::move(file), range.first, range.last - range.first + 1};
  return response;
}

struct HttpServer::State {
  std::shared_ptr<ServerShared> shared = std::make_shared<ServerShared>();
  Fd listener, wake;
  uint16_t port = 0;
  std::vector<std::thread> readers;  // of the network
  std::thread clock;
  std::mutex clock_mutex;
  std::condition_variable clock_stop;
  bool stopped = false;

  Result<> listen();
  Result<> bind_to(const addrinfo& address);
  Result<> watch(int fd, uint32_t events, void* tag, int operation);
  void read_network();
  bool handle_events(std::optional<std::chrono::nanoseconds>& limit);
  std::optional<std::chrono::nanoseconds> settle();
  void accept_all();
  void adopt(Fd socket, const sockaddr_storage& peer);
  void watch_clock();
  void end_streams();
};

static std::string peer_name(const sockaddr_storage& address, socklen_t length) {
  char host[NI_MAXHOST] = "?", port[NI_MAXSERV] = "?";
  getnameinfo(reinterpret_cast<const sockaddr*>(&address), length, host, sizeof host, port, sizeof port,
              NI_NUMERICHOST | NI_NUMERICSERV);
  return address.ss_family == AF_INET6 ? fmt::format("[{}]:{}", host, port)
                                       : fmt::format("{}:{}", host, port);
}

Result<> HttpServer::State::watch(int fd, uint32_t events, void* tag, int operation) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = tag;
  if (epoll_ctl(shared->epoll.get(), operation, fd, &event) != 0)
    return tl::unexpected<Error>(errno_error("epoll_ctl", errno));
  return {};
}

Result<> HttpServer::State::bind_to(const addrinfo& address) {
  Fd fd(::socket(address.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  int on = 1;
  auto failed = [] { return tl::unexpected<Error>(errno_error("cannot listen", errno)); };
  if (!fd || setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0) return failed();
  if (::bind(fd.get(), address.ai_addr, address.ai_addrlen) != 0 || ::listen(fd.get(), 4096) != 0)
    return failed();
  sockaddr_storage bound{};
  socklen_t length = sizeof bound;
  if (getsockname(fd.get(), reinterpret_cast<sockaddr*>(&bound), &length) != 0) return failed();
  port = ntohs(bound.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6&>(bound).sin6_port
                                           : reinterpret_cast<sockaddr_in&>(bound).sin_port);
  listener = std::move(fd);
  return {};
}

Result<> HttpServer::State::listen() {
  const auto& options = shared->options;
  std::string place = fmt::format("{}:{}", options.host, options.port);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  int problem = getaddrinfo(options.host.c_str(), std::to_string(options.port).c_str(), &hints, &found);
  if (problem != 0) return fail(Code::kUnavailable, "cannot listen on {}: {}", place, gai_strerror(problem));
  std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(found, &freeaddrinfo);
  Result<> bound;
  for (addrinfo* address = found; address; address = address->ai_next) {
    bound = bind_to(*address);
    if (bound) return {};
  }
  std::string message = bound.error().message;
  message.insert(message.find(':'), " on " + place);
  if (bound.error().code == Code::kUnavailable)
    message += " (another program uses this port; choose another one)";
  return fail(bound.error().code, "{}", message);
}

// So few that they are seldom woken in vain, and more than one, because settle() may block.
static int few_readers() { return std::clamp(static_cast<int>(std::thread::hardware_concurrency()), 2, 4); }

Result<HttpServer> HttpServer::start(HttpServerOptions options, HttpHandler handler) {
  auto state = std::make_unique<State>();
  auto& shared = *state->shared;
  int threads = options.threads > 0 ? options.threads : std::max(4, int(std::thread::hardware_concurrency()));
  shared.options = std::move(options);
  shared.handler = std::move(handler);
  TRY(state->listen());
  shared.epoll = Fd(epoll_create1(EPOLL_CLOEXEC));
  state->wake = Fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!shared.epoll || !state->wake) return tl::unexpected<Error>(errno_error("create epoll", errno));
  TRY(state->watch(state->wake.get(), EPOLLIN, nullptr, EPOLL_CTL_ADD));
  TRY(state->watch(state->listener.get(), EPOLLIN | EPOLLONESHOT, state.get(), EPOLL_CTL_ADD));
  if (shared.options.is_quick) shared.workers.emplace(std::exchange(threads, few_readers()));
  for (int i = 0; i < threads; ++i) state->readers.emplace_back([s = state.get()] { s->read_network(); });
  state->clock = std::thread([s = state.get()] { s->watch_clock(); });
  return HttpServer(std::move(state));
}

// As epoll_wait. limit: none, for ever.
static int wait_for_events(const Fd& epoll, std::span<epoll_event> events,
                           const std::optional<std::chrono::nanoseconds>& limit) {
  auto most = static_cast<int>(events.size());
  if (!limit) return epoll_wait(epoll.get(), events.data(), most, -1);
  timespec time{.tv_sec = *limit / std::chrono::seconds(1),
                .tv_nsec = *limit % std::chrono::seconds(1) / std::chrono::nanoseconds(1)};
  int ready = epoll_pwait2(epoll.get(), events.data(), most, &time, nullptr);
  if (ready < 0 && errno == ENOSYS)
    return epoll_wait(epoll.get(), events.data(), most, 0);  // before Linux 5.11
  return ready;
}

void HttpServer::State::read_network() {
  std::optional<std::chrono::nanoseconds> limit;
  while (handle_events(limit)) {
  }
}

// False when it is time to stop. limit: until settle() is to be called again.
bool HttpServer::State::handle_events(std::optional<std::chrono::nanoseconds>& limit) {
  epoll_event events[16];
  // What a thread has taken no other can: it takes one at a time where handlers may block it.
  int ready =
      wait_for_events(shared->epoll, std::span(events, shared->workers ? std::size(events) : 1), limit);
  bool go_on = ready >= 0 || errno == EINTR;
  for (int i = 0; i < ready; ++i) {
    void* what = events[i].data.ptr;
    if (what == nullptr) {
      go_on = false;
    } else if (what == this) {
      accept_all();
    } else {
      static_cast<HttpConnection*>(what)->run();
    }
  }
  if ((ready > 0 || limit) && shared->options.settle) limit = settle();
  return go_on;
}

std::optional<std::chrono::nanoseconds> HttpServer::State::settle() {
  AnsweredHere answered;
  auto limit = shared->options.settle();
  if (answered.empty()) return limit;
  answered.read_on();
  return std::chrono::nanoseconds(0);  // there may be more to settle; first come those who are not served yet
}

void HttpServer::State::accept_all() {
  while (!shared->stopping) {
    sockaddr_storage peer{};
    socklen_t length = sizeof peer;
    Fd socket(
        accept4(listener.get(), reinterpret_cast<sockaddr*>(&peer), &length, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (socket) {
      adopt(std::move(socket), peer);
      continue;
    }
    if (errno == EINTR || errno == ECONNABORTED) continue;
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      log_warning("cannot accept a connection: {}", strerror(errno));
      std::this_thread::sleep_for(milliseconds(50));  // until one is closed; the others are served meanwhile
    }
    break;
  }
  if (!shared->stopping) (void)watch(listener.get(), EPOLLIN | EPOLLONESHOT, this, EPOLL_CTL_MOD);
}

void HttpServer::State::adopt(Fd socket, const sockaddr_storage& peer) {
  socklen_t length = peer.ss_family == AF_INET6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
  std::unique_ptr<TlsSession> tls;
  if (shared->options.tls) {
    auto session = TlsSession::accept(shared->options.tls);
    if (!session) return log_warning("cannot accept a connection: {}", session.error().message);
    tls = std::move(*session);
  }
  auto connection =
      std::make_shared<HttpConnection>(shared, std::move(socket), peer_name(peer, length), std::move(tls));
  {
    std::lock_guard lock(shared->mutex);
    shared->connections.emplace(connection.get(), connection);
  }
  if (!watch(connection->socket(), EPOLLIN | EPOLLRDHUP | EPOLLONESHOT, connection.get(), EPOLL_CTL_ADD)) {
    std::lock_guard lock(shared->mutex);
    shared->connections.erase(connection.get());
  }
}

// Deadlines are looked at now and then instead of one timer for each: they are coarse by nature.
void HttpServer::State::watch_clock() {
  auto shortest = std::min(shared->options.idle_timeout, shared->options.read_timeout);
  milliseconds tick = std::clamp(shortest / 4, milliseconds(5), milliseconds(1000));
  std::unique_lock lock(clock_mutex);
  while (!clock_stop.wait_for(lock, tick, [&] { return stopped; })) {
    std::lock_guard table(shared->mutex);
    auto now = std::chrono::steady_clock::now();
    for (auto& [unused, connection] : shared->connections) connection->check_deadline(now);
  }
}

// They would go on for ever.
void HttpServer::State::end_streams() {
  std::vector<std::shared_ptr<HttpConnection>> all;
  {
    std::lock_guard lock(shared->mutex);
    for (auto& [unused, connection] : shared->connections) all.push_back(connection);
  }
  for (auto& connection : all) connection->end_stream();
}

HttpServer::HttpServer(std::unique_ptr<State> state) : state_(std::move(state)) {}
HttpServer::HttpServer(HttpServer&&) noexcept = default;
HttpServer& HttpServer::operator=(HttpServer&& other) noexcept {
  if (this != &other) {
    stop(milliseconds(0));
    state_ = std::move(other.state_);
  }
  return *this;
}
HttpServer::~HttpServer() { stop(milliseconds(0)); }

uint16_t HttpServer::port() const { return state_->port; }

std::string HttpServer::url() const {
  const HttpServerOptions& options = state_->shared->options;
  std::string_view scheme = options.tls ? "https" : "http";
  bool is_v6 = options.host.find(':') != std::string::npos;
  return is_v6 ? fmt::format("{}://[{}]:{}", scheme, options.host, state_->port)
               : fmt::format("{}://{}:{}", scheme, options.host, state_->port);
}

void HttpServer::stop(milliseconds grace) {
  if (!state_ || state_->stopped) return;
  ServerShared& shared = *state_->shared;
  shared.stopping = true;
  epoll_ctl(shared.epoll.get(), EPOLL_CTL_DEL, state_->listener.get(), nullptr);
  ::shutdown(state_->listener.get(), SHUT_RDWR);
  state_->end_streams();
  {
    std::unique_lock lock(shared.mutex);
    for (auto& [unused, connection] : shared.connections) connection->close_if_idle();
    shared.emptied.wait_for(lock, grace, [&] { return shared.connections.empty(); });
    for (auto& [unused, connection] : shared.connections) connection->close_now();
  }
  uint64_t one = 1;
  (void)!::write(state_->wake.get(), &one, sizeof one);
  for (auto& reader : state_->readers) reader.join();
  if (shared.workers) shared.workers->stop();
  {
    std::lock_guard lock(state_->clock_mutex);
    state_->stopped = true;
  }
  state_->clock_stop.notify_all();
  state_->clock.join();
  state_->listener.reset();
  // Those that still wait for an answer live on in their Respond functions.
  decltype(shared.connections) rest;
  std::lock_guard lock(shared.mutex);
  rest.swap(shared.connections);
}

}  // namespace tidemill
