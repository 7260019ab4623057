// The server and the client against each other, and the server against bytes that no client of ours sends.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <future>
#include <set>

#include "net/cancel.h"
#include "net/http_client.h"
#include "net/http_server.h"

namespace tidemill {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// A client that sends exactly the bytes it is told to.
class RawClient {
 public:
  explicit RawClient(uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }
  void send(std::string_view bytes) {
    EXPECT_EQ(::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL), ssize_t(bytes.size()));
  }
  // Until the text has come, or the server closes.
  std::string read_until(std::string_view text) {
    std::string all;
    char byte;
    while (all.find(text) == std::string::npos && ::recv(fd_.get(), &byte, 1, 0) == 1) all += byte;
    return all;
  }
  std::string read_all() {
    std::string all;
    char buffer[4096];
    for (ssize_t got; (got = ::recv(fd_.get(), buffer, sizeof buffer, 0)) > 0;)
      all.append(buffer, size_t(got));
    return all;
  }
  int fd() const { return fd_.get(); }

 private:
  Fd fd_;
};

HttpServer serve(HttpHandler handler, HttpServerOptions options = {}) {
  auto server = HttpServer::start(std::move(options), std::move(handler));
  EXPECT_TRUE(server) << server.error().message;
  return std::move(*server);
}

void echo(HttpRequest request, Respond respond) {
  respond(HttpResponse::text(200, fmt::format("{} {} {}", request.method, request.target, request.body)));
}

HttpClient client_of(const HttpServer& server) { return std::move(HttpClient::create(server.url()).value()); }

TEST(Http, RequestsOnOneConnectionAreAnswered) {
  std::mutex mutex;
  std::set<std::string> peers;
  HttpServer server = serve([&](HttpRequest request, Respond respond) {
    std::lock_guard lock(mutex);
    peers.insert(request.peer);
    echo(std::move(request), std::move(respond));
  });
  HttpClient client = client_of(server);
  for (int i = 0; i < 100; ++i) {
    auto response = client.send(
        {.method = "POST", .target = fmt::format("/p?i={}", i), .body = std::string(size_t(i) * 3000, 'x')});
    ASSERT_TRUE(response) << response.error().message;
    EXPECT_EQ(response->status, 200);
    EXPECT_EQ(response->body, fmt::format("POST /p?i={} {}", i, std::string(size_t(i) * 3000, 'x')));
  }
  EXPECT_EQ(peers.size(), 1u);
}

TEST(Http, ManyThreadsShareOneClient) {
  HttpServer server = serve(echo);
  HttpClient client = client_of(server);
  std::vector<std::thread> threads;
  std::atomic<int> right{0};
  for (int t = 0; t < 8; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 200; ++i) {
        std::string body = fmt::format("{}-{}", t, i);
        auto response = client.send({.method = "POST", .body = body});
        right += response && response->body == "POST / " + body;
      }
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(right, 1600);
}

TEST(Http, ACallEndsWhenNobodyWantsItAnyMore) {
  std::promise<void> end;
  HttpServer server = serve([ended = end.get_future().share()](HttpRequest request, Respond respond) {
    if (request.target != "/large") ended.wait();
    respond(HttpResponse::text(200, std::string(8 << 20, 'x')));
  });
  HttpClient client = client_of(server);
  Fd cancelled(eventfd(0, EFD_CLOEXEC));
  {
    const CancelCallsOn cancel(cancelled.get());
    EXPECT_EQ(client.send({.target = "/large"})->status, 200);
    std::thread user([&] {
      std::this_thread::sleep_for(milliseconds(50));
      eventfd_write(cancelled.get(), 1);
    });
    EXPECT_EQ(client.send({.target = "/waits"}).error().code, Code::kCancelled);
    user.join();
    EXPECT_EQ(client.send({.target = "/large"}).error().code, Code::kCancelled);
  }
  EXPECT_EQ(client.send({.target = "/large"})->status, 200) << "calls outside are not concerned";
  end.set_value();
}

