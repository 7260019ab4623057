// What the options of an endpoint change.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/endpoint.h"
#include "base/json.h"
#include "net/http_client.h"
#include "tracking/store.h"

namespace tidemill {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

class EndpointTest : public ::testing::Test {
 protected:
  void start(api::EndpointOptions options) {
    endpoint_.emplace(api::Endpoint::start(store_, std::move(options)).value());
    client_.emplace(HttpClient::create(endpoint_->url()).value());
  }
  ClientResponse send(std::string method, std::string target, std::string origin = "") {
    ClientRequest request{.method = std::move(method), .target = std::move(target)};
    if (request.method == "POST") {
      request.body = "{}";
      request.headers.add("Content-Type", "application/json");
    }
    if (!origin.empty()) request.headers.add("Origin", origin);
    return client_->send(request).value();
  }

  TempDir dir_ = TempDir::create().value();
  tracking::Store store_ =
      tracking::Store::open({.uri = dir_.path() / "t.db", .default_artifact_root = "mlflow-artifacts:"})
          .value();
  std::optional<api::Endpoint> endpoint_;
  std::optional<HttpClient> client_;
};

constexpr const char* kGetDefault = "/api/2.0/mlflow/experiments/get?experiment_id=0";
constexpr const char* kCreateRun = "/api/2.0/mlflow/runs/create";

TEST_F(EndpointTest, APrefixStandsInFrontOfEverythingButProbes) {
  start({.path_prefix = "/ml"});
  EXPECT_EQ(send("GET", std::string("/ml") + kGetDefault).status, 200);
  EXPECT_EQ(send("POST", std::string("/ml") + kCreateRun).status, 200);
  EXPECT_EQ(send("GET", kGetDefault).status, 404);
  EXPECT_EQ(send("GET", std::string("/mlx") + kGetDefault).status, 404);
  EXPECT_EQ(send("GET", "/health").status, 200);
  EXPECT_EQ(send("GET", "/ml/health").status, 200);
  start({.path_prefix = "/ml", .metrics = api::Metrics::kShown});
  EXPECT_EQ(send("GET", "/metrics").status, 200);
  EXPECT_EQ(send("GET", "/ml/metrics").status, 200);
}

TEST_F(EndpointTest, MetricsAreShownOnlyWhenAskedForAndCountWhatWasDone) {
  start({});
  EXPECT_EQ(send("GET", "/metrics").status, 404);
  start({.metrics = api::Metrics::kShown});
  for (int i = 0; i < 3; ++i) EXPECT_EQ(send("POST", kCreateRun).status, 200);
  EXPECT_EQ(send("GET", "/api/2.0/mlflow/runs/get?run_id=none").status, 404);
  EXPECT_EQ(send("GET", "/some/path/or/other").status, 404);
  std::string text = send("GET", "/metrics").body;
  EXPECT_THAT(text, HasSubstr("tidemill_http_requests_total{route=\"runs/create\",status=\"200\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("tidemill_http_requests_total{route=\"runs/get\",status=\"404\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("tidemill_http_request_seconds_bucket{route=\"runs/create\",le=\"+Inf\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("tidemill_store_calls_total 3\n"));
  EXPECT_THAT(text, HasSubstr("mlflow_http_request_total{method=\"POST\",status=\"200\"} 3\n"));
  for (const char* name : {"process_cpu_seconds_total", "process_start_time_seconds",
                           "process_resident_memory_bytes", "process_open_fds", "process_max_fds"})
    EXPECT_THAT(text, ContainsRegex("\n" + std::string(name) + " [0-9.e+]+\n"));
  EXPECT_THAT(text, Not(HasSubstr("some/path"))) << "names that strangers make up would grow without end";
}

TEST_F(EndpointTest, OnlyListedOriginsMayChangeThingsFromABrowser) {
  start({.cors_origins = {"https://app.example.org", "http://localhost:*"}});
  EXPECT_EQ(send("POST", kCreateRun, "https://evil.example").status, 403);
  auto good = send("POST", kCreateRun, "https://app.example.org");
  EXPECT_EQ(good.status, 200);
  EXPECT_EQ(good.headers.get("Access-Control-Allow-Origin"), "https://app.example.org");
  auto read = send("GET", kGetDefault, "https://evil.example");
  EXPECT_FALSE(read.headers.has("Access-Control-Allow-Origin"));
  auto preflight = send("OPTIONS", kCreateRun, "http://localhost:3000");
  EXPECT_EQ(preflight.status, 204);
  EXPECT_THAT(std::string(preflight.headers.get("Access-Control-Allow-Methods")), HasSubstr("PATCH"));
  EXPECT_EQ(send("OPTIONS", kCreateRun, "https://evil.example").status, 403);
}

TEST_F(EndpointTest, FramesAreForbiddenUnlessTold) {
  start({});
  auto response = send("GET", kGetDefault);
  EXPECT_EQ(response.headers.get("X-Frame-Options"), "SAMEORIGIN");
  EXPECT_EQ(response.headers.get("X-Content-Type-Options"), "nosniff");
  start({.x_frame_options = ""});
  EXPECT_FALSE(send("GET", kGetDefault).headers.has("X-Frame-Options"));
}

TEST_F(EndpointTest, ArtifactsOnlyMeansNoTracking) {
  start({.serves = api::Serves::kArtifactsOnly, .artifacts_destination = (dir_.path() / "files").string()});
  EXPECT_EQ(send("GET", kGetDefault).status, 503);
  EXPECT_EQ(send("POST", kCreateRun).status, 503);
  EXPECT_EQ(send("GET", "/api/2.0/mlflow-artifacts/artifacts").status, 200);
}

TEST_F(EndpointTest, TheAccessLogHasALineOfJsonForEachRequest) {
  start({.access_log = dir_.path() / "access.jsonl"});
  send("POST", kCreateRun);
  send("GET", "/a\"b?secret=1");
  endpoint_.reset();
  std::string text = read_file(dir_.path() / "access.jsonl").value();
  size_t end = text.find('\n');
  Json first = parse_json(text.substr(0, end)).value();
  EXPECT_EQ(json_string(first, "path"), kCreateRun);
  EXPECT_EQ(json_string(first, "method"), "POST");
  EXPECT_EQ(json_int(first, "status"), 200);
  EXPECT_GT(json_int(first, "bytes"), 100);
  Json second = parse_json(text.substr(end + 1)).value();
  EXPECT_EQ(json_string(second, "path"), "/a\"b");
}

TEST_F(EndpointTest, ManyTrainingLoopsAtOnceGetAnAnswerEach) {
  start({.metrics = api::Metrics::kShown});
  constexpr int kClients = 16, kPoints = 50;
  std::vector<std::thread> threads;
  std::atomic<int> good = 0;
  for (int c = 0; c < kClients; ++c)
    threads.emplace_back([&] {
      Json made = parse_json(send("POST", kCreateRun).body).value();
      std::string run = json_string(made["run"]["info"], "run_id");
      for (int step = 0; step < kPoints; ++step) {
        ClientRequest request{.method = "POST", .target = "/api/2.0/mlflow/runs/log-metric"};
        request.headers.add("Content-Type", "application/json");
        request.body =
            fmt::format(R"({{"run_id":"{}","key":"k","value":1,"timestamp":1,"step":{}}})", run, step);
        good += client_->send(request).value().status == 200;
      }
      auto history = store_.metric_history(run, "k", 0, "");
      good += history && history->items.size() == kPoints;
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good, kClients * (kPoints + 1));
  EXPECT_EQ(store_.written().points, kClients * kPoints);
  EXPECT_LE(store_.written().commits, store_.written().calls);
}

}  // namespace
}  // namespace tidemill
