#include "artifacts/s3_bucket.h"

#include <thread>

#include "base/hash.h"
#include "base/text.h"
#include "base/time.h"

namespace tidemill::artifacts {
namespace {

constexpr uint64_t kPartBytes = uint64_t{64} << 20;
constexpr uint64_t kMaxParts = 10'000;
constexpr int kAttempts = 3;
constexpr std::chrono::milliseconds kFirstPause{200};

Error problem_of(const ClientResponse& response, const std::string& what) {
  S3Problem problem = read_problem(response.body);
  std::string said = problem.code.empty() ? fmt::format("status {}", response.status)
                                          : fmt::format("{}: {}", problem.code, problem.message);
  Code code = Code::kInternal;
  if (response.status == 404)
    code = Code::kNotFound;
  else if (response.status == 401 || response.status == 403)
    code = Code::kDenied;
  else if (response.status == 429 || response.status >= 500)
    code = Code::kUnavailable;
  else if (response.status >= 400)
    code = Code::kInvalid;
  return {code, fmt::format("S3 {}: {}", what, said)};
}

// Names that a certificate for *.s3.amazonaws.com covers.
bool fits_a_host(std::string_view bucket) { return bucket.find('.') == std::string_view::npos; }

std::string xml_text(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '&')
      out += "&amp;";
    else if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else
      out += c;
  }
  return out;
}

}  // namespace

Result<S3Bucket> S3Bucket::open(std::string bucket, AwsConfig config) {
  bool is_name = !bucket.empty() && std::all_of(bucket.begin(), bucket.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_';
  });
  if (!is_name) return fail(Code::kInvalid, "'{}' is no name of an S3 bucket", bucket);
  std::string base = config.endpoint, path = fmt::format("/{}/", bucket);
  if (base.empty() && fits_a_host(bucket)) {
    base = fmt::format("https://{}.s3.{}.amazonaws.com", bucket, config.region);
    path = "/";
  } else if (base.empty()) {
    base = fmt::format("https://s3.{}.amazonaws.com", config.region);
  }
  while (base.ends_with('/')) base.pop_back();
  Url url;
  if (!parse_url(base, url) || url.target != "/")
    return fail(Code::kInvalid, "the S3 endpoint '{}' is not a URL like http://host:9000", base);
  std::string host = url.host.find(':') == std::string::npos ? url.host : "[" + url.host + "]";
  if (url.port != (url.scheme == "http" ? "80" : "443")) host += ":" + url.port;
  HttpClient client = TRY(HttpClient::create(base, config.trust));
  return S3Bucket(std::move(client), std::move(config), std::move(base), std::move(host), std::move(path));
}

std::string S3Bucket::path_of(const std::string& key) const { return path_ + url_encode(key, "/"); }

Result<ClientResponse> S3Bucket::send_once(const Call& call) const {
  ClientRequest request = call.request;
  request.method = call.method;
  request.host = host_;
  std::string time = aws_time(now_ms());
  AwsRequest to_sign{.method = call.method, .path = path_of(call.key), .query = call.query, .host = host_};
  if (request.body_file.empty()) to_sign.payload_hash = sha256_hex(request.body);
  to_sign.headers = {{"x-amz-content-sha256", to_sign.payload_hash}, {"x-amz-date", time}};
  if (!config_.keys.session_token.empty())
    to_sign.headers.emplace_back("x-amz-security-token", config_.keys.session_token);
  for (const auto& [name, value] : to_sign.headers) request.headers.add(name, value);
  request.headers.add("Authorization",
                      aws_authorization(to_sign, config_.keys, {config_.region, "s3"}, time));
  request.target = to_sign.path;
  if (!call.query.empty()) request.target += "?" + aws_query(call.query);
  return client_->send(request);
}

Result<ClientResponse> S3Bucket::send(const Call& call) const {
  std::chrono::milliseconds pause = kFirstPause;
  for (int attempt = 1;; ++attempt) {
    auto response = send_once(call);
    bool passing =
        response ? response->status >= 500 || response->status == 429
                 : response.error().code == Code::kUnavailable || response.error().code == Code::kTimeout;
    if (!passing || attempt == kAttempts) {
      if (!response || response->status < 400) return response;
      return tl::unexpected<Error>(problem_of(*response, fmt::format("{} {}", call.method, call.key)));
    }
    std::this_thread::sleep_for(pause);
    pause *= 4;
  }
}

