// The SDK against a small server that keeps what it is sent and can be told to misbehave.
#include "tidemill/tidemill.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>

#include "base/files.h"
#include "base/json.h"
#include "net/http_server.h"

namespace tidemill {
namespace {

using ::testing::HasSubstr;

class SdkTest : public ::testing::Test {
 protected:
  SdkTest() {
    for (const char* name : {"MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME",
                             "MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_TOKEN"})
      ::unsetenv(name);
    server_.emplace(std::move(*HttpServer::start({}, [this](HttpRequest request, Respond respond) {
      std::lock_guard lock(mutex_);
      respond(answer(request));
    })));
  }

  HttpResponse answer(const HttpRequest& request) {
    if (failures_ > 0) return failures_--, HttpResponse::text(503, "busy");
    calls_.push_back(request.method + " " + request.target);
    Json body = parse_json(request.body).value_or(Json::object());
    std::string_view path = request.path;
    if (path.ends_with("get-by-name"))
      return HttpResponse::text(404, R"({"error_code":"RESOURCE_DOES_NOT_EXIST"})");
    if (path.ends_with("experiments/create")) return HttpResponse::text(200, R"({"experiment_id":"7"})");
    if (path.ends_with("runs/create") || path.ends_with("runs/get")) {
      Json info = {{"run_id", "r1"}, {"experiment_id", "7"}, {"artifact_uri", artifact_uri_}};
      Json data = {{"params", {{{"key", "given"}, {"value", "1"}}}}};
      return HttpResponse::text(200, Json{{"run", {{"info", info}, {"data", data}}}}.dump());
    }
    if (path.ends_with("log-batch")) return log_batch(body);
    if (request.method == "PUT") uploads_[request.target] = request.body;
    return HttpResponse::text(200, "{}");
  }

  HttpResponse log_batch(const Json& body) {
    for (const Json& param : body["params"])
      if (param["key"] == "bad")
        return HttpResponse::text(400, R"({"error_code":"INVALID_PARAMETER_VALUE","message":"bad param"})");
    batches_.push_back(body["metrics"].size());
    for (const Json& metric : body["metrics"]) metrics_.push_back(metric);
    for (const Json& param : body["params"]) params_[param["key"]] = param["value"];
    for (const Json& tag : body["tags"]) tags_[tag["key"]] = tag["value"];
    return HttpResponse::text(200, "{}");
  }

  sdk::Result<sdk::Run> start(std::string run_id = "") {
    return sdk::Run::start(
        {.tracking_uri = server_->url(), .experiment = "e", .run_id = std::move(run_id), .run_name = ""});
  }