TEST(Http, AnswersMayComeLaterFromAnotherThread) {
  std::vector<std::thread> threads;
  std::mutex mutex;
  HttpServer server = serve([&](HttpRequest request, Respond respond) {
    std::lock_guard lock(mutex);
    threads.emplace_back([request = std::move(request), respond = std::move(respond)]() mutable {
      echo(std::move(request), std::move(respond));
    });
  });
  RawClient raw(server.port());
  std::string pipelined;
  for (int i = 0; i < 50; ++i) pipelined += fmt::format("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", i);
  raw.send(pipelined);
  for (int i = 0; i < 50; ++i)
    EXPECT_THAT(raw.read_until(fmt::format("GET /{} ", i)), StartsWith("HTTP/1.1 200 OK"));
  server.stop(milliseconds(1000));
  for (auto& thread : threads) thread.join();
}

TEST(Http, PipelinedRequestsAreAnsweredInOrderAndJunkBehindThemEndsTheConnection) {
  HttpServer server = serve(echo);
  RawClient raw(server.port());
  raw.send(
      "GET /1 HTTP/1.1\r\nHost: h\r\n\r\nPOST /2 HTTP/1.1\r\nHost: h\r\nContent-Length: "
      "2\r\n\r\nok(junk)\r\n\r\n");
  std::string all = raw.read_all();
  size_t first = all.find("GET /1"), second = all.find("POST /2 ok"), bad = all.find("HTTP/1.1 400");
  EXPECT_LT(first, second);
  EXPECT_LT(second, bad);
  EXPECT_NE(bad, std::string::npos);
}

TEST(Http, AHandlerThatNeverAnswersGives500) {
  HttpServer server = serve([](HttpRequest, Respond) {});
  EXPECT_EQ(client_of(server).send({})->status, 500);
  HttpServer thrower = serve([](HttpRequest, Respond) { throw std::runtime_error("oops"); });
  EXPECT_EQ(client_of(thrower).send({})->status, 500);
}

TEST(Http, HalfARequestIsAnswered408) {
  HttpServer server = serve(echo, {.read_timeout = milliseconds(60)});
  RawClient raw(server.port());
  raw.send("GET / HTTP/1.1\r\nHos");
  EXPECT_THAT(raw.read_all(), StartsWith("HTTP/1.1 408 "));
  RawClient body(server.port());
  body.send("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc");
  EXPECT_THAT(body.read_all(), StartsWith("HTTP/1.1 408 "));
}

TEST(Http, IdleConnectionsAreClosedWithoutAWord) {
  HttpServer server = serve(echo, {.idle_timeout = milliseconds(50)});
  RawClient raw(server.port());
  EXPECT_EQ(raw.read_all(), "");
}

TEST(Http, ASlowHandlerIsNotTimedOut) {
  HttpServer server = serve(
      [](HttpRequest request, Respond respond) {
        std::this_thread::sleep_for(milliseconds(150));
        echo(std::move(request), std::move(respond));
      },
      {.idle_timeout = milliseconds(20), .read_timeout = milliseconds(20)});
  EXPECT_EQ(client_of(server).send({})->status, 200);
}

TEST(Http, SlowHandlersDoNotHoldUpQuickOnesAndWhatWasBegunIsSettled) {
  std::promise<void> let_go;
  std::shared_future<void> gone = let_go.get_future().share();
  std::mutex mutex;
  std::vector<Respond> begun;
  HttpServerOptions options;
  options.threads = 16;
  options.is_quick = [](const HttpRequest& request) { return request.path != "/slow"; };
  options.settle = [&]() -> std::optional<std::chrono::nanoseconds> {
    std::lock_guard lock(mutex);
    for (Respond& respond : begun) respond(HttpResponse::text(200, "settled"));
    begun.clear();
    return {};
  };
  HttpServer server = serve(
      [&](HttpRequest request, const Respond& respond) {
        if (request.path == "/slow") {
          gone.wait();
          return respond(HttpResponse::text(200, "slow"));
        }
        std::lock_guard lock(mutex);
        begun.push_back(respond);
      },
      std::move(options));
  HttpClient client = HttpClient::create(server.url()).value();
  std::vector<std::future<std::string>> slow;
  for (int i = 0; i < 16; ++i)
    slow.push_back(std::async(std::launch::async, [&] { return client.send({.target = "/slow"})->body; }));
  for (int i = 0; i < 100; ++i) EXPECT_EQ(client.send({.target = "/quick"})->body, "settled");
  let_go.set_value();
  for (auto& answer : slow) EXPECT_EQ(answer.get(), "slow");
}

