#include "net/http.h"

#include <gtest/gtest.h>

#include "net/request_reader.h"

namespace tidemill {
namespace {

TEST(Headers, NamesCompareWithoutRegardToCase) {
  Headers headers;
  headers.add("content-TYPE", "a");
  headers.add("Content-Type", "b");
  EXPECT_EQ(headers.get("Content-Type"), "a");
  headers.set("CONTENT-TYPE", "c");
  EXPECT_EQ(std::distance(headers.begin(), headers.end()), 1);
  EXPECT_EQ(headers.get("content-type"), "c");
  EXPECT_FALSE(headers.has("content"));
}

TEST(Query, KeysRepeatAndAreDecoded) {
  Query query = parse_query("a=1&a=%32+3&empty&b=x%3Dy&&=v");
  Query expected = {{"a", "1"}, {"a", "2 3"}, {"empty", ""}, {"b", "x=y"}, {"", "v"}};
  EXPECT_EQ(query, expected);
}

TEST(Url, PartsAreFound) {
  Url url;
  ASSERT_TRUE(parse_url("HTTPS://us%40er:p%3Aw@example.org:8443/a/b?c=d#e", url));
  EXPECT_EQ(url.scheme, "https");
  EXPECT_EQ(url.user, "us@er");
  EXPECT_EQ(url.password, "p:w");
  EXPECT_EQ(url.host, "example.org");
  EXPECT_EQ(url.port, "8443");
  EXPECT_EQ(url.target, "/a/b?c=d");
  ASSERT_TRUE(parse_url("http://[::1]", url));
  EXPECT_EQ(url.host, "::1");
  EXPECT_EQ(url.port, "80");
  EXPECT_EQ(url.target, "/");
  ASSERT_TRUE(parse_url("http://h?q", url));
  EXPECT_EQ(url.target, "/?q");
}

TEST(Url, NonsenseIsRefused) {
  Url url;
  for (const char* text : {"", "http://", "ftp://h", "http://h:0", "http://h:99999", "http://h:1a",
                           "http://a b", "h:80", "http://[::1", "http://[::1]x", "http://h\r\nX: y/"})
    EXPECT_FALSE(parse_url(text, url)) << text;
}

struct Read {
  RequestReader::Step step;
  HttpRequest request;
  int status;
  size_t left;
};

// Feeds a stream `piece` bytes at a time, as a connection does.
Read read_request(std::string_view stream, size_t piece, uint32_t max_header = 4096,
                  uint64_t max_body = 1000) {
  RequestReader reader(max_header, max_body);
  std::string pending;
  size_t given = 0;
  for (;;) {
    size_t used = 0;
    auto step = reader.feed(pending, used);
    pending.erase(0, used);
    if (step == RequestReader::Step::kHeader) continue;
    bool done = step == RequestReader::Step::kDone;
    if (step != RequestReader::Step::kNeedMore || given == stream.size())
      return {step, done ? reader.take() : HttpRequest{}, reader.status(),
              pending.size() + stream.size() - given};
    pending += stream.substr(given, piece);
    given = std::min(stream.size(), given + piece);
  }
}

TEST(RequestReader, ARequestMayComeInAnyPieces) {
  std::string_view stream =
      "\r\nPOST /a%20b?x=1 HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\n";
  for (size_t piece = 1; piece <= stream.size(); ++piece) {
    Read read = read_request(stream, piece);
    ASSERT_EQ(read.step, RequestReader::Step::kDone) << piece;
    EXPECT_EQ(read.request.method, "POST");
    EXPECT_EQ(read.request.path, "/a%20b");
    EXPECT_EQ(read.request.param("x"), "1");
    EXPECT_EQ(read.request.body, "hello");
    EXPECT_EQ(read.left, std::string_view("GET / HTTP/1.1\r\n").size()) << piece;
  }
}

TEST(RequestReader, ChunkedBodiesAreJoined) {
  std::string_view stream =
      "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
      "4;x=y\r\nwiki\r\n5\r\npedia\r\n0\r\nTrailer: t\r\n\r\n";
  for (size_t piece : {1u, 3u, 1000u}) {
    Read read = read_request(stream, piece);
    ASSERT_EQ(read.step, RequestReader::Step::kDone);
    EXPECT_EQ(read.request.body, "wikipedia");
    EXPECT_FALSE(read.request.headers.has("Trailer"));
  }
}

int refusal(std::string_view stream) {
  Read read = read_request(stream, 7);
  EXPECT_EQ(read.step, RequestReader::Step::kFailed) << stream;
  return read.status;
}

TEST(RequestReader, BadRequestsGetTheirStatus) {
  EXPECT_EQ(refusal("rubbish\r\n\r\n"), 400);
  EXPECT_EQ(refusal("GET / HTTP/1.1\r\n\r\n"), 400) << "no Host";
  EXPECT_EQ(refusal("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"), 400);
  EXPECT_EQ(refusal("GET / HTTP/2.0\r\nHost: a\r\n\r\n"), 505);
  EXPECT_EQ(refusal("GET / HTTP/1.1\r\nHost: a\r\nbad header\r\n\r\n"), 400);
  EXPECT_EQ(refusal("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n"), 413);
  EXPECT_EQ(refusal("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n"), 400);
  EXPECT_EQ(refusal("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"), 400);
  EXPECT_EQ(refusal("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n"), 501);
  EXPECT_EQ(refusal("POST / HTTP/1.1\r\nHost: a\r\nExpect: tea\r\n\r\n"), 417);
  EXPECT_EQ(refusal("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), 400);
  std::string chunks =
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n" + std::string(1001, 'x');
  EXPECT_EQ(refusal(chunks), 413);
}

TEST(RequestReader, LengthAndChunkedTogetherAreRefusedAsSmuggling) {
  EXPECT_EQ(
      refusal(
          "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
      400);
  EXPECT_EQ(
      refusal(
          "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n"),
      400);
}

TEST(RequestReader, EndlessHeadersAreRefused) {
  std::string one_line = "GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(10'000, 'x');
  EXPECT_EQ(refusal(one_line), 431);
  std::string many_lines = "GET / HTTP/1.1\r\nHost: a\r\n";
  for (int i = 0; i < 1000; ++i) many_lines += fmt::format("X-{}: y\r\n", i);
  EXPECT_EQ(refusal(many_lines + "\r\n"), 431);
  EXPECT_EQ(refusal("GET /" + std::string(10'000, 'x')), 431);
}

}  // namespace
}  // namespace tidemill
