// The connections that a thread answers while it gathers. Their clients' next requests are often there by the
// time that all are answered, or come at once: who reads them itself wakes no other thread.
#pragma once

#include <chrono>
#include <memory>
#include <vector>

namespace tidemill {

class HttpConnection;

class AnsweredHere {
 public:
  // A client that sends its next request within this time after an answer is waited for as long, by a thread
  // that stays awake: to sleep and be woken takes half as long, for client and server alike.
  static constexpr std::chrono::microseconds kReturnTime{200};

  // Gathers what this thread answers until read_on().
  AnsweredHere();
  ~AnsweredHere();
  AnsweredHere(const AnsweredHere&) = delete;
  AnsweredHere& operator=(const AnsweredHere&) = delete;

  static AnsweredHere* current();  // of this thread; null when it does not gather
  void add(std::shared_ptr<HttpConnection> connection);
  bool empty() const { return connections_.empty(); }
  // Ends the gathering and runs those whose next request comes; the others go back to epoll.
  void read_on();

 private:
  void run_ready();

  std::vector<std::shared_ptr<HttpConnection>> connections_;
};

}  // namespace tidemill