Result<ClientResponse> S3Bucket::get(const std::string& key, const Headers& headers,
                                     const fs::path& save_to) const {
  Call call{.method = "GET", .key = key};
  call.request.headers = headers;
  call.request.save_to = save_to;
  return send(call);
}

Result<ClientResponse> S3Bucket::head(const std::string& key) const {
  return send({.method = "HEAD", .key = key});
}

Result<> S3Bucket::put(const std::string& key, std::string_view bytes) const {
  Call call{.method = "PUT", .key = key};
  call.request.body = bytes;
  TRY(send(call));
  return {};
}

Result<> S3Bucket::put_file(const std::string& key, const fs::path& file) const {
  std::error_code error;
  uint64_t size = fs::file_size(file, error);
  if (error) return tl::unexpected<Error>(errno_error(fmt::format("read {}", file.string()), error.value()));
  if (size > kPartBytes) {
    std::string id = TRY(begin_upload(key));
    auto sent = put_parts(key, id, file, size);
    if (!sent) static_cast<void>(abort_upload(key, id));
    return sent;
  }
  if (size == 0) return put(key, "");
  Call call{.method = "PUT", .key = key};
  call.request.body_file = file;
  TRY(send(call));
  return {};
}

Result<> S3Bucket::put_parts(const std::string& key, const std::string& id, const fs::path& file,
                             uint64_t size) const {
  uint64_t part_bytes = std::max(kPartBytes, (size + kMaxParts - 1) / kMaxParts);
  std::vector<Part> parts;
  for (uint64_t offset = 0; offset < size; offset += part_bytes) {
    int number = static_cast<int>(parts.size()) + 1;
    Call call{
        .method = "PUT", .key = key, .query = {{"partNumber", std::to_string(number)}, {"uploadId", id}}};
    call.request.body_file = file;
    call.request.body_offset = offset;
    call.request.body_size = std::min(part_bytes, size - offset);
    ClientResponse sent = TRY(send(call));
    parts.push_back({number, std::string(sent.headers.get("ETag"))});
  }
  return complete_upload(key, id, parts);
}

Result<> S3Bucket::remove(const std::string& key) const {
  TRY(send({.method = "DELETE", .key = key}));
  return {};
}

Result<S3Listing> S3Bucket::list(const std::string& prefix, const std::string& delimiter,
                                 const std::string& next) const {
  Call call{.method = "GET", .key = "", .query = {{"list-type", "2"}, {"prefix", prefix}}};
  if (!delimiter.empty()) call.query.emplace_back("delimiter", delimiter);
  if (!next.empty()) call.query.emplace_back("continuation-token", next);
  return read_listing(TRY(send(call)).body);
}

Result<std::string> S3Bucket::begin_upload(const std::string& key) const {
  return read_upload_id(TRY(send({.method = "POST", .key = key, .query = {{"uploads", ""}}})).body);
}

Result<> S3Bucket::complete_upload(const std::string& key, const std::string& id,
                                   const std::vector<Part>& parts) const {
  Call call{.method = "POST", .key = key, .query = {{"uploadId", id}}};
  call.request.body = "<CompleteMultipartUpload>";
  for (const Part& part : parts)
    call.request.body += fmt::format("<Part><PartNumber>{}</PartNumber><ETag>{}</ETag></Part>", part.number,
                                     xml_text(part.etag));
  call.request.body += "</CompleteMultipartUpload>";
  ClientResponse done = TRY(send(call));
  // It answers 200 before it knows whether it will succeed.
  if (read_problem(done.body).code.empty()) return {};
  return tl::unexpected<Error>(problem_of(done, fmt::format("POST {}", key)));
}

Result<> S3Bucket::abort_upload(const std::string& key, const std::string& id) const {
  TRY(send({.method = "DELETE", .key = key, .query = {{"uploadId", id}}}));
  return {};
}

std::string S3Bucket::presign(const std::string& method, const std::string& key, const Query& query,
                              std::chrono::seconds valid) const {
  AwsRequest request{.method = method, .path = path_of(key), .query = query, .host = host_};
  return fmt::format(
      "{}{}?{}", base_url_, request.path,
      aws_presigned_query(request, config_.keys, {config_.region, "s3"}, aws_time(now_ms()), valid));
}

}  // namespace tidemill::artifacts
