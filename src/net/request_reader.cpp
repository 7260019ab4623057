#include "net/request_reader.h"

#include <fcntl.h>

#include <algorithm>

#include <boost/beast/http/fields.hpp>
#include <boost/beast/http/parser.hpp>

#include "base/text.h"
#include "net/body_sink.h"

namespace tidemill {
namespace {

namespace http = boost::beast::http;
using boost::system::error_code;

// "http://host/path" (absolute form, RFC 9112 3.2.2) becomes "/path".
std::string_view origin_form(std::string_view target) {
  size_t scheme = target.find("://");
  if (target.starts_with('/') || scheme == std::string_view::npos) return target;
  size_t path = target.find('/', scheme + 3);
  return path == std::string_view::npos ? "/" : target.substr(path);
}

int status_of(const error_code& error) {
  if (error == http::error::body_limit) return 413;
  if (error == http::error::header_limit) return 431;
  if (error == http::error::buffer_overflow) return 507;
  return error == http::error::bad_version ? 505 : 400;
}

}  // namespace

struct RequestReader::Parser : http::request_parser<SinkBody> {};

RequestReader::RequestReader(uint32_t max_header_bytes, uint64_t max_body_bytes)
    : parser_(std::make_unique<Parser>()),
      max_header_bytes_(max_header_bytes),
      max_body_bytes_(max_body_bytes) {
  parser_->header_limit(max_header_bytes);
  parser_->body_limit(boost::none);
  parser_->eager(false);
}

RequestReader::RequestReader(RequestReader&&) noexcept = default;
RequestReader& RequestReader::operator=(RequestReader&&) noexcept = default;
RequestReader::~RequestReader() = default;

RequestReader::Step RequestReader::fail(int status, std::string problem) {
  status_ = status;
  problem_ = std::move(problem);
  return Step::kFailed;
}

RequestReader::Step RequestReader::feed(std::string_view bytes, size_t& used) {
  used = 0;
  if (status_ != 0) return Step::kFailed;
  if (parser_->is_header_done()) return feed_body(bytes, used);
  // Empty lines in front of a request are to be skipped (RFC 9112 2.2).
  while (!started_ && used < bytes.size() && (bytes[used] == '\r' || bytes[used] == '\n')) ++used;
  if (used == bytes.size()) return Step::kNeedMore;
  started_ = true;
  error_code error;
  used += parser_->put(boost::asio::const_buffer(bytes.data() + used, bytes.size() - used), error);
  header_bytes_ += used;
  bool too_long = header_bytes_ > max_header_bytes_ || (error && bytes.size() - used > max_header_bytes_);
  if (too_long) error = http::error::header_limit;
  if (error == http::error::need_more) return Step::kNeedMore;
  if (error) return fail(status_of(error), error.message());
  return read_header();
}

RequestReader::Step RequestReader::read_header() {
  const auto& message = parser_->get();
  request_.method = message.method_string();
  std::string_view target(message.target().data(), message.target().size());
  request_.target = target;
  std::string_view origin = origin_form(target);
  size_t question = std::min(origin.find('?'), origin.size());
  request_.path = origin.substr(0, question);
  if (question < origin.size()) request_.query = parse_query(origin.substr(question + 1));
  for (const auto& field : message) request_.headers.add(field.name_string(), field.value());
  keep_alive_ = message.version() >= 11 && message.keep_alive();
  if (message.version() >= 11 && message.count(http::field::host) != 1)
    return fail(400, "exactly one Host header is required");
  if (message.count(http::field::transfer_encoding) > 0 && !message.chunked())
    return fail(501, "only the chunked transfer encoding is known");
  std::string_view expect = request_.headers.get("Expect");
  if (!expect.empty() && to_lower(expect) != "100-continue")
    return fail(417, "only 100-continue can be expected");
  wants_continue_ = !expect.empty() && message.version() >= 11 && !parser_->is_done();
  parser_->get().body().limit = max_body_bytes_;
  parser_->eager(true);
  return Step::kHeader;
}

RequestReader::Step RequestReader::feed_body(std::string_view bytes, size_t& used) {
  auto& sink = parser_->get().body();
  if (known_length_to_file_) return feed_file(bytes, used);
  if (!parser_->is_done() && parser_->content_length() && *parser_->content_length() > sink.limit)
    return fail(413, "the body is too large");
  while (!parser_->is_done()) {
    if (used == bytes.size()) return Step::kNeedMore;
    error_code error;
    used += parser_->put(boost::asio::const_buffer(bytes.data() + used, bytes.size() - used), error);
    if (error == http::error::need_more) {
      if (bytes.size() - used > max_header_bytes_) return fail(400, "a chunk's header is too long");
      return Step::kNeedMore;
    }
    if (error)
      return fail(status_of(error), sink.write_problem.empty() ? error.message() : sink.write_problem);
  }
  return Step::kDone;
}

Result<> RequestReader::spool_to(const fs::path& file) {
  parser_->get().body().file = TRY(open_file(file, O_WRONLY | O_CREAT | O_TRUNC, 0644));
  parser_->get().body().limit = UINT64_MAX;
  request_.body_file = file;
  known_length_to_file_ = parser_->content_length().has_value();
  if (known_length_to_file_) file_bytes_left_ = *parser_->content_length();
  return {};
}

int RequestReader::body_file() const { return parser_->get().body().file.get(); }

RequestReader::Step RequestReader::filed(uint64_t bytes) {
  file_bytes_left_ -= std::min(bytes, file_bytes_left_);
  uint64_t size = *parser_->content_length();
  writeback_.advanced(body_file(), size - file_bytes_left_, size);
  return file_bytes_left_ == 0 ? Step::kDone : Step::kNeedMore;
}

RequestReader::Step RequestReader::feed_file(std::string_view bytes, size_t& used) {
  std::string_view taken = bytes.substr(0, file_bytes_left_);
  if (auto written = write_all(parser_->get().body().file, taken); !written)
    return fail(507, std::move(written).error().message);
  used = taken.size();
  return filed(taken.size());
}

HttpRequest RequestReader::take() {
  request_.body = std::move(parser_->get().body().text);
  parser_->get().body().file.reset();
  return std::move(request_);
}

}  // namespace tidemill
