#include "net/http_client.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/beast/http/fields.hpp>
#include <boost/beast/http/parser.hpp>

#include "base/base64.h"
#include "base/text.h"
#include "net/body_sink.h"
#include "net/cancel.h"
#include "net/socket_stream.h"

namespace tidemill {
namespace {

namespace http = boost::beast::http;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;

constexpr uint64_t kMaxBodyInMemory = uint64_t{1} << 30;
constexpr uint32_t kMaxHeaderBytes = 256 << 10;
constexpr size_t kBlockBytes = 256 << 10;
constexpr size_t kFileBlockBytes = 1 << 20;  // from or to a file, within the kernel
// Shorter than what servers usually allow an idle connection.
constexpr std::chrono::seconds kKeepIdle{55};
constexpr size_t kMaxIdle = 32;

bool is_idempotent(std::string_view method) {
  return method == "GET" || method == "HEAD" || method == "PUT" || method == "DELETE" || method == "OPTIONS";
}

// The offset in "bytes 100-199/1000", where the body of a 206 belongs in the file.
Result<off_t> offset_in_file(std::string_view content_range) {
  constexpr std::string_view kBytes = "bytes ";
  size_t dash = content_range.find('-');
  std::string digits(content_range.substr(0, std::min(dash, content_range.size())));
  if (!digits.starts_with(kBytes) || digits.size() > kBytes.size() + 18)
    return fail(Code::kUnavailable, "the server's Content-Range '{}' makes no sense", content_range);
  return static_cast<off_t>(std::strtoll(digits.c_str() + kBytes.size(), nullptr, 10));
}

struct Outgoing {
  std::string head;
  std::string_view body;
  Fd file;
  uint64_t size = 0;  // of the body
};

// One request and its response on one connection.
class Exchange {
 public:
  Exchange(SocketStream& stream, const ClientRequest& request) : stream_(stream), request_(request) {}

  Result<ClientResponse> run(Outgoing& outgoing);
  bool heard_anything() const { return heard_anything_; }
  bool reusable() const { return reusable_; }

 private:
  using Parser = http::response_parser<SinkBody>;

  Result<> write(Outgoing& outgoing);
  Result<> write_file(const Outgoing& outgoing);
  Result<> read_header(Parser& parser);
  Result<> read_body(Parser& parser);
  Result<> read_file(Parser& parser, uint64_t total);
  Result<> open_target(Parser& parser);
  Result<> put(Parser& parser);
  // After each piece; fast networks do not make anybody wait.
  Result<> report(uint64_t done, uint64_t total) const {
    if (request_.on_progress) request_.on_progress(done, total);
    return check_cancelled();
  }

