// A response that goes on: whoever holds it writes to the client for as long as both like. No thread waits
// for either of them.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

namespace tidemill {

class HttpConnection;

class ResponseStream {
 public:
  // max_backlog: bytes kept for a client that does not read them; beyond it the stream is cut.
  explicit ResponseStream(size_t max_backlog = 256 << 10) : max_backlog_(max_backlog) {}

  // Sends at once what the connection takes and keeps the rest. False: the client is gone, or was cut off.
  // Never waits; may be called by any thread.
  bool write(std::string_view bytes);
  // The connection is closed when what is kept has been sent.
  void end();
  bool ended() const;

 private:
  friend class HttpConnection;

  // For the connection, whichever thread drives it.
  enum class Next { kSend, kPark, kEnd, kCut };
  // What is to be done now; kSend: bytes holds more to be sent. kPark: the connection is left to the next
  // write().
  Next next(std::string& bytes, const std::shared_ptr<HttpConnection>& connection);
  void client_left();

  const size_t max_backlog_;
  mutable std::mutex mutex_;
  std::string kept_;
  bool ended_ = false, cut_ = false;
  std::shared_ptr<HttpConnection> parked_;  // set while nothing drives it
};

}  // namespace tidemill
