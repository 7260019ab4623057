#include "net/http_connection.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>

#include "base/id.h"
#include "base/log.h"
#include "net/answered_here.h"
#include "net/splice_pipe.h"

namespace tidemill {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr size_t kReceiveBytes = 256 << 10;
constexpr size_t kSpliceBytes = 1 << 20;
constexpr uint64_t kMostAtOnce = 16 << 20;  // of an upload
constexpr size_t kSlowBytes = 16 << 10;     // a sender whose pieces are smaller is not waited for
constexpr size_t kKeptBytes = 16 << 10;     // of buffer, while a connection is idle
// After an early refusal the rest of the request is read and dropped up to here: a client that is still
// sending would otherwise see a reset instead of the answer.
constexpr uint64_t kLingerBytes = 256u << 20;
constexpr milliseconds kLingerTime{5000};
constexpr milliseconds kLingerTimeAtStop{200};
constexpr size_t kTlsPieceBytes = 128 << 10;

std::string_view http_date() {
  thread_local time_t last = 0;
  thread_local char text[64];
  time_t now = time(nullptr);
  if (now != last) {
    struct tm parts{};
    gmtime_r(&now, &parts);
    strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts);
    last = now;
  }
  return text;
}

// A header value must not end its line early.
void append_field(std::string& head, std::string_view name, std::string_view value) {
  head.append(name).append(": ");
  for (char c : value) head += c == '\r' || c == '\n' || c == '\0' ? ' ' : c;
  head += "\r\n";
}

// Within a millisecond.
bool comes_soon(int socket) {
  pollfd entry{socket, POLLIN | POLLRDHUP, 0};
  return ::poll(&entry, 1, 1) > 0;
}

bool has_body(int status) { return status >= 200 && status != 204 && status != 304; }

uint64_t body_size(const HttpResponse& response) {
  const auto* text = std::get_if<std::string>(&response.body);
  return text ? text->size() : std::get<FileBody>(response.body).size;
}

}  // namespace

// Lives as long as a copy of the Respond function; answers 500 when nobody else did.
struct Responder {
  std::shared_ptr<HttpConnection> connection;
  std::atomic<bool> answered{false};

  explicit Responder(std::shared_ptr<HttpConnection> c) : connection(std::move(c)) {}
  ~Responder() { give(HttpResponse::text(500, "The request was not answered.\n")); }
  void give(HttpResponse response) {
    if (!answered.exchange(true)) connection->answer(std::move(response));
  }
};