  SocketStream& stream_;
  const ClientRequest& request_;
  std::string pending_;  // received, not yet parsed
  bool heard_anything_ = false;
  bool reusable_ = false;
};

Result<> Exchange::write(Outgoing& outgoing) {
  constexpr size_t kOnePiece = 64 << 10;
  if (!outgoing.file && outgoing.body.size() <= kOnePiece)
    return stream_.write(outgoing.head.append(outgoing.body), request_.timeout);
  TRY(stream_.write(outgoing.head, request_.timeout));
  if (outgoing.file && stream_.is_plain()) return write_file(outgoing);
  std::string block(outgoing.file ? kBlockBytes : 0, '\0');
  for (uint64_t done = 0; done < outgoing.size;) {
    std::string_view piece =
        outgoing.body.substr(std::min<uint64_t>(done, outgoing.body.size()), kBlockBytes);
    if (outgoing.file) {
      size_t want = std::min<uint64_t>(block.size(), outgoing.size - done);
      piece = {block.data(), TRY(read_some(outgoing.file, {block.data(), want}))};
      if (piece.empty())
        return fail(Code::kInvalid, "{} became shorter while it was sent", request_.body_file.string());
    }
    TRY(stream_.write(piece, request_.timeout));
    done += piece.size();
    TRY(report(done, outgoing.size));
  }
  return {};
}

Result<> Exchange::write_file(const Outgoing& outgoing) {
  for (uint64_t done = 0; done < outgoing.size;) {
    size_t sent = TRY(stream_.write_from(
        outgoing.file, std::min<uint64_t>(outgoing.size - done, kFileBlockBytes), request_.timeout));
    if (sent == 0)
      return fail(Code::kInvalid, "{} became shorter while it was sent", request_.body_file.string());
    done += sent;
    TRY(report(done, outgoing.size));
  }
  return {};
}

// Gives the parser what has been received, after receiving more if need be.
Result<> Exchange::put(Parser& parser) {
  error_code error = http::error::need_more;
  if (!pending_.empty()) {
    size_t used = parser.put(boost::asio::const_buffer(pending_.data(), pending_.size()), error);
    pending_.erase(0, used);
    if (!error) return {};
  }
  if (error == http::error::body_limit) return fail(Code::kInvalid, "the response is too large");
  if (error == http::error::buffer_overflow)
    return fail(Code::kUnavailable, "{}: {}", request_.save_to.string(), parser.get().body().write_problem);
  if (error != http::error::need_more || pending_.size() > kMaxHeaderBytes)
    return fail(Code::kUnavailable, "the response is not HTTP: {}", error.message());
  size_t have = pending_.size();
  pending_.resize(have + kBlockBytes);
  auto got = stream_.read({pending_.data() + have, kBlockBytes}, request_.timeout);
  pending_.resize(have + got.value_or(0));
  if (!got) return tl::unexpected<Error>(std::move(got).error());
  if (*got > 0) {
    heard_anything_ = true;
    return {};
  }
  if (parser.got_some()) parser.put_eof(error);
  if (error) return fail(Code::kUnavailable, "the server closed the connection in the middle of an answer");
  return {};
}

Result<> Exchange::read_header(Parser& parser) {
  parser.header_limit(kMaxHeaderBytes);
  parser.body_limit(boost::none);
  parser.skip(request_.method == "HEAD");
  parser.eager(false);
  while (!parser.is_header_done()) TRY(put(parser));
  return {};
}

Result<> Exchange::open_target(Parser& parser) {
  auto& sink = parser.get().body();
  int status = parser.get().result_int();
  sink.limit = kMaxBodyInMemory;
  if (request_.save_to.empty() || status < 200 || status > 299) return {};
  sink.limit = UINT64_MAX;
  off_t offset = 0;
  if (status == 206) offset = TRY(offset_in_file(std::string_view(parser.get()[http::field::content_range])));
  sink.file = TRY(open_file(request_.save_to, O_WRONLY | O_CREAT | (status == 206 ? 0 : O_TRUNC)));
  if (lseek(sink.file.get(), offset, SEEK_SET) < 0)
    return tl::unexpected<Error>(errno_error("seek in " + request_.save_to.string(), errno));
  return {};
}

Result<> Exchange::read_body(Parser& parser) {
  TRY(open_target(parser));
  uint64_t total = parser.content_length().value_or(0);
  const auto& sink = parser.get().body();
  if (total > sink.limit) return fail(Code::kInvalid, "the response is too large");
  if (sink.file && parser.content_length() && stream_.is_plain() && request_.method != "HEAD")
    return read_file(parser, total);
  parser.eager(true);
  while (!parser.is_done()) {
    TRY(put(parser));
    TRY(report(sink.size, total));
  }
  return {};
}

// The parser sees nothing of this body.
Result<> Exchange::read_file(Parser& parser, uint64_t total) {
  auto& sink = parser.get().body();
  std::string_view first = std::string_view(pending_).substr(0, total);
  TRY_IN(request_.save_to.string(), write_all(sink.file, first));
  sink.size = first.size();
  pending_.erase(0, first.size());
  while (sink.size < total) {
    size_t got = TRY(stream_.read_into(sink.file, std::min<uint64_t>(total - sink.size, kFileBlockBytes),
                                       request_.timeout));
    if (got == 0)
      return fail(Code::kUnavailable, "the server closed the connection in the middle of an answer");
    sink.size += got;
    TRY(report(sink.size, total));
  }
  return {};
}

Result<ClientResponse> Exchange::run(Outgoing& outgoing) {
  // A server may answer before it has read everything, and close: its answer counts then.
  auto written = write(outgoing);
  if (!written && written.error().code != Code::kUnavailable) return tl::unexpected<Error>(written.error());
  for (;;) {
    auto parser = std::make_unique<Parser>();
    auto header = read_header(*parser);
    if (!header) return tl::unexpected<Error>(written ? header.error() : written.error());
    const auto& message = parser->get();
    int status = message.result_int();
    if (status >= 100 && status < 200) continue;
    TRY(read_body(*parser));
    reusable_ = written && parser->keep_alive() && pending_.empty();
    ClientResponse response;
    response.status = status;
    for (const auto& field : message) response.headers.add(field.name_string(), field.value());
    response.body = std::move(parser->get().body().text);
    return response;
  }
}

}  // namespace

struct HttpClient::State {
  Url url;
  std::string prefix;         // the base URL's path, without a slash at its end
  std::string host;           // of the Host header
  std::string authorization;  // "" when the URL named no user
  std::shared_ptr<TlsContext> tls;

  struct Idle {
    std::unique_ptr<SocketStream> stream;
    Clock::time_point since;
  };
  std::mutex mutex;
  std::vector<Idle> idle;

