#include "net/response_stream.h"

#include <utility>

#include "net/http_connection.h"

namespace tidemill {

bool ResponseStream::write(std::string_view bytes) {
  std::shared_ptr<HttpConnection> connection;
  bool cut = false;
  {
    std::lock_guard lock(mutex_);
    if (ended_) return false;
    if (kept_.size() + bytes.size() > max_backlog_) {
      cut = cut_ = ended_ = true;
      std::string().swap(kept_);
    } else {
      kept_.append(bytes);
    }
    connection = std::move(parked_);
  }
  if (connection) connection->run();
  return !cut && !ended();
}

void ResponseStream::end() {
  std::shared_ptr<HttpConnection> connection;
  {
    std::lock_guard lock(mutex_);
    ended_ = true;
    connection = std::move(parked_);
  }
  if (connection) connection->run();
}

bool ResponseStream::ended() const {
  std::lock_guard lock(mutex_);
  return ended_;
}

ResponseStream::Next ResponseStream::next(std::string& bytes,
                                          const std::shared_ptr<HttpConnection>& connection) {
  std::lock_guard lock(mutex_);
  if (cut_) return Next::kCut;
  if (!kept_.empty()) {
    bytes = std::exchange(kept_, {});
    return Next::kSend;
  }
  if (ended_) return Next::kEnd;
  parked_ = connection;
  return Next::kPark;
}

void ResponseStream::client_left() {
  std::lock_guard lock(mutex_);
  cut_ = ended_ = true;
  std::string().swap(kept_);
}

}  // namespace tidemill
