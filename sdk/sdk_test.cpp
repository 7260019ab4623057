// The SDK against a small server that keeps what it is sent and can be told to misbehave.
#include "tidemill/tidemill.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <numeric>
#include <thread>

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
    if (away_) {
      ++refused_;
      asked_.notify_all();
      return HttpResponse::text(503, "going down");
    }
    if (status_ != 0) return HttpResponse::text(status_, text_);
    if (failures_ > 0) return failures_--, HttpResponse::text(503, "busy");
    calls_.push_back(request.method + " " + request.target);
    Json body = parse_json(request.body).value_or(Json::object());
    std::string_view path = request.path;
    if (path.ends_with("get-by-name"))
      return HttpResponse::text(404, R"({"error_code":"RESOURCE_DOES_NOT_EXIST"})");
    if (path.ends_with("experiments/create")) return HttpResponse::text(200, R"({"experiment_id":"7"})");
    if (path.ends_with("runs/create")) created_tags_ = body["tags"];
    if (path.ends_with("runs/create") || path.ends_with("runs/get")) {
      Json info = {{"run_id", run_id_}, {"experiment_id", "7"}, {"artifact_uri", artifact_uri_}};
      Json data = {{"params", {{{"key", "given"}, {"value", "1"}}}},
                   {"metrics", {{{"key", "loss"}, {"step", 99}}, {{"key", "system/cpu"}, {"step", 7}}}}};
      return HttpResponse::text(200, Json{{"run", {{"info", info}, {"data", data}}}}.dump());
    }
    if (path.ends_with("log-batch") && other_store_)
      return HttpResponse::text(404, R"({"error_code":"RESOURCE_DOES_NOT_EXIST","message":"no such run"})");
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
    return sdk::Run::start({.tracking_uri = server_->url(),
                            .experiment = "e",
                            .run_id = std::move(run_id),
                            .patience = patience_,
                            .spool_dir = spool_});
  }

  // The batches are refused as by a server that is going down, or accepted again.
  void set_away(bool away) {
    std::lock_guard lock(mutex_);
    away_ = away;
  }

  std::vector<int64_t> steps() {
    std::lock_guard lock(mutex_);
    std::vector<int64_t> found;
    for (const Json& metric : metrics_) found.push_back(metric["step"]);
    return found;
  }

  std::mutex mutex_;
  std::string artifact_uri_ = "mlflow-artifacts:/7/r1/artifacts";
  int failures_ = 0;
  int status_ = 0;  // what is answered to everything, unless 0
  std::string text_;
  bool other_store_ = false;  // which does not know the runs
  std::string run_id_ = "r1";
  Json created_tags_;
  bool away_ = false;
  int refused_ = 0;
  std::condition_variable asked_;
  TempDir spool_dir_ = TempDir::create().value();
  fs::path spool_ = spool_dir_.path() / "spool";
  std::chrono::seconds patience_{60};
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
  EXPECT_EQ(flushed.error().message, "bad param");
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

std::vector<int64_t> up_to(int64_t end) {
  std::vector<int64_t> steps(static_cast<size_t>(end));
  std::iota(steps.begin(), steps.end(), 0);
  return steps;
}

TEST_F(SdkTest, WhatIsLoggedWhileTheServerIsAwayArrivesInOrderWhenItIsBack) {
  auto run = start();
  for (int i = 0; i < 1500; ++i) run->log_metric("m", i, i);
  ASSERT_TRUE(run->flush());
  set_away(true);
  for (int i = 1500; i < 4000; ++i) run->log_metric("m", i, i);
  while (!fs::exists(spool_)) std::this_thread::yield();
  set_away(false);
  for (int i = 4000; i < 5000; ++i) run->log_metric("m", i, i);
  ASSERT_TRUE(run->end());
  EXPECT_EQ(steps(), up_to(5000)) << "all, in order, none twice";
  EXPECT_TRUE(fs::is_empty(spool_));
}

TEST_F(SdkTest, WhatCouldNotBeSentToTheEndIsNamedKeptAndSentByTheNextStart) {
  patience_ = std::chrono::seconds(0);
  {
    auto run = start();
    ASSERT_TRUE(run);
    set_away(true);
    for (int i = 0; i < 2500; ++i) run->log_metric("m", i, i);
    auto ended = run->end();
    ASSERT_FALSE(ended);
    EXPECT_THAT(ended.error().message, HasSubstr("r1"));
  }
  ASSERT_FALSE(fs::is_empty(spool_));
  EXPECT_EQ(steps().size(), 0u);
  set_away(false);
  patience_ = std::chrono::seconds(60);
  ASSERT_TRUE(start()->end());
  EXPECT_EQ(steps(), up_to(2500));
  EXPECT_TRUE(fs::is_empty(spool_));
  EXPECT_EQ(std::count(calls_.begin(), calls_.end(), "POST /api/2.0/mlflow/runs/update"), 2)
      << "the run that ended while the server was away has its end as well";
}

TEST_F(SdkTest, WithoutADiskMemoryKeepsWhatCannotBeSent) {
  ASSERT_TRUE(write_file_atomic(spool_, "a file where the folder should be", Durable::no));
  auto run = start();
  set_away(true);
  for (int i = 0; i < 3000; ++i) run->log_metric("m", i, i);
  run->set_tag("t", "1");
  {
    std::unique_lock lock(mutex_);
    asked_.wait(lock, [&] { return refused_ > 1; });
  }
  set_away(false);
  for (int i = 3000; i < 4000; ++i) run->log_metric("m", i, i);
  ASSERT_TRUE(run->end());
  EXPECT_EQ(steps(), up_to(4000));
  EXPECT_EQ(tags_["t"], "1");
}

