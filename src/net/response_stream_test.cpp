#include "net/response_stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <thread>

#include "net/http_client.h"
#include "net/http_server.h"
#include "net/socket_stream.h"

namespace tidemill {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::Not;

// GET /stream opens a stream that the test holds; everything else is answered at once.
class ResponseStreamTest : public testing::Test {
 protected:
  void start(int threads = 0) {
    HttpServerOptions options;
    options.threads = threads;
    server_.emplace(
        HttpServer::start(std::move(options), [this](HttpRequest request, const Respond& respond) {
          if (request.path != "/stream") return respond(HttpResponse::text(200, "plain"));
          auto stream = std::make_shared<ResponseStream>();
          HttpResponse response;
          response.headers.add("Content-Type", "text/event-stream");
          response.body = stream;
          {
            std::lock_guard lock(mutex_);
            streams_.push_back(stream);
          }
          respond(std::move(response));
        }).value());
  }
  std::unique_ptr<SocketStream> open() {
    Url url;
    EXPECT_TRUE(parse_url(server_->url(), url));
    auto socket = SocketStream::connect(url, nullptr, 5s).value();
    EXPECT_TRUE(socket->write("GET /stream HTTP/1.1\r\nHost: x\r\n\r\n", 5s));
    return socket;
  }
  // Until the text has come, or the end.
  static std::string read_until(SocketStream& socket, std::string_view text) {
    std::string all;
    std::array<char, 4096> buffer;
    while (all.find(text) == std::string::npos) {
      auto got = socket.read(buffer, 10s);
      if (!got || *got == 0) break;
      all.append(buffer.data(), *got);
    }
    return all;
  }
  std::shared_ptr<ResponseStream> stream(size_t i) {
    for (int patience = 1000; patience > 0; --patience, std::this_thread::sleep_for(5ms)) {
      std::lock_guard lock(mutex_);
      if (streams_.size() > i) return streams_[i];
    }
    ADD_FAILURE() << "no stream";
    return std::make_shared<ResponseStream>();
  }

  std::mutex mutex_;
  std::vector<std::shared_ptr<ResponseStream>> streams_;
  std::optional<HttpServer> server_;
};

TEST_F(ResponseStreamTest, what_is_written_later_arrives_until_the_end) {
  start();
  auto client = open();
  std::string head = read_until(*client, "\r\n\r\n");
  EXPECT_THAT(head, HasSubstr("HTTP/1.1 200 OK"));
  EXPECT_THAT(head, Not(HasSubstr("Content-Length")));
  EXPECT_TRUE(stream(0)->write("one\n"));
  EXPECT_EQ(read_until(*client, "\n"), "one\n");
  EXPECT_TRUE(stream(0)->write("two\n"));
  EXPECT_TRUE(stream(0)->write("three\n"));
  EXPECT_EQ(read_until(*client, "three\n"), "two\nthree\n");
  stream(0)->end();
  EXPECT_EQ(read_until(*client, "nothing more"), "");
  EXPECT_FALSE(stream(0)->write("four\n"));
}

TEST_F(ResponseStreamTest, what_is_written_before_the_head_is_sent_waits_for_it) {
  HttpServer server = HttpServer::start({}, [](const HttpRequest&, const Respond& respond) {
                        auto stream = std::make_shared<ResponseStream>();
                        EXPECT_TRUE(stream->write("early"));
                        stream->end();
                        HttpResponse response;
                        response.body = stream;
                        respond(std::move(response));
                      }).value();
  HttpClient client = HttpClient::create(server.url()).value();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(client.send({.target = "/"}).value().body, "early");
  ClientResponse head = client.send({.method = "HEAD", .target = "/"}).value();
  EXPECT_EQ(head.body, "");
}

TEST_F(ResponseStreamTest, open_streams_hold_no_thread) {
  start(2);
  std::vector<std::unique_ptr<SocketStream>> clients;
  for (int i = 0; i < 50; ++i) clients.push_back(open());
  EXPECT_NE(stream(49), nullptr);
  HttpClient other = HttpClient::create(server_->url()).value();
  EXPECT_EQ(other.send({.target = "/"}).value().body, "plain");
  for (size_t i = 0; i < clients.size(); ++i) EXPECT_TRUE(stream(i)->write("to all\n"));
  for (auto& client : clients) EXPECT_THAT(read_until(*client, "to all\n"), HasSubstr("to all\n"));
}

TEST_F(ResponseStreamTest, a_client_that_leaves_ends_its_stream) {
  start();
  auto client = open();
  read_until(*client, "\r\n\r\n");
  client.reset();
  bool open = true;
  for (int patience = 1000; open && patience > 0; --patience, std::this_thread::sleep_for(5ms))
    open = stream(0)->write(": still there?\n");
  EXPECT_FALSE(open);
}

TEST_F(ResponseStreamTest, a_client_that_does_not_read_is_cut_off_and_nobody_waits_for_it) {
  start();
  auto client = open();
  read_until(*client, "\r\n\r\n");
  std::string piece(64 << 10, 'x');
  int written = 0;
  while (written < 10'000 && stream(0)->write(piece)) ++written;
  EXPECT_LT(written, 1000) << "what sockets hold, and the backlog";
  size_t arrived = 0;
  std::string buffer(1 << 20, '\0');
  while (true) {
    auto got = client->read(buffer, 10s);
    if (!got || *got == 0) break;
    arrived += *got;
  }
  EXPECT_LT(arrived, static_cast<size_t>(written + 1) * piece.size());
}

TEST_F(ResponseStreamTest, many_writers_at_once_keep_every_message_whole) {
  start();
  auto client = open();
  read_until(*client, "\r\n\r\n");
  std::vector<std::thread> writers;
  for (int w = 0; w < 4; ++w)
    writers.emplace_back([&, w] {
      for (int i = 0; i < 500; ++i) EXPECT_TRUE(stream(0)->write(fmt::format("{}{:04}\n", w, i)));
    });
  std::string all;
  std::array<char, 4096> buffer;
  while (all.size() < 4 * 500 * 6) {
    auto got = client->read(buffer, 10s);
    ASSERT_TRUE(got && *got > 0);
    all.append(buffer.data(), *got);
  }
  for (auto& writer : writers) writer.join();
  std::array<int, 4> next{};
  for (size_t at = 0; at < all.size(); at += 6) {
    auto writer = static_cast<size_t>(all[at] - '0');
    EXPECT_EQ(all.substr(at + 1, 5), fmt::format("{:04}\n", next.at(writer)++));
  }
}

TEST_F(ResponseStreamTest, a_server_that_stops_ends_its_streams) {
  start();
  auto client = open();
  read_until(*client, "\r\n\r\n");
  std::thread reader([&] {
    read_until(*client, "nothing");
    client.reset();
  });
  auto begin = std::chrono::steady_clock::now();
  server_->stop(20s);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 15s) << "it does not wait for what never ends";
  reader.join();
  EXPECT_FALSE(stream(0)->write("too late"));
}

}  // namespace
}  // namespace tidemill
