#include "net/aws_signature.h"

#include <algorithm>
#include <map>

#include "base/hash.h"
#include "base/text.h"

namespace tidemill {
namespace {

constexpr std::string_view kAlgorithm = "AWS4-HMAC-SHA256";

// Spaces at the ends go, several in a row become one.
std::string squeezed(std::string_view value) {
  std::string out;
  for (char c : trim(value))
    if (c != ' ' || !out.ends_with(' ')) out += c;
  return out;
}

// Several of one name become a list.
std::map<std::string, std::string> signed_headers(const AwsRequest& request) {
  std::map<std::string, std::string> headers = {{"host", request.host}};
  for (const auto& [name, value] : request.headers) {
    auto [place, is_new] = headers.emplace(to_lower(name), squeezed(value));
    if (!is_new) place->second += "," + squeezed(value);
  }
  return headers;
}

std::string names_of(const std::map<std::string, std::string>& headers) {
  std::string names;
  for (const auto& [name, value] : headers) names += (names.empty() ? "" : ";") + name;
  return names;
}

std::string canonical(const AwsRequest& request, const std::map<std::string, std::string>& headers) {
  std::string text = fmt::format("{}\n{}\n{}\n", request.method, request.path, aws_query(request.query));
  for (const auto& [name, value] : headers) text += fmt::format("{}:{}\n", name, value);
  return text + fmt::format("\n{}\n{}", names_of(headers), request.payload_hash);
}

std::string scope_text(const AwsScope& scope, std::string_view time) {
  return fmt::format("{}/{}/{}/aws4_request", time.substr(0, 8), scope.region, scope.service);
}

std::string signature(const AwsRequest& request, const std::map<std::string, std::string>& headers,
                      const AwsKeys& keys, const AwsScope& scope, std::string_view time) {
  std::string text = fmt::format("{}\n{}\n{}\n{}", kAlgorithm, time, scope_text(scope, time),
                                 sha256_hex(canonical(request, headers)));
  std::string key = hmac_sha256("AWS4" + keys.secret, time.substr(0, 8));
  for (std::string_view part :
       {std::string_view(scope.region), std::string_view(scope.service), std::string_view("aws4_request")})
    key = hmac_sha256(key, part);
  return to_hex(hmac_sha256(key, text));
}

}  // namespace

std::string aws_time(int64_t ms) {
  time_t seconds = static_cast<time_t>(ms / 1000);
  struct tm parts{};
  gmtime_r(&seconds, &parts);
  char text[32];
  return {text, strftime(text, sizeof text, "%Y%m%dT%H%M%SZ", &parts)};
}

std::string aws_query(const Query& query) {
  std::vector<std::pair<std::string, std::string>> parts;
  for (const auto& [key, value] : query) parts.emplace_back(url_encode(key), url_encode(value));
  std::sort(parts.begin(), parts.end());
  std::string text;
  for (const auto& [key, value] : parts) text += fmt::format("{}{}={}", text.empty() ? "" : "&", key, value);
  return text;
}

std::string aws_authorization(const AwsRequest& request, const AwsKeys& keys, const AwsScope& scope,
                              std::string_view time) {
  auto headers = signed_headers(request);
  return fmt::format("{} Credential={}/{}, SignedHeaders={}, Signature={}", kAlgorithm, keys.id,
                     scope_text(scope, time), names_of(headers),
                     signature(request, headers, keys, scope, time));
}

std::string aws_presigned_query(AwsRequest request, const AwsKeys& keys, const AwsScope& scope,
                                std::string_view time, std::chrono::seconds good_for) {
  auto headers = signed_headers(request);
  request.query.emplace_back("X-Amz-Algorithm", kAlgorithm);
  request.query.emplace_back("X-Amz-Credential", fmt::format("{}/{}", keys.id, scope_text(scope, time)));
  request.query.emplace_back("X-Amz-Date", time);
  request.query.emplace_back("X-Amz-Expires", std::to_string(good_for.count()));
  request.query.emplace_back("X-Amz-SignedHeaders", names_of(headers));
  if (!keys.session_token.empty()) request.query.emplace_back("X-Amz-Security-Token", keys.session_token);
  std::string sign = signature(request, headers, keys, scope, time);
  return fmt::format("{}&X-Amz-Signature={}", aws_query(request.query), sign);
}

}  // namespace tidemill