HttpConnection::HttpConnection(std::shared_ptr<ServerShared> shared, Fd socket, std::string peer,
                               std::unique_ptr<TlsSession> tls)
    : shared_(std::move(shared)),
      socket_(std::move(socket)),
      peer_(std::move(peer)),
      tls_(std::move(tls)),
      reader_(shared_->options.max_header_bytes, shared_->options.max_body_bytes) {
  int on = 1;
  setsockopt(socket_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  set_deadline(shared_->options.idle_timeout);
}

HttpConnection::~HttpConnection() { discard_body_file(); }

void HttpConnection::set_deadline(milliseconds from_now) {
  deadline_ns_.store((Clock::now() + from_now).time_since_epoch() / std::chrono::nanoseconds(1));
}

void HttpConnection::check_deadline(Clock::time_point now) {
  int64_t now_ns = now.time_since_epoch() / std::chrono::nanoseconds(1);
  int64_t deadline = deadline_ns_.load();
  constexpr int64_t kSecond = 1'000'000'000;
  if (now_ns < deadline || !deadline_ns_.compare_exchange_strong(deadline, now_ns + kSecond)) return;
  // The worker finds the end of input (or a broken pipe) and, seeing timed_out_, knows why. Only the reading
  // side is closed first, so that 408 can still be sent; if that does not go out either, the next time is
  // final.
  bool again = timed_out_.exchange(true);
  ::shutdown(socket_.get(), again ? SHUT_RDWR : SHUT_RD);
}

void HttpConnection::close_if_idle() {
  if (idle_.load()) ::shutdown(socket_.get(), SHUT_RDWR);
}

void HttpConnection::close_now() { ::shutdown(socket_.get(), SHUT_RDWR); }

void HttpConnection::end_stream() {
  if (streaming_.load(std::memory_order_acquire)) stream_->end();
}

void HttpConnection::close() {
  std::shared_ptr<HttpConnection> self = shared_from_this();
  if (stream_) stream_->client_left();
  {
    std::lock_guard lock(shared_->mutex);
    shared_->connections.erase(this);
    if (shared_->connections.empty()) shared_->emptied.notify_all();
  }
  if ((phase_ == Phase::kWriting || phase_ == Phase::kStreaming) && timed_out_) {
    // The kernel would keep what is unsent, and go on trying, for minutes.
    struct linger at_once{1, 0};
    setsockopt(socket_.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  }
  socket_.reset();
}

void HttpConnection::run() {
  (void)handed_over_.load(std::memory_order_acquire);
  std::shared_ptr<HttpConnection> self = shared_from_this();
  for (Next next = Next::kContinue; next == Next::kContinue;) {
    switch (phase_) {
      case Phase::kReading:
        next = read_request();
        break;
      case Phase::kHandling:
        next = dispatch();
        break;
      case Phase::kWriting:
        next = write_response();
        break;
      case Phase::kStreaming:
        next = stream();
        break;
      case Phase::kLingering:
        next = linger();
        break;
    }
    if (next == Next::kClosed) close();
  }
}

// After this another thread may run the connection: nothing of it may be touched.
HttpConnection::Next HttpConnection::wait_for(Interest interest) {
  epoll_event event{};
  event.events = (interest == Interest::kRead ? EPOLLIN | EPOLLRDHUP : EPOLLOUT) | EPOLLONESHOT;
  event.data.ptr = this;
  int epoll = shared_->epoll.get();
  int socket = socket_.get();
  handed_over_.store(true, std::memory_order_release);
  epoll_ctl(epoll, EPOLL_CTL_MOD, socket, &event);
  return Next::kWait;
}

HttpConnection::Next HttpConnection::read_request() {
  if (tls_ && !tls_->outgoing().empty()) {  // a handshake's
    if (Next next = flush_tls(); next != Next::kContinue) return next;
  }
  if (consumed_ < pending_.size() && !starved_) {
    Next next = feed();
    if (next != Next::kWait) return next;
    starved_ = true;
  }
  return timed_out_ ? on_end_of_input() : receive();
}

HttpConnection::Next HttpConnection::receive() {
  if (!tls_ && reader_.file_bytes_left() > 0) return receive_into_file();
  thread_local std::string scratch(kReceiveBytes, '\0');
  ssize_t got = ::recv(socket_.get(), scratch.data(), scratch.size(), MSG_DONTWAIT);
  if (got < 0 && errno == EINTR) return Next::kContinue;
  if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return wait_for(Interest::kRead);
  if (got < 0) return Next::kClosed;
  if (got == 0) return on_end_of_input();
  // A header has one deadline, from its first byte on; a body may take as long as it makes progress.
  bool begins = idle_.exchange(false);
  if (begins) returns_at_once_ = Clock::now() < answered_at_ + AnsweredHere::kReturnTime;
  if (begins || in_body_) set_deadline(shared_->options.read_timeout);
  pending_.erase(0, consumed_);
  consumed_ = 0;
  starved_ = false;
  std::string_view bytes(scratch.data(), static_cast<size_t>(got));
  if (tls_) {
    tls_->put_received(bytes);
    return decrypt();
  }
  pending_.append(bytes);
  return Next::kContinue;
}

HttpConnection::Next HttpConnection::receive_into_file() {
  thread_local SplicePipe pipe;
  SplicePipe::Moved moved = pipe.move(socket_.get(), reader_.body_file(),
                                      std::min<uint64_t>(reader_.file_bytes_left(), kSpliceBytes));
  if (moved.file_error != 0) return refuse(507, errno_error("store the body", moved.file_error).message);
  switch (moved.socket_error) {
    case 0:
      break;
    case EINTR:
      return Next::kContinue;
    case EAGAIN:
      // Handing over to the next free thread takes longer than a fast sender's next piece.
      if (filed_at_once_ > 0 && comes_soon(socket_.get())) return Next::kContinue;
      filed_at_once_ = 0;
      return wait_for(Interest::kRead);
    default:
      return Next::kClosed;
  }
  if (moved.bytes == 0) return on_end_of_input();
  set_deadline(shared_->options.read_timeout);
  if (reader_.filed(moved.bytes) == RequestReader::Step::kDone) {
    phase_ = Phase::kHandling;
    return Next::kContinue;
  }
  // Now and then others come first: the few threads that read from the network serve everybody.
  bool is_slow = moved.bytes < kSlowBytes;
  filed_at_once_ = is_slow ? 0 : filed_at_once_ + moved.bytes;
  if (filed_at_once_ < kMostAtOnce) return Next::kContinue;
  filed_at_once_ = 0;
  return wait_for(Interest::kRead);
}

HttpConnection::Next HttpConnection::decrypt() {
  thread_local std::string scratch(kReceiveBytes, '\0');
  for (;;) {
    auto got = tls_->read(scratch);
    if (got && *got == 0) return flush_tls();
    if (!got) {
      (void)send_outgoing();  // an alert that says why
      return Next::kClosed;
    }
    pending_.append(scratch.data(), *got);
  }
}

// kContinue: everything is with the kernel. kWait: it takes no more now.
HttpConnection::Next HttpConnection::send_outgoing() {
  for (std::string_view bytes; !(bytes = tls_->outgoing()).empty();) {
    ssize_t wrote = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (wrote >= 0) {
      tls_->sent(static_cast<size_t>(wrote));
      if (phase_ == Phase::kWriting || phase_ == Phase::kStreaming)
        set_deadline(shared_->options.read_timeout);
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      return Next::kWait;
    } else if (errno != EINTR) {
      return Next::kClosed;
    }
  }
  return Next::kContinue;
}

HttpConnection::Next HttpConnection::flush_tls() {
  Next next = send_outgoing();
  return next == Next::kWait ? wait_for(Interest::kWrite) : next;
}

HttpConnection::Next HttpConnection::encrypt(std::string_view bytes) {
  return tls_->write(bytes) ? Next::kContinue : Next::kClosed;
}

HttpConnection::Next HttpConnection::on_end_of_input() {
  if (timed_out_ && reader_.started()) return refuse(408, "the request did not arrive in time");
  return Next::kClosed;
}

// kWait here: more bytes are needed.
HttpConnection::Next HttpConnection::feed() {
  for (;;) {
    size_t used = 0;
    std::string_view bytes = std::string_view(pending_).substr(consumed_);
    RequestReader::Step step = reader_.feed(bytes, used);
    consumed_ += used;
    switch (step) {
      case RequestReader::Step::kNeedMore:
        return Next::kWait;
      case RequestReader::Step::kFailed:
        return refuse(reader_.status(), reader_.problem());
      case RequestReader::Step::kHeader:
        if (Next next = on_header(); next != Next::kWait) return next;
        break;
      case RequestReader::Step::kDone:
        phase_ = Phase::kHandling;
        return Next::kContinue;
    }
  }
}

// kWait here: go on with the body.
HttpConnection::Next HttpConnection::on_header() {
  const auto& options = shared_->options;
  in_body_ = true;
  keep_alive_ = reader_.keep_alive();
  head_only_ = reader_.request().method == "HEAD";
  reader_.came_from(peer_);
  if (options.turn_away)
    if (auto answer = options.turn_away(reader_.request())) return refuse(std::move(*answer));
  if (options.spool_body && options.spool_body(reader_.request())) {
    fs::path file = options.spool_dir / fmt::format("body-{:016x}", random_u64());
    if (auto opened = reader_.spool_to(file); !opened) return refuse(507, opened.error().message);
    body_file_ = file;
  }
  if (reader_.wants_continue()) {
    size_t used = 0;
    if (reader_.feed({}, used) == RequestReader::Step::kFailed)
      return refuse(reader_.status(), reader_.problem());
    constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
    if (tls_) {
      if (Next next = encrypt(kContinue); next != Next::kContinue) return next;
      if (send_outgoing() == Next::kClosed) return Next::kClosed;
    } else if (::send(socket_.get(), kContinue.data(), kContinue.size(), MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
      return Next::kClosed;
    }
  }
  return Next::kWait;
}

HttpConnection::Next HttpConnection::refuse(int status, std::string_view problem) {
  return refuse(HttpResponse::text(status, fmt::format("{}: {}\n", reason_phrase(status), problem)));
}

HttpConnection::Next HttpConnection::refuse(HttpResponse answer) {
  keep_alive_ = false;
  prepare(std::move(answer));
  phase_ = Phase::kWriting;
  return Next::kContinue;
}

HttpConnection::Next HttpConnection::dispatch() {
  HttpRequest request = reader_.take();
  deadline_ns_ = INT64_MAX;
  answer_ = Answer::kPending;
  if (!shared_->workers || shared_->options.is_quick(request)) {
    handle(std::move(request));
  } else {
    auto moved = std::make_shared<HttpRequest>(std::move(request));
    shared_->workers->post([self = shared_from_this(), moved] {
      self->handle(std::move(*moved));
      self->shared_->settle_wholly();
    });
  }
  // Parked: whoever answers goes on. Given: it was answered in the meantime, by this thread or another.
  return answer_.exchange(Answer::kParked) == Answer::kGiven ? Next::kContinue : Next::kWait;
}

void HttpConnection::handle(HttpRequest request) {
  auto responder = std::make_shared<Responder>(shared_from_this());
  try {
    shared_->handler(std::move(request),
                     [responder](HttpResponse response) { responder->give(std::move(response)); });
  } catch (const std::exception& e) {
    log_error("a request's handler failed: {}", e.what());
    responder->give(HttpResponse::text(500, "Internal error.\n"));
  }
}

void HttpConnection::answer(HttpResponse response) {
  prepare(std::move(response));
  phase_ = Phase::kWriting;
  if (answer_.exchange(Answer::kGiven) == Answer::kPending) return;
  // A worker of the caller's must not be made to handle the next request: write what goes out at once, and
  // leave the rest to the server's own threads.
  Next next = write_response();
  if (next == Next::kClosed) close();
  if (next != Next::kContinue) return;
  bool has_more = consumed_ < pending_.size();
  if (auto* gathering = AnsweredHere::current(); gathering && !has_more) {
    gathering->add(shared_from_this());
  } else {
    listen();
  }
}

void HttpConnection::prepare(HttpResponse response) {
  discard_body_file();
  response_ = std::move(response);
  if (auto* stream = std::get_if<std::shared_ptr<ResponseStream>>(&response_.body)) stream_ = *stream;
  if (shared_->stopping || stream_) keep_alive_ = false;
  head_ = fmt::format("HTTP/1.1 {} {}\r\nDate: {}\r\n", response_.status, reason_phrase(response_.status),
                      http_date());
  for (const auto& [name, value] : response_.headers) append_field(head_, name, value);
  if (has_body(response_.status) && !stream_)
    head_ += fmt::format("Content-Length: {}\r\n", body_size(response_));
  head_ += keep_alive_ ? "\r\n" : "Connection: close\r\n\r\n";
  if (head_only_ || !has_body(response_.status)) {
    response_.body = std::string();
    if (stream_) std::exchange(stream_, nullptr)->end();
  }
  sent_ = 0;
  set_deadline(shared_->options.read_timeout);
}

HttpConnection::Next HttpConnection::write_response() {
  for (;;) {
    if (tls_) {
      if (Next next = flush_tls(); next != Next::kContinue) return next;
    }
    const std::string* text = std::get_if<std::string>(&response_.body);
    size_t in_memory = head_.size() + (text ? text->size() : 0);
    bool memory_done = sent_ >= in_memory;
    if (memory_done && stream_) return begin_stream();
    if (memory_done && (text || std::get<FileBody>(response_.body).size == 0)) return after_response();
    Next next = Next::kContinue;
    if (tls_) {
      next = memory_done ? encrypt_file_part() : encrypt_head_and_text();
    } else {
      next = memory_done ? send_file_part() : send_head_and_text();
    }
    if (next != Next::kContinue) return next;
  }
}

// A piece at a time: what is encrypted waits in memory until the client has taken it.
HttpConnection::Next HttpConnection::encrypt_head_and_text() {
  const std::string* text = std::get_if<std::string>(&response_.body);
  bool in_head = sent_ < head_.size();
  std::string_view rest =
      in_head ? std::string_view(head_).substr(sent_) : std::string_view(*text).substr(sent_ - head_.size());
  rest = rest.substr(0, kTlsPieceBytes);
  sent_ += rest.size();
  return encrypt(rest);
}

HttpConnection::Next HttpConnection::encrypt_file_part() {
  FileBody& file = std::get<FileBody>(response_.body);
  std::string piece(std::min<uint64_t>(file.size, kTlsPieceBytes), '\0');
  ssize_t got = ::pread(file.file.get(), piece.data(), piece.size(), static_cast<off_t>(file.offset));
  if (got < 0 && errno == EINTR) return Next::kContinue;
  if (got <= 0) return Next::kClosed;  // the file became shorter: the promised length cannot be kept
  file.offset += static_cast<uint64_t>(got);
  file.size -= static_cast<uint64_t>(got);
  return encrypt(std::string_view(piece).substr(0, static_cast<size_t>(got)));
}

HttpConnection::Next HttpConnection::send_head_and_text() {
  const std::string* text = std::get_if<std::string>(&response_.body);
  size_t head_sent = std::min(sent_, head_.size());
  size_t text_sent = sent_ - head_sent;
  iovec parts[2] = {{head_.data() + head_sent, head_.size() - head_sent}, {nullptr, 0}};
  if (text) parts[1] = {const_cast<char*>(text->data()) + text_sent, text->size() - text_sent};
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = 2;
  bool file_follows = std::holds_alternative<FileBody>(response_.body);
  int flags = MSG_NOSIGNAL | MSG_DONTWAIT | (file_follows ? MSG_MORE : 0);
  ssize_t wrote = ::sendmsg(socket_.get(), &message, flags);
  if (wrote < 0 && errno == EINTR) return Next::kContinue;
  if (wrote < 0) return errno == EAGAIN || errno == EWOULDBLOCK ? wait_for(Interest::kWrite) : Next::kClosed;
  sent_ += static_cast<size_t>(wrote);
  set_deadline(shared_->options.read_timeout);
  return Next::kContinue;
}

HttpConnection::Next HttpConnection::send_file_part() {
  FileBody& file = std::get<FileBody>(response_.body);
  off_t offset = static_cast<off_t>(file.offset);
  ssize_t wrote = ::sendfile(socket_.get(), file.file.get(), &offset, std::min<uint64_t>(file.size, 1 << 20));
  if (wrote < 0 && errno == EINTR) return Next::kContinue;
  if (wrote < 0) return errno == EAGAIN || errno == EWOULDBLOCK ? wait_for(Interest::kWrite) : Next::kClosed;
  if (wrote == 0) return Next::kClosed;  // the file became shorter: the promised length cannot be kept
  file.offset += static_cast<uint64_t>(wrote);
  file.size -= static_cast<uint64_t>(wrote);
  set_deadline(shared_->options.read_timeout);
  return Next::kContinue;
}

HttpConnection::Next HttpConnection::begin_stream() {
  phase_ = Phase::kStreaming;
  streaming_.store(true, std::memory_order_release);
  // A stop that came before has not seen it.
  if (shared_->stopping) stream_->end();
  return stream();
}

// Until the stream has nothing to send: the next write() goes on, on its own thread.
HttpConnection::Next HttpConnection::stream() {
  for (;;) {
    if (tls_) {
      if (Next next = flush_tls(); next != Next::kContinue) return next;
    }
    if (!piece_.empty()) {
      if (Next next = send_piece(); next != Next::kContinue) return next;
      continue;
    }
    // Nobody looks at what a client of a stream sends, but at whether it is still there.
    char byte = 0;
    bool left = ::recv(socket_.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0 || timed_out_;
    deadline_ns_ = INT64_MAX;
    handed_over_.store(true, std::memory_order_release);
    if (left) return Next::kClosed;
    // Parked, it belongs to another thread: nothing of it may be touched any more.
    switch (stream_->next(piece_, shared_from_this())) {
      case ResponseStream::Next::kSend:
        set_deadline(shared_->options.read_timeout);
        break;
      case ResponseStream::Next::kPark:
        return Next::kWait;
      case ResponseStream::Next::kEnd:
        return after_response();
      case ResponseStream::Next::kCut:
        return Next::kClosed;
    }
  }
}

HttpConnection::Next HttpConnection::send_piece() {
  if (tls_) {
    std::string piece = std::exchange(piece_, {});
    return encrypt(piece);
  }
  ssize_t wrote = ::send(socket_.get(), piece_.data(), piece_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (wrote < 0 && errno == EINTR) return Next::kContinue;
  if (wrote < 0) return errno == EAGAIN || errno == EWOULDBLOCK ? wait_for(Interest::kWrite) : Next::kClosed;
  piece_.erase(0, static_cast<size_t>(wrote));
  set_deadline(shared_->options.read_timeout);
  return Next::kContinue;
}

HttpConnection::Next HttpConnection::after_response() {
  response_ = {};
  timed_out_ = false;
  if (!keep_alive_) {
    if (tls_) {
      tls_->say_goodbye();
      (void)send_outgoing();
    }
    ::shutdown(socket_.get(), SHUT_WR);
    set_deadline(shared_->stopping ? kLingerTimeAtStop : kLingerTime);
    lingered_ = 0;
    idle_ = true;
    phase_ = Phase::kLingering;
    return Next::kContinue;
  }
  phase_ = Phase::kReading;
  in_body_ = starved_ = false;
  if (consumed_ == pending_.size()) {
    consumed_ = 0;
    pending_.clear();
    if (pending_.capacity() > kKeptBytes) std::string().swap(pending_);
  }
  reader_ = RequestReader(shared_->options.max_header_bytes, shared_->options.max_body_bytes);
  answered_at_ = Clock::now();
  set_deadline(shared_->options.idle_timeout);
  idle_ = consumed_ == pending_.size();
  // A stop that came before idle_ was set has not seen this connection as idle.
  return shared_->stopping && idle_ ? Next::kClosed : Next::kContinue;
}

HttpConnection::Next HttpConnection::linger() {
  thread_local std::string scratch(kReceiveBytes, '\0');
  ssize_t got = ::recv(socket_.get(), scratch.data(), scratch.size(), MSG_DONTWAIT);
  if (got < 0 && errno == EINTR) return Next::kContinue;
  if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return wait_for(Interest::kRead);
  if (got <= 0) return Next::kClosed;
  lingered_ += static_cast<uint64_t>(got);
  return lingered_ > kLingerBytes ? Next::kClosed : Next::kContinue;
}

void HttpConnection::discard_body_file() {
  if (!body_file_.empty()) ::unlink(body_file_.c_str());
  body_file_.clear();
}

}  // namespace tidemill
