// The stream of events, through HTTP.
#include "api/change_events.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

#include "api/endpoint.h"
#include "auth/roles.h"
#include "auth/test_users.h"
#include "auth/users.h"
#include "base/json.h"
#include "net/http_client.h"
#include "net/socket_stream.h"
#include "test_database.h"
#include "tracking/store.h"

namespace tidemill {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::Not;

struct Event {
  std::string id, name;
  Json data;
};

// What a browser's EventSource does.
class EventSource {
 public:
  EventSource(const std::string& server, const std::string& query, const std::string& headers = "") {
    Url url;
    EXPECT_TRUE(parse_url(server, url));
    socket_ = SocketStream::connect(url, nullptr, 5s).value();
    EXPECT_TRUE(socket_->write(
        fmt::format("GET /ajax-api/tidemill/events{} HTTP/1.1\r\nHost: localhost\r\n{}\r\n", query, headers),
        5s));
    head_ = take_until("\r\n\r\n");
  }
  const std::string& head() const { return head_; }
  // The next one, past comments; with an empty name at the end.
  Event next() {
    while (true) {
      std::string text = take_until("\n\n");
      if (text.empty()) return {};
      Event event;
      for (size_t at = 0; at < text.size();) {
        size_t end = std::min(text.find('\n', at), text.size());
        std::string line = text.substr(at, end - at);
        if (line.starts_with("id: ")) event.id = line.substr(4);
        if (line.starts_with("event: ")) event.name = line.substr(7);
        if (line.starts_with("data: ")) event.data = Json::parse(line.substr(6));
        at = end + 1;
      }
      if (!event.name.empty()) return event;
    }
  }

 private:
  std::string take_until(std::string_view mark) {
    std::array<char, 4096> buffer;
    while (rest_.find(mark) == std::string::npos) {
      auto got = socket_->read(buffer, 20s);
      if (!got || *got == 0) return std::exchange(rest_, {});
      rest_.append(buffer.data(), *got);
    }
    size_t end = rest_.find(mark) + mark.size();
    std::string taken = rest_.substr(0, end);
    rest_.erase(0, end);
    return taken;
  }

  std::unique_ptr<SocketStream> socket_;
  std::string head_, rest_;
};

class ChangeEventsTest : public testing::Test {
 protected:
  std::string add_run(const std::string& experiment = "0") {
    tracking::CreateRun create;
    create.experiment_id = experiment;
    return store_.create_run(create).value().info.id;
  }
  void log(const std::string& run, const char* key) {
    ASSERT_TRUE(store_.log_metric(run, {key, 1, ++time_, time_}));
  }

