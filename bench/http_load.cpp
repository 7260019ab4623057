#include "http_load.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <vector>

#include "base/files.h"
#include "base/text.h"
#include "base/time.h"

namespace tidemill::bench {
namespace {

using Clock = std::chrono::steady_clock;
constexpr size_t kReceiveBytes = 64 << 10;

struct Client {
  Fd socket;
  int64_t sent = 0;  // requests
  std::string request, body, answer;
  Clock::time_point since;
};

// The length of the whole answer once its header is there, 0 before.
Result<size_t> answer_size(std::string_view answer) {
  size_t end = answer.find("\r\n\r\n");
  if (end == std::string_view::npos) return size_t{0};
  std::string head = to_lower(answer.substr(0, end + 2));
  constexpr std::string_view kField = "\r\ncontent-length:";
  size_t field = head.find(kField);
  if (!head.starts_with("http/1.1 200") || field == std::string::npos)
    return fail(Code::kUnavailable, "the server answered: {}", answer.substr(0, 400));
  size_t length = 0;
  std::string_view digits = trim(std::string_view(head).substr(field + kField.size(), 16));
  std::from_chars(digits.data(), digits.data() + digits.size(), length);
  return end + 4 + length;
}

class Driver {
 public:
  explicit Driver(const Load& load) : load_(load), epoll_(epoll_create1(EPOLL_CLOEXEC)) {}

  Result<LoadFigures> run() {
    clients_.resize(static_cast<size_t>(load_.connections));
    for (size_t i = 0; i < clients_.size(); ++i) TRY(connect(i));
    Stopwatch watch;
    for (size_t i = 0; i < clients_.size(); ++i) TRY(send_next(i));
    while (watch.seconds() < load_.seconds) TRY(wait());
    double elapsed = watch.seconds();
    if (times_.empty()) return fail(Code::kTimeout, "no request was answered within {} s", load_.seconds);
    std::sort(times_.begin(), times_.end());
    return LoadFigures{static_cast<double>(times_.size()) / elapsed, times_[times_.size() / 2],
                       times_[times_.size() * 99 / 100], times_.back()};
  }

 private:
  Result<> connect(size_t index) {
    Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(load_.port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
      return tl::unexpected<Error>(errno_error("connect", errno));
    int on = 1;
    setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = index;
    epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, socket.get(), &event);
    clients_[index].socket = std::move(socket);
    return {};
  }

  // Blocks until all of it is in the socket's buffer: requests are smaller than that.
  Result<> send_next(size_t index) {
    Client& client = clients_[index];
    client.body.clear();
    std::string_view target = load_.target_of ? load_.target_of(client.sent) : load_.target;
    load_.write_body(static_cast<int>(index), client.sent++, client.body);
    client.request.clear();
    fmt::format_to(std::back_inserter(client.request),
                   "{} {} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Type: application/json\r\n"
                   "Content-Length: {}\r\n\r\n",
                   load_.method, target, load_.port, client.body.size());
    client.request += client.body;
    client.since = Clock::now();
    return write_all(client.socket, client.request);
  }

  Result<> wait() {
    epoll_event events[64];
    int ready = epoll_wait(epoll_.get(), events, 64, 100);
    for (int i = 0; i < ready; ++i) TRY(receive(events[i].data.u64));
    return {};
  }

  Result<> receive(size_t index) {
    Client& client = clients_[index];
    ssize_t got = ::recv(client.socket.get(), scratch_.data(), scratch_.size(), 0);
    if (got <= 0) return fail(Code::kUnavailable, "the server closed the connection");
    client.answer.append(scratch_.data(), static_cast<size_t>(got));
    size_t size = TRY(answer_size(client.answer));
    if (size == 0 || client.answer.size() < size) return {};
    client.answer.clear();
    times_.push_back(std::chrono::duration<double, std::milli>(Clock::now() - client.since).count());
    return send_next(index);
  }

  const Load& load_;
  Fd epoll_;
  std::vector<Client> clients_;
  std::vector<double> times_;  // ms
  std::string scratch_ = std::string(kReceiveBytes, '\0');
};

}  // namespace

Result<LoadFigures> run_load(const Load& load) { return Driver(load).run(); }

}  // namespace tidemill::bench
