#include "net/answered_here.h"

#include <poll.h>

#include <algorithm>

#include "net/http_connection.h"

namespace tidemill {

static thread_local AnsweredHere* answered_here = nullptr;

AnsweredHere::AnsweredHere() { answered_here = this; }

AnsweredHere::~AnsweredHere() { answered_here = nullptr; }

AnsweredHere* AnsweredHere::current() { return answered_here; }

void AnsweredHere::add(std::shared_ptr<HttpConnection> connection) {
  connections_.push_back(std::move(connection));
}

void AnsweredHere::read_on() {
  answered_here = nullptr;
  auto returns_at_once = [](const auto& connection) { return connection->returns_at_once(); };
  auto end = std::chrono::steady_clock::now() + kReturnTime;
  do {
    run_ready();
  } while (std::any_of(connections_.begin(), connections_.end(), returns_at_once) &&
           std::chrono::steady_clock::now() < end);
  for (auto& connection : std::exchange(connections_, {})) connection->listen();
}

void AnsweredHere::run_ready() {
  std::vector<pollfd> sockets;
  for (auto& connection : connections_) sockets.push_back({connection->socket(), POLLIN | POLLRDHUP, 0});
  if (::poll(sockets.data(), sockets.size(), 0) <= 0) return;
  std::vector<std::shared_ptr<HttpConnection>> rest;
  for (size_t i = 0; i < sockets.size(); ++i) {
    if (sockets[i].revents == 0) {
      rest.push_back(std::move(connections_[i]));
    } else {
      connections_[i]->run();
    }
  }
  connections_ = std::move(rest);
}

}  // namespace tidemill
