// Requests signed for AWS and for what speaks its language: Signature Version 4 (AWS General Reference,
// "Signature Version 4 signing process"). Pure functions; times are "20150830T123600Z".
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "net/http.h"

namespace tidemill {

struct AwsKeys {
  std::string id, secret;
  std::string session_token;  // "": keys that last
};
struct AwsScope {
  std::string region = "us-east-1";
  std::string service = "s3";
};

// For bodies whose hash is not known before they are sent.
inline constexpr std::string_view kUnsignedPayload = "UNSIGNED-PAYLOAD";

struct AwsRequest {
  std::string method = "GET";
  std::string path = "/";  // percent-encoded, as it is sent
  Query query = {};        // decoded
  std::string host;
  std::vector<std::pair<std::string, std::string>> headers = {};  // further ones to sign, beside Host
  std::string payload_hash =
      std::string(kUnsignedPayload);  // SHA-256 of the body as hex, or kUnsignedPayload
};

std::string aws_time(int64_t ms);
// The query of a request, percent-encoded and in the order that is signed.
std::string aws_query(const Query& query);
// The value of Authorization. What is signed beside Host must be among the request's headers: X-Amz-Date
// above all.
std::string aws_authorization(const AwsRequest& request, const AwsKeys& keys, const AwsScope& scope,
                              std::string_view time);
// The query with which anybody may send the request, without further headers, until so long after time.
std::string aws_presigned_query(AwsRequest request, const AwsKeys& keys, const AwsScope& scope,
                                std::string_view time, std::chrono::seconds good_for);

}  // namespace tidemill
