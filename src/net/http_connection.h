// One connection of the HTTP server: reads requests, hands them out one at a time, writes the answers.
// Everything is non-blocking; a connection is driven by whichever worker gets its event (epoll, one shot).
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <string>

#include "net/http_server.h"
#include "net/request_reader.h"
#include "net/tls_session.h"
#include "net/worker_pool.h"

namespace tidemill {

// What the connections of one server share.
struct ServerShared {
  HttpServerOptions options;
  HttpHandler handler;
  std::optional<WorkerPool> workers;
  Fd epoll;
  std::atomic<bool> stopping{false};

  std::mutex mutex;  // guards the table; a connection's descriptor is closed only after it has left it
  std::condition_variable emptied;
  std::unordered_map<const void*, std::shared_ptr<class HttpConnection>> connections;

  // For threads that do not read from the network meanwhile.
  void settle_wholly() const {
    while (options.settle) {
      auto rest = options.settle();
      if (!rest) return;
      std::this_thread::sleep_for(*rest);
    }
  }
};

class HttpConnection : public std::enable_shared_from_this<HttpConnection> {
 public:
  // tls: nullptr for plain HTTP.
  HttpConnection(std::shared_ptr<ServerShared> shared, Fd socket, std::string peer,
                 std::unique_ptr<TlsSession> tls);
  ~HttpConnection();

  int socket() const { return socket_.get(); }
  // Its client usually sends the next request as soon as it is answered.
  bool returns_at_once() const { return returns_at_once_; }
  // Runs once there is something to read.
  void listen() { (void)wait_for(consumed_ < pending_.size() ? Interest::kWrite : Interest::kRead); }
  // Runs until the socket would block or the request has been handed to a handler that has not answered yet.
  void run();
  // For the thread that watches the clock, under the table's mutex: ends what has waited too long.
  void check_deadline(std::chrono::steady_clock::time_point now);
  // Under the table's mutex: ends the connection if it is between two requests or has had its last answer.
  void close_if_idle();
  // Under the table's mutex: ends it whatever it does.
  void close_now();
  // Ends the response if it is a stream.
  void end_stream();

 private:
  enum class Phase { kReading, kHandling, kWriting, kStreaming, kLingering };
  enum class Next { kContinue, kWait, kClosed };
  enum class Answer { kPending, kParked, kGiven };
  enum class Interest { kRead, kWrite };

  Next read_request();
  Next receive();
  Next receive_into_file();
  Next decrypt();
  Next send_outgoing();
  Next flush_tls();
  Next encrypt(std::string_view bytes);
  Next on_end_of_input();
  Next feed();
  Next on_header();
  Next dispatch();
  void handle(HttpRequest request);
  Next write_response();
  Next send_head_and_text();
  Next send_file_part();
  Next encrypt_head_and_text();
  Next encrypt_file_part();
  Next begin_stream();
  Next stream();
  Next send_piece();
  Next after_response();
  Next linger();
  Next refuse(int status, std::string_view problem);
  Next refuse(HttpResponse answer);
  Next wait_for(Interest interest);
  void answer(HttpResponse response);
  void prepare(HttpResponse response);
  void discard_body_file();
  void set_deadline(std::chrono::milliseconds from_now);
  void close();

  friend struct Responder;

  std::shared_ptr<ServerShared> shared_;
  Fd socket_;
  std::string peer_;
  std::unique_ptr<TlsSession> tls_;
  // Orders what one thread wrote before it waited with what the next one reads. The kernel orders it too, but
  // neither C++ nor ThreadSanitizer knows that of epoll_ctl.
  std::atomic<bool> handed_over_{false};
  Phase phase_ = Phase::kReading;
  RequestReader reader_;
  std::string pending_;   // received, not yet consumed
  size_t consumed_ = 0;   // of pending_
  bool starved_ = false;  // what is left in pending_ is of no use without more
  bool in_body_ = false;
  uint64_t filed_at_once_ = 0;  // bytes of a body that others have had to wait for
  bool keep_alive_ = true;
  bool head_only_ = false;
  fs::path body_file_;

  std::atomic<Answer> answer_{Answer::kPending};
  std::string head_;
  HttpResponse response_;
  size_t sent_ = 0;  // of head_ and the text body together
  uint64_t lingered_ = 0;
  std::shared_ptr<ResponseStream> stream_;  // before streaming_ is set
  std::atomic<bool> streaming_{false};
  std::string piece_;  // of the stream

  std::chrono::steady_clock::time_point answered_at_{};
  bool returns_at_once_ = false;
  std::atomic<int64_t> deadline_ns_;  // on the steady clock
  std::atomic<bool> idle_{true};
  std::atomic<bool> timed_out_{false};
};

}  // namespace tidemill