  TempDir dir_ = TempDir::create().value();
  std::string uri_ = test::new_database(dir_.path() / "t.db");
  tracking::Store store_ =
      tracking::Store::open({.uri = uri_, .default_artifact_root = "mlflow-artifacts:"}).value();
  api::Endpoint endpoint_ = api::Endpoint::start(store_, {}).value();
  int64_t time_ = 0;
};

TEST_F(ChangeEventsTest, what_happens_to_a_run_is_told_as_it_happens) {
  EventSource source(endpoint_.url(), "");
  EXPECT_THAT(source.head(), HasSubstr("200 OK"));
  EXPECT_THAT(source.head(), HasSubstr("Content-Type: text/event-stream"));
  EXPECT_EQ(source.next().name, "open");
  std::string run = add_run();
  Event created = source.next();
  EXPECT_EQ(created.name, "run");
  EXPECT_EQ(created.data["run_id"], run);
  EXPECT_EQ(created.data["experiment_id"], "0");
  EXPECT_EQ(created.data["created"], true);
  log(run, "loss");
  Event logged = source.next();
  EXPECT_EQ(logged.data["metrics"], Json::parse(R"(["loss"])"));
  EXPECT_EQ(logged.data["created"], false);
  EXPECT_NE(logged.id, created.id);
  ASSERT_TRUE(store_.update_run(
      {.run_id = run, .status = tracking::RunStatus::kFinished, .end_time = 1, .name = {}}));
  Event finished = source.next();
  EXPECT_EQ(finished.data["finished"], true);
  EXPECT_EQ(finished.data["metrics"], Json::array());
  std::string experiment = store_.create_experiment("e").value();
  Event made = source.next();
  EXPECT_EQ(made.name, "experiment");
  EXPECT_EQ(made.data["experiment_id"], experiment);
}

TEST_F(ChangeEventsTest, streams_tell_only_of_what_they_watch) {
  std::string experiment = store_.create_experiment("watched").value();
  std::string watched = add_run(), stranger = add_run();
  EventSource source(endpoint_.url(), fmt::format("?experiment_ids={}&run_ids={}", experiment, watched));
  EXPECT_EQ(source.next().name, "open");
  log(stranger, "m");
  log(watched, "m");
  EXPECT_EQ(source.next().data["run_id"], watched);
  log(stranger, "m");
  std::string inside = add_run(experiment);
  EXPECT_EQ(source.next().data["run_id"], inside);
}

TEST_F(ChangeEventsTest, a_stream_that_broke_goes_on_where_it_was) {
  std::string run = add_run();
  std::string last;
  {
    EventSource source(endpoint_.url(), "");
    source.next();
    log(run, "seen");
    last = source.next().id;
  }
  EventSource other(endpoint_.url(), "");
  other.next();
  log(run, "missed");
  other.next();
  EventSource again(endpoint_.url(), "", fmt::format("Last-Event-ID: {}\r\n", last));
  Event open = again.next();
  EXPECT_EQ(open.name, "open");
  EXPECT_EQ(open.id, last);
  EXPECT_EQ(again.next().data["metrics"], Json::parse(R"(["missed"])"));
  for (const char* unknown : {"0123456789abcdef-5", "x", "-", "9999999999999999999999"}) {
    EventSource stale(endpoint_.url(), "", fmt::format("Last-Event-ID: {}\r\n", unknown));
    EXPECT_EQ(stale.next().name, "reload") << unknown;
  }
  EventSource future(endpoint_.url(), "",
                     fmt::format("Last-Event-ID: {}99\r\n", last.substr(0, last.find('-') + 1)));
  EXPECT_EQ(future.next().name, "reload");
}

TEST_F(ChangeEventsTest, another_process_is_noticed) {
  EventSource source(endpoint_.url(), "");
  EXPECT_EQ(source.next().name, "open");
  tracking::Store other = tracking::Store::open({.uri = uri_, .default_artifact_root = "a"}).value();
  ASSERT_TRUE(other.create_run({}));
  EXPECT_EQ(source.next().name, "store");
}

TEST_F(ChangeEventsTest, open_streams_do_not_keep_calls_or_the_end_waiting) {
  std::vector<std::unique_ptr<EventSource>> sources;
  for (int i = 0; i < 60; ++i) sources.push_back(std::make_unique<EventSource>(endpoint_.url(), ""));
  HttpClient client = HttpClient::create(endpoint_.url()).value();
  EXPECT_EQ(client.send({.target = "/health"}).value().status, 200);
  EXPECT_EQ(client.send({.target = "/api/2.0/mlflow/experiments/get?experiment_id=0"}).value().status, 200);
  std::string run = add_run();
  for (auto& source : sources) {
    EXPECT_EQ(source->next().name, "open");
    EXPECT_EQ(source->next().data["run_id"], run);
  }
  std::thread reader([&] {
    for (auto& source : sources) EXPECT_EQ(source->next().name, "");
    sources.clear();
  });
  endpoint_.stop(20s);
  reader.join();
}

TEST_F(ChangeEventsTest, a_bad_watch_is_refused) {
  EXPECT_THAT(EventSource(endpoint_.url(), "?experiment_ids=x").head(), HasSubstr("400 Bad Request"));
  std::string many = "?";
  for (int i = 0; i < 1001; ++i) many += fmt::format("run_ids={}&", i);
  EXPECT_THAT(EventSource(endpoint_.url(), many).head(), HasSubstr("400 Bad Request"));
}

TEST_F(ChangeEventsTest, people_are_told_of_what_they_may_read) {
  auth::Users users(store_);
  test::add_user(store_, "eve");
  std::string token = users.create_token("eve", "test", {}).value();
  std::string open = store_.create_experiment("open").value(),
              secret = store_.create_experiment("secret").value();
  ASSERT_TRUE(auth::Roles(store_).grant("eve", {auth::Kind::kExperiment, open}, auth::Permission::kRead));
  api::EndpointOptions options;
  options.default_permission = auth::Permission::kNone;
  api::Endpoint guarded = api::Endpoint::start(store_, options).value();
  std::string login = fmt::format("Authorization: Bearer {}\r\n", token);
  EXPECT_THAT(EventSource(guarded.url(), "").head(), HasSubstr("401"));
  EXPECT_THAT(EventSource(guarded.url(), "?experiment_ids=" + secret, login).head(), HasSubstr("403"));
  std::string hidden = add_run(secret);
  EXPECT_THAT(EventSource(guarded.url(), "?run_ids=" + hidden, login).head(), HasSubstr("403"));
  EventSource source(guarded.url(), "", login);
  EXPECT_EQ(source.next().name, "open");
  log(hidden, "m");
  std::string seen = add_run(open);
  EXPECT_EQ(source.next().data["run_id"], seen);
}

}  // namespace
}  // namespace tidemill
