#include "tracking/changes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/files.h"
#include "test_database.h"
#include "tracking/store.h"

namespace tidemill::tracking {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

struct ChangesTest : testing::Test {
  TempDir folder = TempDir::create().value();
  std::string uri = test::new_database(folder.path() / "t.db");
  Store store = Store::open({.uri = uri, .default_artifact_root = "a"}).value();

  static Changes taken(ChangeWatch& watch) {
    auto changes = watch.take();
    EXPECT_TRUE(changes) << changes.error().message;
    return changes ? std::move(*changes) : Changes();
  }
};

TEST_F(ChangesTest, what_happens_to_runs_is_told_once) {
  std::string before = store.create_run({}).value().info.id;
  ChangeWatch watch(store);
  EXPECT_TRUE(taken(watch).empty()) << "nothing from before the watch";
  std::string experiment = store.create_experiment("e").value();
  CreateRun create;
  create.experiment_id = experiment;
  std::string run = store.create_run(create).value().info.id;
  ASSERT_TRUE(store.log_metric(run, {"loss", 1, 1, 0}));
  ASSERT_TRUE(store.log_metric(run, {"acc", 1, 1, 0}));
  ASSERT_TRUE(store.log_metric(before, {"loss", 1, 1, 0}));
  Changes first = taken(watch);
  EXPECT_THAT(first.experiments, ElementsAre(std::stoll(experiment)));
  ASSERT_EQ(first.runs.size(), 2u);
  EXPECT_TRUE(first.runs[run].created);
  EXPECT_EQ(std::to_string(first.runs[run].experiment), experiment);
  EXPECT_THAT(first.runs[run].metrics, ElementsAre("acc", "loss"));
  EXPECT_FALSE(first.runs[before].created);
  EXPECT_FALSE(first.runs[before].updated) << "points alone change nothing else";
  EXPECT_FALSE(first.elsewhere);
  EXPECT_TRUE(taken(watch).empty());
  ASSERT_TRUE(store.set_tag(run, "t", "v"));
  EXPECT_TRUE(taken(watch).runs[run].updated);
  ASSERT_TRUE(store.update_run({.run_id = run, .status = RunStatus::kFinished, .end_time = 1, .name = {}}));
  EXPECT_TRUE(taken(watch).runs[run].finished);
  ASSERT_TRUE(store.delete_run(run));
  Changes deleted = taken(watch);
  EXPECT_TRUE(deleted.runs[run].updated);
  EXPECT_FALSE(deleted.runs[run].finished);
}

TEST_F(ChangesTest, what_was_not_written_is_not_told) {
  ChangeWatch watch(store);
  std::string run = store.create_run({}).value().info.id;
  ASSERT_TRUE(store.log_param(run, "p", "1"));
  taken(watch);
  EXPECT_FALSE(store.log_param(run, "p", "2"));
  EXPECT_FALSE(store.log_metric("no such run", {"m", 1, 1, 0}));
  EXPECT_TRUE(taken(watch).empty());
}

TEST_F(ChangesTest, another_process_is_noticed) {
  ChangeWatch watch(store);
  taken(watch);
  Store other = Store::open({.uri = uri, .default_artifact_root = "a"}).value();
  taken(watch);
  std::string run = other.create_run({}).value().info.id;
  Changes changes = taken(watch);
  EXPECT_TRUE(changes.elsewhere);
  EXPECT_THAT(changes.runs, IsEmpty());
  EXPECT_TRUE(taken(watch).empty());
  ASSERT_TRUE(other.log_metric(run, {"m", 1, 1, 0}));
  ASSERT_TRUE(store.set_tag(run, "own", "change"));
  changes = taken(watch);
  EXPECT_TRUE(changes.elsewhere);
  EXPECT_EQ(changes.runs.size(), 1u);
}

TEST_F(ChangesTest, too_much_to_list_is_told_as_such) {
  ChangeWatch watch(store);
  taken(watch);
  std::string run = store.create_run({}).value().info.id;
  for (int batch = 0; batch < 2; ++batch) {
    Batch many;
    for (int i = 0; i < 1000; ++i) many.metrics.push_back({fmt::format("m{}-{}", batch, i), 1, 1, 0});
    ASSERT_TRUE(store.log_batch(run, many));
  }
  EXPECT_TRUE(taken(watch).lost);
  EXPECT_TRUE(taken(watch).empty());
}

TEST_F(ChangesTest, every_watch_sees_everything) {
  ChangeWatch first(store);
  std::string run = store.create_run({}).value().info.id;
  {
    ChangeWatch second(store);
    ASSERT_TRUE(store.log_metric(run, {"m", 1, 1, 0}));
    EXPECT_THAT(taken(second).runs[run].metrics, ElementsAre("m"));
  }
  Changes changes = taken(first);
  EXPECT_TRUE(changes.runs[run].created);
  EXPECT_THAT(changes.runs[run].metrics, ElementsAre("m"));
}

}  // namespace
}  // namespace tidemill::tracking