  std::mutex mutex_;
  std::string artifact_uri_ = "mlflow-artifacts:/7/r1/artifacts";
  int failures_ = 0;
  std::vector<std::string> calls_;
  std::vector<size_t> batches_;
  std::vector<Json> metrics_;
  std::map<std::string, std::string> params_, tags_, uploads_;
  std::optional<HttpServer> server_;
};

TEST_F(SdkTest, EverythingLoggedArrivesInBatchesWithinTheLimits) {
  auto run = start();
  ASSERT_TRUE(run) << run.error();
  for (int i = 0; i < 5000; ++i) run->log_metric("m", i * 0.5, i);
  for (int i = 0; i < 250; ++i) run->log_param("p" + std::to_string(i), "v");
  run->log_metrics({{"nan", std::nan("")}, {"inf", INFINITY}}, 3);
  run->set_tag("t", "ü");
  ASSERT_TRUE(run->flush());
  std::lock_guard lock(mutex_);
  EXPECT_EQ(metrics_.size(), 5002u);
  EXPECT_EQ(metrics_[4999]["step"], 4999);
  EXPECT_EQ(metrics_[5000]["value"], "NaN");
  EXPECT_EQ(params_.size(), 250u);
  EXPECT_EQ(tags_["t"], "ü");
  for (size_t size : batches_) EXPECT_LE(size, 1000u);
}

TEST_F(SdkTest, OneBadItemDoesNotTakeOthersWithIt) {
  auto run = start();
  for (int i = 0; i < 50; ++i) run->log_param("p" + std::to_string(i), "v");
  run->log_param("bad", "x");
  for (int i = 0; i < 300; ++i) run->log_metric("m", i, i);
  auto flushed = run->flush();
  ASSERT_FALSE(flushed);
  EXPECT_EQ(flushed.error(), "bad param");
  EXPECT_EQ(params_.size(), 50u);
  EXPECT_EQ(metrics_.size(), 300u);
  EXPECT_TRUE(run->flush()) << "an error is told once";
}

TEST_F(SdkTest, ABusyServerIsAskedAgain) {
  auto run = start();
  {
    std::lock_guard lock(mutex_);
    failures_ = 2;
  }
  run->log_metric("m", 1);
  ASSERT_TRUE(run->flush());
  EXPECT_EQ(metrics_.size(), 1u);
}

TEST_F(SdkTest, ACreatedRunIsEndedAndAnAbandonedOneFails) {
  {
    ASSERT_TRUE(start()->end());
  }
  EXPECT_EQ(calls_.back(), "POST /api/2.0/mlflow/runs/update");
  size_t before = calls_.size();
  {
    auto abandoned = start();
    abandoned->log_metric("m", 1);
  }
  EXPECT_EQ(metrics_.size(), 1u);
  EXPECT_EQ(calls_.back(), "POST /api/2.0/mlflow/runs/update");
  EXPECT_GT(calls_.size(), before + 1);
}

TEST_F(SdkTest, AStepsRunIsJoinedAndLeftToItsRunner) {
  ::setenv("MLFLOW_RUN_ID", "r1", 1);
  {
    auto run = start();
    run->log_metric("m", 1);
    ASSERT_TRUE(run->end());
  }
  ::unsetenv("MLFLOW_RUN_ID");
  EXPECT_EQ(calls_.front(), "GET /api/2.0/mlflow/runs/get?run_id=r1");
  EXPECT_EQ(calls_.back(), "POST /api/2.0/mlflow/runs/log-batch");
}

TEST_F(SdkTest, AJoinedRunTellsTheParametersItWasGiven) {
  auto run = start("r1");
  EXPECT_EQ(run->given_param("given"), "1");
  EXPECT_EQ(run->given_param("other"), std::nullopt);
}

TEST_F(SdkTest, ArtifactsAreUploadedToTheProxy) {
  TempDir dir = TempDir::create().value();
  ASSERT_TRUE(write_file_atomic(dir.path() / "a b.txt", "content", Durable::no));
  auto run = start();
  ASSERT_TRUE(run->log_artifact(dir.path() / "a b.txt", "deep/er"));
  ASSERT_TRUE(run->log_text("text", "t.txt"));
  EXPECT_EQ(uploads_["/api/2.0/mlflow-artifacts/artifacts/7/r1/artifacts/deep/er/a%20b.txt"], "content");
  EXPECT_EQ(uploads_["/api/2.0/mlflow-artifacts/artifacts/7/r1/artifacts/t.txt"], "text");
  EXPECT_EQ(run->local_artifact_dir(), "");
  EXPECT_FALSE(run->log_artifact(dir.path() / "none"));
}

TEST_F(SdkTest, ArtifactsOfALocalRunAreCopied) {
  TempDir dir = TempDir::create().value();
  artifact_uri_ = "file://" + (dir.path() / "artifacts").string();
  ASSERT_TRUE(write_file_atomic(dir.path() / "a.txt", "content", Durable::no));
  auto run = start();
  EXPECT_EQ(run->local_artifact_dir(), dir.path() / "artifacts");
  ASSERT_TRUE(run->log_artifact(dir.path() / "a.txt", "x"));
  ASSERT_TRUE(run->log_artifact(dir.path() / "artifacts/x/a.txt", "x")) << "a file that lies there already";
  EXPECT_EQ(read_file(dir.path() / "artifacts/x/a.txt").value(), "content");
  EXPECT_FALSE(run->log_text("x", "../out.txt"));
  EXPECT_FALSE(fs::exists(dir.path() / "out.txt"));
}

TEST_F(SdkTest, ABadTrackingUriIsNamed) {
  auto run =
      sdk::Run::start({.tracking_uri = "sqlite:///x.db", .experiment = "", .run_id = "", .run_name = ""});
  ASSERT_FALSE(run);
  EXPECT_THAT(run.error(), HasSubstr("'sqlite:///x.db' is not an http"));
}

}  // namespace
}  // namespace tidemill