TEST(Http, WhatASlowHandlerHasBegunIsSettledWithoutOtherRequests) {
  std::mutex mutex;
  std::vector<Respond> begun;
  HttpServerOptions options;
  options.is_quick = [](const HttpRequest&) { return false; };
  options.settle = [&]() -> std::optional<std::chrono::nanoseconds> {
    std::lock_guard lock(mutex);
    for (Respond& respond : begun) respond(HttpResponse::text(200, "settled"));
    begun.clear();
    return {};
  };
  HttpServer server = serve(
      [&](HttpRequest, const Respond& respond) {
        std::lock_guard lock(mutex);
        begun.push_back(respond);
      },
      std::move(options));
  EXPECT_EQ(client_of(server).send({.timeout = milliseconds(20'000)})->body, "settled");
}

TEST(Http, WhatWaitsForMoreIsSettledWhenNothingMoreComes) {
  for (bool quick : {true, false}) {
    std::mutex mutex;
    std::vector<Respond> begun;
    int asked = 0;
    HttpServerOptions options;
    options.is_quick = [quick](const HttpRequest&) { return quick; };
    options.settle = [&]() -> std::optional<std::chrono::nanoseconds> {
      std::lock_guard lock(mutex);
      if (begun.empty()) return {};
      if (++asked < 3) return std::chrono::microseconds(50);
      begun[0](HttpResponse::text(200, "settled"));
      begun.clear();
      return {};
    };
    HttpServer server = serve(
        [&](HttpRequest, const Respond& respond) {
          std::lock_guard lock(mutex);
          begun.push_back(respond);
        },
        std::move(options));
    EXPECT_EQ(client_of(server).send({.timeout = milliseconds(20'000)})->body, "settled");
    EXPECT_EQ(asked, 3);
  }
}

TEST(Http, AClientThatDoesNotReadIsDropped) {
  HttpServer server = serve(
      [](HttpRequest, Respond respond) { respond(HttpResponse::text(200, std::string(64 << 20, 'x'))); },
      {.read_timeout = milliseconds(50)});
  RawClient raw(server.port());
  raw.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  pollfd entry{raw.fd(), POLLHUP, 0};
  EXPECT_EQ(::poll(&entry, 1, 10'000), 1) << "the server never gave up";
}

TEST(Http, TooLargeBodiesAndHeadersAreRefusedAndTheClientReadsTheAnswer) {
  HttpServer server = serve(echo, {.max_body_bytes = 1000, .max_header_bytes = 2000});
  HttpClient client = client_of(server);
  auto large = client.send({.method = "PUT", .body = std::string(20 << 20, 'x')});
  ASSERT_TRUE(large) << large.error().message;
  EXPECT_EQ(large->status, 413);
  ClientRequest request;
  request.headers.add("X-Long", std::string(3000, 'x'));
  auto header = client.send(request);
  ASSERT_TRUE(header);
  EXPECT_EQ(header->status, 431);
  EXPECT_EQ(client.send({.method = "PUT", .body = "small"})->status, 200);
}

TEST(Http, ContinueIsSentWhenExpectedAndNotBeforeARefusal) {
  HttpServer server = serve(echo, {.max_body_bytes = 10});
  RawClient raw(server.port());
  raw.send("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(raw.read_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  raw.send("abc");
  EXPECT_THAT(raw.read_until("PUT / abc"), StartsWith("HTTP/1.1 200 OK"));
  RawClient large(server.port());
  large.send("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_THAT(large.read_until("\r\n\r\n"), StartsWith("HTTP/1.1 413 "));
}

TEST(Http, HeadHasALengthAndNoBody) {
  HttpServer server = serve(echo);
  RawClient raw(server.port());
  raw.send("HEAD / HTTP/1.1\r\nHost: h\r\n\r\nGET /next HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  std::string all = raw.read_all();
  EXPECT_THAT(all, HasSubstr("Content-Length: 7\r\n\r\nHTTP/1.1 200 OK"));
  auto response = client_of(server).send({.method = "HEAD"});
  ASSERT_TRUE(response) << response.error().message;
  EXPECT_EQ(response->headers.get("Content-Length"), "7");
  EXPECT_EQ(response->body, "");
}

TEST(Http, HeaderValuesCannotStartANewLine) {
  HttpServer server = serve([](HttpRequest, Respond respond) {
    HttpResponse response = HttpResponse::text(200, "");
    response.headers.add("X-Evil", "a\r\nSet-Cookie: b");
    respond(std::move(response));
  });
  auto response = client_of(server).send({});
  EXPECT_FALSE(response->headers.has("Set-Cookie"));
  ClientRequest bad;
  bad.target = "/a b";
  EXPECT_EQ(client_of(server).send(bad).error().code, Code::kInvalid);
}

class FilesOverHttp : public ::testing::Test {
 protected:
  FilesOverHttp() {
    for (size_t i = 0; i < content_.size(); ++i) content_[i] = static_cast<char>(i * 7 + i / 251);
    EXPECT_TRUE(write_file_atomic(dir_.path() / "source.bin", content_, Durable::no));
    HttpServerOptions options;
    options.max_body_bytes = 1000;
    options.spool_body = [](const HttpRequest& request) { return request.path == "/spool"; };
    options.spool_dir = dir_.path();
    server_.emplace(serve(
        [this](HttpRequest request, Respond respond) {
          if (request.path == "/spool") {
            fs::rename(request.body_file, dir_.path() / "stored.bin");
            return respond(HttpResponse::text(200, ""));
          }
          respond(std::move(HttpResponse::file(request, dir_.path() / "source.bin").value()));
        },
        options));
    client_.emplace(client_of(*server_));
  }
  ClientResponse get(std::string range, std::string if_range = "") {
    ClientRequest request;
    request.headers.add("Range", std::move(range));
    if (!if_range.empty()) request.headers.add("If-Range", std::move(if_range));
    return client_->send(request).value();
  }

  TempDir dir_ = TempDir::create().value();
  std::string content_ = std::string(20'000'001, '\0');  // more than goes to disk at once
  std::optional<HttpServer> server_;
  std::optional<HttpClient> client_;
};

TEST_F(FilesOverHttp, UploadsAreSpooledAndDownloadsSaved) {
  auto put = client_->send({.method = "PUT", .target = "/spool", .body_file = dir_.path() / "source.bin"});
  ASSERT_TRUE(put) << put.error().message;
  EXPECT_EQ(put->status, 200);
  EXPECT_EQ(read_file(dir_.path() / "stored.bin").value(), content_);
  uint64_t seen = 0;
  ClientRequest request{.save_to = dir_.path() / "copy.bin"};
  request.on_progress = [&](uint64_t done, uint64_t total) {
    seen = done;
    EXPECT_EQ(total, content_.size());
  };
  auto response = client_->send(request);
  ASSERT_TRUE(response) << response.error().message;
  EXPECT_EQ(response->body, "");
  EXPECT_EQ(read_file(dir_.path() / "copy.bin").value(), content_);
  EXPECT_EQ(seen, content_.size());
}

// The body goes from the socket to the file without being read: what comes before and behind it must not.
TEST_F(FilesOverHttp, AnUploadEndsWhereItsLengthSays) {
  RawClient raw(server_->port());
  std::string head =
      fmt::format("PUT /spool HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", content_.size());
  raw.send(head + content_.substr(0, 3));  // the file's begin comes with the header
  std::this_thread::sleep_for(milliseconds(20));
  raw.send(content_.substr(3, 70'000));
  raw.send(content_.substr(70'003) + "GET /source HTTP/1.1\r\nHost: h\r\nRange: bytes=0-4\r\n\r\n");
  EXPECT_THAT(raw.read_until("\r\n\r\n"), HasSubstr("200 OK"));
  EXPECT_THAT(raw.read_until(content_.substr(0, 5)), HasSubstr("206 Partial"));
  EXPECT_EQ(read_file(dir_.path() / "stored.bin").value(), content_);
  for (std::string body : {"", "x"}) {
    raw.send(
        fmt::format("PUT /spool HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{}", body.size(), body));
    EXPECT_THAT(raw.read_until("\r\n\r\n"), HasSubstr("200 OK"));
    EXPECT_EQ(read_file(dir_.path() / "stored.bin").value(), body);
  }
}

TEST_F(FilesOverHttp, AnUploadInChunksIsTheSame) {
  RawClient raw(server_->port());
  raw.send("PUT /spool HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
  for (size_t at = 0; at < content_.size(); at += 100'003) {
    std::string chunk = content_.substr(at, 100'003);
    raw.send(fmt::format("{:x}\r\n{}\r\n", chunk.size(), chunk));
  }
  raw.send("0\r\n\r\n");
  EXPECT_THAT(raw.read_until("\r\n\r\n"), HasSubstr("200 OK"));
  EXPECT_EQ(read_file(dir_.path() / "stored.bin").value(), content_);
}

TEST_F(FilesOverHttp, ABrokenUploadLeavesNoFile) {
  auto files = [&] { return std::distance(fs::directory_iterator(dir_.path()), fs::directory_iterator()); };
  {
    RawClient raw(server_->port());
    raw.send("PUT /spool HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\nExpect: 100-continue\r\n\r\n");
    raw.read_until("\r\n\r\n");
    EXPECT_EQ(files(), 2);
  }
  server_->stop(milliseconds(5000));
  EXPECT_EQ(files(), 1);
}

TEST_F(FilesOverHttp, RangesAreHonoured) {
  ClientResponse part = get("bytes=10-19");
  EXPECT_EQ(part.status, 206);
  EXPECT_EQ(part.body, content_.substr(10, 10));
  EXPECT_EQ(part.headers.get("Content-Range"), "bytes 10-19/20000001");
  EXPECT_EQ(get("bytes=19999999-").body, content_.substr(19'999'999));
  EXPECT_EQ(get("bytes=-3").body, content_.substr(content_.size() - 3));
  EXPECT_EQ(get("bytes=19999999-29999999").body.size(), 2u);
  ClientResponse outside = get("bytes=20000001-");
  EXPECT_EQ(outside.status, 416);
  EXPECT_EQ(outside.headers.get("Content-Range"), "bytes */20000001");
  for (const char* whole : {"bytes=5-4", "bytes=0-1,3-4", "lines=1-2", "bytes=a-b", "bytes=-"})
    EXPECT_EQ(get(whole).status, 200) << whole;
  EXPECT_EQ(get("bytes=0-0", "\"other\"").status, 200);
  EXPECT_EQ(get("bytes=0-0", std::string(part.headers.get("ETag"))).status, 206);
}

TEST_F(FilesOverHttp, ADownloadIsResumedInPlace) {
  fs::path partial = dir_.path() / "partial.bin";
  ASSERT_TRUE(write_file_atomic(partial, content_.substr(0, 1'000'000), Durable::no));
  ClientRequest request{.save_to = partial};
  request.headers.add("Range", "bytes=1000000-");
  ASSERT_EQ(client_->send(request)->status, 206);
  EXPECT_EQ(read_file(partial).value(), content_);
}

TEST(Http, StopLetsARequestInProgressFinish) {
  std::promise<void> entered, release;
  HttpServer server = serve([&](HttpRequest request, Respond respond) {
    entered.set_value();
    release.get_future().wait();
    echo(std::move(request), std::move(respond));
  });
  HttpClient client = client_of(server);
  auto response = std::async(std::launch::async, [&] { return client.send({}); });
  entered.get_future().wait();
  auto stopped = std::async(std::launch::async, [&] { server.stop(milliseconds(10'000)); });
  release.set_value();
  EXPECT_EQ(response.get()->status, 200);
  stopped.get();
  EXPECT_EQ(client.send({}).error().code, Code::kUnavailable);
}

TEST(Http, AnAnswerAfterTheServerIsGoneDoesNoHarm) {
  std::promise<Respond> parked;
  {
    HttpServer server = serve([&](HttpRequest, Respond respond) { parked.set_value(std::move(respond)); });
    RawClient raw(server.port());
    raw.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    auto respond = parked.get_future();
    respond.wait();
    server.stop(milliseconds(0));
    respond.get()(HttpResponse::text(200, "late"));
  }
}

TEST(Http, ABusyPortIsNamed) {
  HttpServer server = serve(echo);
  auto second = HttpServer::start({.port = server.port()}, echo);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Code::kUnavailable);
  EXPECT_THAT(
      second.error().message,
      StartsWith(fmt::format("cannot listen on 127.0.0.1:{}: Address already in use", server.port())));
}

TEST(HttpClient, AServerThatIsAwayOrSilentIsReported) {
  uint16_t port = 0;
  {
    HttpServer server = serve(echo);
    port = server.port();
  }
  HttpClient client = HttpClient::create(fmt::format("http://127.0.0.1:{}", port)).value();
  auto refused = client.send({});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kUnavailable);
  EXPECT_THAT(refused.error().message, HasSubstr("Connection refused"));

  std::promise<Respond> parked;
  HttpServer silent = serve([&](HttpRequest, Respond respond) { parked.set_value(std::move(respond)); });
  auto timeout = client_of(silent).send({.timeout = milliseconds(30)});
  ASSERT_FALSE(timeout);
  EXPECT_EQ(timeout.error().code, Code::kTimeout);
}

TEST(HttpClient, ARequestIsRepeatedWhenTheKeptConnectionIsGone) {
  std::optional<HttpServer> server(serve(echo));
  uint16_t port = server->port();
  HttpClient client = client_of(*server);
  ASSERT_EQ(client.send({})->status, 200);
  server.reset();
  server.emplace(serve(echo, {.port = port}));
  EXPECT_EQ(client.send({})->status, 200);
  EXPECT_EQ(client.send({.method = "POST"})->status, 200);
}

TEST(HttpClient, UserAndPathOfTheBaseUrlAreUsed) {
  HttpServer server = serve([](HttpRequest request, Respond respond) {
    respond(
        HttpResponse::text(200, fmt::format("{} {}", request.target, request.headers.get("Authorization"))));
  });
  HttpClient client =
      HttpClient::create(fmt::format("http://Aladdin:open%20sesame@127.0.0.1:{}/prefix/", server.port()))
          .value();
  EXPECT_EQ(client.send({.target = "/x"})->body, "/prefix/x Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
  ClientRequest bearer;
  bearer.headers.add("Authorization", "Bearer t");
  EXPECT_EQ(client.send(bearer)->body, "/prefix/ Bearer t");
}

// A server that sends fixed bytes and closes.
std::string answer_of(std::string bytes, const ClientRequest& request = {}) {
  Fd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  EXPECT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), length), 0);
  EXPECT_EQ(::listen(listener.get(), 1), 0);
  getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &length);
  std::thread server([&] {
    Fd peer(::accept(listener.get(), nullptr, nullptr));
    char buffer[4096];
    (void)!::recv(peer.get(), buffer, sizeof buffer, 0);
    ::send(peer.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  });
  HttpClient client = HttpClient::create(fmt::format("http://127.0.0.1:{}", ntohs(address.sin_port))).value();
  auto response = client.send(request);
  server.join();
  return response ? fmt::format("{} {}", response->status, response->body)
                  : "error: " + response.error().message;
}

TEST(HttpClient, OddServersAreUnderstoodOrReported) {
  EXPECT_EQ(answer_of("HTTP/1.1 200 OK\r\n\r\nuntil the end"), "200 until the end");
  EXPECT_EQ(answer_of("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"), "204 ");
  EXPECT_EQ(answer_of("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
            "200 abc");
  EXPECT_THAT(answer_of("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"),
              HasSubstr("in the middle of an answer"));
  EXPECT_THAT(answer_of("SSH-2.0-OpenSSH\r\n"), HasSubstr("not HTTP"));
  EXPECT_THAT(answer_of(""), HasSubstr("closed the connection"));
}

}  // namespace
}  // namespace tidemill
