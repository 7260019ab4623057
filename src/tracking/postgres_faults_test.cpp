// The store on a PostgreSQL that is restarted, crashes, or is shared.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "postgres_server.h"
#include "test_database.h"
#include "tracking/store.h"

namespace tidemill::tracking {
namespace {

struct PostgresFaults : testing::Test {
  void SetUp() override {
    if (!test::on_postgres()) GTEST_SKIP() << "runs with TIDEMILL_TEST_DATABASE=postgres";
    server = test::PostgresServer::start().value();
    uri = server->new_database().value();
  }
  std::unique_ptr<test::PostgresServer> server;
  std::string uri;
};

TEST_F(PostgresFaults, every_answered_write_survives_restarts_and_crashes_of_the_server) {
  Store store = Store::open({.uri = uri, .default_artifact_root = "a"}).value();
  std::string id = store.create_run({}).value().info.id;
  constexpr int kThreads = 4;
  std::atomic<bool> stop = false;
  std::array<std::atomic<int64_t>, kThreads> answered{};
  std::vector<std::thread> threads;
  for (size_t t = 0; t < kThreads; ++t)
    threads.emplace_back([&, t] {
      while (!stop) {
        int64_t step = answered[t];
        auto logged =
            store.log_metric(id, {"m" + std::to_string(t), 0.1 * static_cast<double>(step), step, step});
        EXPECT_TRUE(logged) << logged.error().message;
        if (logged) ++answered[t];
      }
    });
  auto wait_for_progress = [&] {
    for (auto& count : answered)
      for (int64_t before = count; count < before + 20;) std::this_thread::yield();
  };
  for (int round = 0; round < 3; ++round) {
    wait_for_progress();
    round == 1 ? server->stop() : server->kill();
    ASSERT_TRUE(server->resume());
    EXPECT_TRUE(store.run(id));
  }
  wait_for_progress();
  stop = true;
  for (auto& thread : threads) thread.join();
  for (size_t t = 0; t < kThreads; ++t) {
    auto points = store.metric_history(id, "m" + std::to_string(t)).value().items;
    ASSERT_EQ(static_cast<int64_t>(points.size()), answered[t]);
    for (size_t i = 0; i < points.size(); ++i) EXPECT_EQ(points[i].value, 0.1 * static_cast<double>(i));
  }
}

TEST_F(PostgresFaults, two_processes_log_to_one_metric) {
  constexpr int64_t kPoints = 200;
  std::string id = Store::open({.uri = uri}).value().create_run({}).value().info.id;
  auto log = [&](int64_t first) {
    auto store = Store::open({.uri = uri});
    if (!store) return 1;
    for (int64_t step = first; step < first + kPoints; ++step)
      if (!store->log_metric(id, {"m", 1.0 * static_cast<double>(step), step, step})) return 2;
    return 0;
  };
  pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) _exit(log(kPoints));
  EXPECT_EQ(log(0), 0);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  auto points = Store::open({.uri = uri}).value().metric_history(id, "m").value().items;
  ASSERT_EQ(static_cast<int64_t>(points.size()), 2 * kPoints);
  for (size_t i = 0; i < points.size(); ++i) EXPECT_EQ(points[i].step, static_cast<int64_t>(i));
}

}  // namespace
}  // namespace tidemill::tracking
