// One HTTP/1.1 request out of bytes as they come from the network (RFC 9112). No input or output but the
// file that a body may be spooled to.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "net/early_writeback.h"
#include "net/http_server.h"

namespace tidemill {

class RequestReader {
 public:
  enum class Step {
    kNeedMore,  // everything useful was consumed; feed more
    kHeader,    // the header is complete: look at request(), maybe spool_to(), then feed on
    kDone,      // take() the request; bytes behind it were not consumed
    kFailed,    // answer with status() and close; the rest of the stream means nothing
  };

  RequestReader(uint32_t max_header_bytes, uint64_t max_body_bytes);
  RequestReader(RequestReader&&) noexcept;
  RequestReader& operator=(RequestReader&&) noexcept;
  ~RequestReader();

  // Consumes a prefix of bytes. What it leaves must be given again, with more behind it.
  Step feed(std::string_view bytes, size_t& used);
  void came_from(std::string peer) { request_.peer = std::move(peer); }
  // The header's part of the request; valid from kHeader on.
  const HttpRequest& request() const { return request_; }
  // Sends the body to a new file; the limit of the body does not apply any more.
  Result<> spool_to(const fs::path& file);
  // The rest of a body of known length that goes to a file, in bytes, and the file's descriptor: the caller
  // may put bytes there by itself, instead of feeding them, and tell how many.
  uint64_t file_bytes_left() const { return file_bytes_left_; }
  int body_file() const;
  Step filed(uint64_t bytes);
  HttpRequest take();

  bool started() const { return started_; }        // any byte of this request has come
  bool keep_alive() const { return keep_alive_; }  // valid from kHeader on
  bool wants_continue() const { return wants_continue_; }
  int status() const { return status_; }  // valid after kFailed: 400, 413, 417, 431, 501, 505 or 507
  const std::string& problem() const { return problem_; }

 private:
  struct Parser;
  Step fail(int status, std::string problem);
  Step read_header();
  Step feed_body(std::string_view bytes, size_t& used);
  Step feed_file(std::string_view bytes, size_t& used);

  std::unique_ptr<Parser> parser_;
  uint32_t max_header_bytes_;
  uint64_t header_bytes_ = 0;
  uint64_t max_body_bytes_;
  bool known_length_to_file_ = false;
  uint64_t file_bytes_left_ = 0;
  EarlyWriteback writeback_;
  HttpRequest request_;
  bool started_ = false, keep_alive_ = false, wants_continue_ = false;
  int status_ = 0;
  std::string problem_;
};

}  // namespace tidemill