TEST_F(SdkTest, WhatAProxyInFrontOfTheServerRefusesIsKept) {
  struct Answer {
    int status;
    const char* text;
  };
  for (Answer answer :
       {Answer{401, "who are you"}, Answer{403, "no"}, Answer{302, ""}, Answer{200, "<html>welcome"}}) {
    patience_ = std::chrono::seconds(0);
    {
      auto run = start();
      ASSERT_TRUE(run);
      std::unique_lock lock(mutex_);
      status_ = answer.status;
      text_ = answer.text;
      lock.unlock();
      run->log_metric("m", 1, answer.status);
      auto flushed = run->flush();
      ASSERT_FALSE(flushed);
      EXPECT_THAT(flushed.error().message, HasSubstr("is kept in " + spool_.string()));
    }
    EXPECT_FALSE(fs::is_empty(spool_));
    std::unique_lock lock(mutex_);
    status_ = 0;
    lock.unlock();
    patience_ = std::chrono::seconds(60);
    ASSERT_TRUE(start()->end());
    EXPECT_EQ(steps().back(), answer.status);
    EXPECT_TRUE(fs::is_empty(spool_));
  }
}

TEST_F(SdkTest, ARunThatIsGoneTakesOneRequestForEachBatch) {
  auto run = start();
  std::unique_lock lock(mutex_);
  status_ = 404;
  text_ = R"({"error_code":"RESOURCE_DOES_NOT_EXIST","message":"Run with id=r1 not found"})";
  lock.unlock();
  for (int i = 0; i < 300; ++i) run->log_metric("m", i, i);
  auto flushed = run->flush();
  ASSERT_FALSE(flushed);
  EXPECT_EQ(flushed.error().message, "Run with id=r1 not found");
  EXPECT_FALSE(fs::exists(spool_));
}

TEST_F(SdkTest, WhatAnotherStoreAtTheSameAddressDoesNotKnowIsKeptForTheRightOne) {
  patience_ = std::chrono::seconds(0);
  {
    auto run = start();
    set_away(true);
    run->log_metric("m", 1, 7);
    (void)run->end();
  }
  set_away(false);
  patience_ = std::chrono::seconds(60);
  run_id_ = "r2";
  {
    std::lock_guard lock(mutex_);
    other_store_ = true;
  }
  ASSERT_TRUE(start()->end());
  EXPECT_FALSE(fs::is_empty(spool_));
  {
    std::lock_guard lock(mutex_);
    other_store_ = false;
  }
  ASSERT_TRUE(start()->end());
  EXPECT_EQ(steps(), std::vector<int64_t>{7});
  EXPECT_TRUE(fs::is_empty(spool_));
}

TEST_F(SdkTest, ANestedRunNamesItsParent) {
  auto run = sdk::Run::start({.tracking_uri = server_->url(), .parent_run_id = "r0", .spool_dir = spool_});
  ASSERT_TRUE(run) << run.error();
  ASSERT_TRUE(run->end());
  EXPECT_THAT(created_tags_, ::testing::Contains(Json{{"key", "mlflow.parentRunId"}, {"value", "r0"}}));
}

TEST_F(SdkTest, ARunIsOfWhoLogsIn) {
  ::setenv("MLFLOW_TRACKING_USERNAME", "ada", 1);
  auto run = sdk::Run::start({.tracking_uri = server_->url(), .spool_dir = spool_});
  ::unsetenv("MLFLOW_TRACKING_USERNAME");
  ASSERT_TRUE(run) << run.error();
  ASSERT_TRUE(run->end());
  EXPECT_THAT(created_tags_, ::testing::Contains(Json{{"key", "mlflow.user"}, {"value", "ada"}}));
}

TEST_F(SdkTest, TheMachinesMetricsGoOnWhereAJoinedRunHasThem) {
  ::setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.01", 1);
  auto run = sdk::Run::start(
      {.tracking_uri = server_->url(), .run_id = "r1", .system_metrics = true, .spool_dir = spool_});
  ::unsetenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL");
  ASSERT_TRUE(run);
  while (steps().empty()) ASSERT_TRUE(run->flush());
  ASSERT_TRUE(run->end());
  EXPECT_EQ(steps().front(), 8) << "the step after the last one of system/*";
  EXPECT_THAT(std::string(metrics_.front()["key"]), ::testing::StartsWith("system/"));
}

TEST_F(SdkTest, ThePasswordOfTheTrackingUriIsNotWrittenToTheDisk) {
  patience_ = std::chrono::seconds(0);
  {
    std::string uri = server_->url();
    auto run = sdk::Run::start({.tracking_uri = uri.insert(uri.find("://") + 3, "me:secret@"),
                                .experiment = "e",
                                .patience = patience_,
                                .spool_dir = spool_});
    ASSERT_TRUE(run);
    set_away(true);
    run->log_metric("m", 1);
    (void)run->end();
  }
  for (const auto& entry : fs::directory_iterator(spool_))
    EXPECT_EQ(read_file(entry.path()).value().find("secret"), std::string::npos);
  set_away(false);
  ASSERT_TRUE(start()->end());
  EXPECT_EQ(steps().size(), 1u);
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
  auto run = sdk::Run::start({.tracking_uri = "sqlite:///x.db", .spool_dir = spool_});
  ASSERT_FALSE(run);
  EXPECT_THAT(run.error().message, HasSubstr("'sqlite:///x.db' is not an http"));
}

}  // namespace
}  // namespace tidemill
