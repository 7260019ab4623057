// Published vectors: the AWS Signature Version 4 test suite, and the examples of the Amazon S3 API reference
// ("Authenticating requests", headers and query parameters).
#include <gtest/gtest.h>

#include "base/hash.h"
#include "net/aws_signature.h"

namespace tidemill {
namespace {

const std::string kNothing = sha256_hex("");

std::string signature_in(const std::string& authorization) {
  return authorization.substr(authorization.rfind('=') + 1);
}

class Suite : public testing::Test {
 protected:
  std::string sign(std::string method, std::string path, Query query = {}) {
    AwsRequest request{.method = std::move(method),
                       .path = std::move(path),
                       .query = std::move(query),
                       .host = "example.amazonaws.com",
                       .headers = {{"X-Amz-Date", "20150830T123600Z"}},
                       .payload_hash = kNothing};
    AwsKeys keys{"AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", ""};
    return signature_in(aws_authorization(request, keys, {"us-east-1", "service"}, "20150830T123600Z"));
  }
};

TEST_F(Suite, GetVanilla) {
  EXPECT_EQ(sign("GET", "/"), "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
}
TEST_F(Suite, PostVanilla) {
  EXPECT_EQ(sign("POST", "/"), "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b");
}
TEST_F(Suite, GetVanillaQueryOrderKeyCase) {
  EXPECT_EQ(sign("GET", "/", {{"Param2", "value2"}, {"Param1", "value1"}}),
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500");
}
TEST_F(Suite, GetUtf8) {
  EXPECT_EQ(sign("GET", "/%E1%88%B4"), "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85");
}

class S3Examples : public testing::Test {
 protected:
  std::string sign(AwsRequest request) {
    request.host = "examplebucket.s3.amazonaws.com";
    request.headers.emplace_back("x-amz-content-sha256", request.payload_hash);
    request.headers.emplace_back("x-amz-date", "20130524T000000Z");
    return signature_in(aws_authorization(request, keys_, {"us-east-1", "s3"}, "20130524T000000Z"));
  }
  AwsKeys keys_{"AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", ""};
};

TEST_F(S3Examples, GetPartOfAnObject) {
  EXPECT_EQ(
      sign({.path = "/test.txt", .host = "", .headers = {{"Range", "bytes=0-9"}}, .payload_hash = kNothing}),
      "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
}
TEST_F(S3Examples, PutAnObject) {
  EXPECT_EQ(sign({.method = "PUT",
                  .path = "/test%24file.text",
                  .host = "",
                  .headers = {{"Date", "Fri, 24 May 2013 00:00:00 GMT"},
                              {"x-amz-storage-class", "REDUCED_REDUNDANCY"}},
                  .payload_hash = sha256_hex("Welcome to Amazon S3.")}),
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
}
TEST_F(S3Examples, GetTheLifecycleOfABucket) {
  EXPECT_EQ(sign({.query = {{"lifecycle", ""}}, .host = "", .payload_hash = kNothing}),
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
}
TEST_F(S3Examples, ListObjects) {
  EXPECT_EQ(sign({.query = {{"max-keys", "2"}, {"prefix", "J"}}, .host = "", .payload_hash = kNothing}),
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}
TEST_F(S3Examples, PresignedUrl) {
  AwsRequest request{.path = "/test.txt", .host = "examplebucket.s3.amazonaws.com"};
  std::string query = aws_presigned_query(request, keys_, {"us-east-1", "s3"}, "20130524T000000Z",
                                          std::chrono::seconds(86'400));
  EXPECT_EQ(signature_in(query), "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404");
}

TEST(AwsTime, IsUtcInTheBasicFormat) { EXPECT_EQ(aws_time(1'440'938'160'000), "20150830T123600Z"); }

}  // namespace
}  // namespace tidemill