  std::unique_ptr<SocketStream> take_idle();
  void give_back(std::unique_ptr<SocketStream> stream);
  Result<Outgoing> prepare(const ClientRequest& request) const;
  std::string place() const { return fmt::format("{}://{}", url.scheme, host); }
};

std::unique_ptr<SocketStream> HttpClient::State::take_idle() {
  std::lock_guard lock(mutex);
  while (!idle.empty()) {
    Idle newest = std::move(idle.back());
    idle.pop_back();
    if (Clock::now() - newest.since < kKeepIdle && !newest.stream->stale()) return std::move(newest.stream);
  }
  return nullptr;
}

void HttpClient::State::give_back(std::unique_ptr<SocketStream> stream) {
  std::lock_guard lock(mutex);
  if (idle.size() < kMaxIdle) idle.push_back({std::move(stream), Clock::now()});
}

Result<Outgoing> HttpClient::State::prepare(const ClientRequest& request) const {
  Outgoing out;
  out.body = request.body;
  out.size = request.body.size();
  if (!request.body_file.empty()) {
    out.file = TRY(open_file(request.body_file, O_RDONLY));
    struct stat info{};
    if (fstat(out.file.get(), &info) != 0 || !S_ISREG(info.st_mode))
      return fail(Code::kInvalid, "{} is not a file", request.body_file.string());
    auto size = static_cast<uint64_t>(info.st_size);
    out.size = request.body_size > 0 ? request.body_size : size - std::min(size, request.body_offset);
    if (request.body_offset + out.size > size ||
        lseek(out.file.get(), static_cast<off_t>(request.body_offset), SEEK_SET) < 0)
      return fail(Code::kInvalid, "{} is shorter than what is to be sent of it", request.body_file.string());
    out.body = {};
  }
  out.head = fmt::format("{} {}{} HTTP/1.1\r\nHost: {}\r\n", request.method, prefix, request.target,
                         request.host.empty() ? host : request.host);
  if (!request.headers.has("User-Agent")) out.head += "User-Agent: tidemill/" TIDEMILL_VERSION "\r\n";
  if (!authorization.empty() && !request.headers.has("Authorization"))
    out.head += fmt::format("Authorization: {}\r\n", authorization);
  if (out.size > 0 || request.method == "POST" || request.method == "PUT" || request.method == "PATCH")
    out.head += fmt::format("Content-Length: {}\r\n", out.size);
  for (const auto& [name, value] : request.headers) {
    if (std::any_of(value.begin(), value.end(), [](char c) { return c == '\r' || c == '\n' || c == '\0'; }))
      return fail(Code::kInvalid, "the value of header {} has a line break in it", name);
    out.head += fmt::format("{}: {}\r\n", name, value);
  }
  if (request.host.find_first_of(" \r\n") != std::string::npos)
    return fail(Code::kInvalid, "bad host '{}'", request.host);
  if (out.head.find_first_of(" \r\n", request.method.size() + 1) < out.head.find(" HTTP/1.1\r\n"))
    return fail(Code::kInvalid, "'{}' is not a request target; encode spaces as %20", request.target);
  out.head += "\r\n";
  return out;
}

Result<HttpClient> HttpClient::create(std::string_view base_url, const TlsTrust& trust) {
  auto state = std::make_unique<State>();
  Url& url = state->url;
  if (!parse_url(base_url, url))
    return fail(Code::kInvalid, "'{}' is not an http:// or https:// URL", base_url);
  state->prefix = url.target.substr(0, url.target.find('?'));
  while (state->prefix.ends_with('/')) state->prefix.pop_back();
  bool is_v6 = url.host.find(':') != std::string::npos;
  state->host = is_v6 ? "[" + url.host + "]" : url.host;
  if (url.port != (url.scheme == "http" ? "80" : "443")) state->host += ":" + url.port;
  if (!url.user.empty() || !url.password.empty())
    state->authorization = "Basic " + base64_encode(url.user + ":" + url.password);
  if (url.scheme == "https") state->tls = TRY(TlsContext::for_client(trust));
  return HttpClient(std::move(state));
}

HttpClient::HttpClient(std::unique_ptr<State> state) : state_(std::move(state)) {}
HttpClient::HttpClient(HttpClient&&) noexcept = default;
HttpClient& HttpClient::operator=(HttpClient&&) noexcept = default;
HttpClient::~HttpClient() = default;

Result<ClientResponse> HttpClient::send(const ClientRequest& request) {
  for (bool repeated = false;; repeated = true) {
    Outgoing outgoing = TRY(state_->prepare(request));
    std::unique_ptr<SocketStream> stream = repeated ? nullptr : state_->take_idle();
    bool was_idle = stream != nullptr;
    if (!stream) {
      auto connected = SocketStream::connect(state_->url, state_->tls, request.timeout);
      if (!connected)
        return tl::unexpected<Error>(std::move(connected).error().in("cannot connect to " + state_->place()));
      stream = std::move(*connected);
    }
    Exchange exchange(*stream, request);
    auto response = exchange.run(outgoing);
    if (response && exchange.reusable()) state_->give_back(std::move(stream));
    if (response) return response;
    bool closed_while_idle =
        was_idle && !exchange.heard_anything() && response.error().code == Code::kUnavailable;
    if (!closed_while_idle || !is_idempotent(request.method)) {
      std::string what = fmt::format("{} {}{}", request.method, state_->place(), request.target);
      return tl::unexpected<Error>(std::move(response).error().in(what));
    }
  }
}

}  // namespace tidemill
