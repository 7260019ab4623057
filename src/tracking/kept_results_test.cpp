#include "tracking/kept_results.h"

#include <gmock/gmock.h>

#include "base/files.h"
#include "test_database.h"
#include "tracking/registry.h"

namespace tidemill::tracking {
namespace {

class KeptResults : public testing::Test {
 protected:
  TempDir dir_ = TempDir::create().value();
  Store store_ =
      Store::open({.uri = test::new_database(dir_.path() / "t.db"), .default_artifact_root = "/a"}).value();

  std::string add_run(const std::string& name, int64_t time, std::vector<KeyValue> tags,
                      RunStatus status = RunStatus::kFinished) {
    tracking::Run run = Store::make_run({.name = name, .start_time = time, .tags = std::move(tags)}).value();
    run.info.status = status;
    std::vector<Change> changes = {NewRun{run}};
    EXPECT_TRUE(store_.apply(changes));
    return run.info.id;
  }
  // A step's run, ten bytes of outputs, and its result.
  std::string add_result(const std::string& key, int64_t time) {
    std::string run = add_run("step", time, {{"tidemill.step", "step-" + key}});
    std::vector<Change> changes = {RecordArtifacts{run, {{"a", 4, "x"}, {"b", 6, "y"}}},
                                   StepResult{key, run, "digest", {}}};
    EXPECT_TRUE(store_.apply(changes));
    return run;
  }
  void add_step(const std::string& parent, const std::string& step_run) {
    std::vector<Change> changes = {StepRecord{parent, "step", "finished", 1, step_run, "k", ""}};
    EXPECT_TRUE(store_.apply(changes));
  }
  std::string needed_by(const std::string& key) {
    auto all = kept_results(store_);
    EXPECT_TRUE(all) << all.error().message;
    for (const auto& result : *all)
      if (result.key == key) return result.needed_by;
    return "(gone)";
  }
};

TEST_F(KeptResults, AreListedWithTheLeastRecentlyUsedFirst) {
  add_result("b", 2000);
  std::string oldest = add_result("a", 1000);
  auto all = kept_results(store_).value();
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].key, "a");
  EXPECT_EQ(all[0].bytes, 10u);
  EXPECT_EQ(all[0].files, 2u);
  EXPECT_EQ(all[0].step, "step-a");
  add_run("again", 3000, {{"tidemill.reused_run", oldest}});
  EXPECT_EQ(kept_results(store_)->front().key, "b") << "the other one was reused since";
}

TEST_F(KeptResults, AStepThatPointsToTheRunItselfIsUse) {
  std::string step = add_result("a", 1000);
  add_result("b", 2000);
  std::string parent = add_run("p", 3000, {{"tidemill.pipeline", "p"}});
  std::vector<Change> changes = {StepRecord{parent, "step", "reused", 1, step, "k", ""}};
  ASSERT_TRUE(store_.apply(changes));
  EXPECT_EQ(kept_results(store_)->front().key, "b");
}

TEST_F(KeptResults, ThoseOfARunThatWasReusedAsAWholeWereOfUse) {
  std::string step = add_result("a", 1000);
  std::string parent = add_run("p", 1000, {{"tidemill.pipeline", "p"}});
  add_step(parent, step);
  add_result("b", 2000);
  add_run("p", 3000, {{"tidemill.pipeline", "p"}, {std::string(kStepsOfTag), parent}});
  auto all = kept_results(store_).value();
  EXPECT_EQ(all[0].key, "b");
  EXPECT_EQ(all[1].last_used, 3000);
  EXPECT_EQ(all[1].needed_by, "the latest run of pipeline p");
}

TEST_F(KeptResults, WhatIsNeededIsNotForgotten) {
  std::string of_model = add_result("model", 1), reused = add_result("reused", 2), old = add_result("old", 3),
              latest = add_result("latest", 4), good = add_result("good", 5),
              active = add_result("active", 6);
  Registry registry(store_);
  ASSERT_TRUE(registry.create_model({.name = "m", .description = "", .tags = {}}));
  ASSERT_TRUE(
      registry.create_version({.name = "m", .source = "runs:/" + of_model + "/model", .run_id = of_model}));
  std::string first = add_run("p", 10, {{"tidemill.pipeline", "p"}});
  add_step(first, old);
  std::string second = add_run("p", 20, {{"tidemill.pipeline", "p"}});
  add_step(second, good);
  std::string third = add_run("p", 30, {{"tidemill.pipeline", "p"}}, RunStatus::kFailed);
  add_step(third, latest);
  std::string running = add_run("q", 40, {{"tidemill.pipeline", "q"}}, RunStatus::kRunning);
  add_step(running, active);
  std::string pointer = add_run("s", 50, {{"tidemill.reused_run", reused}});
  std::vector<Change> more = {StepRecord{running, "other", "reused", 1, pointer, "k", ""}};
  ASSERT_TRUE(store_.apply(more));
  EXPECT_EQ(needed_by("model"), "model m version 1");
  EXPECT_EQ(needed_by("reused"), "a run that is active");
  EXPECT_EQ(needed_by("active"), "a run that is active");
  EXPECT_EQ(needed_by("latest"), "the latest run of pipeline p");
  EXPECT_EQ(needed_by("good"), "the latest run of pipeline p") << "the latest that has succeeded";
  EXPECT_EQ(needed_by("old"), "");
  const int64_t changes = store_.result_changes().value();
  auto forgotten = forget_unneeded(store_, kept_results(store_).value());
  ASSERT_TRUE(forgotten) << forgotten.error().message;
  ASSERT_EQ(forgotten->size(), 1u);
  EXPECT_EQ((*forgotten)[0].key, "old");
  EXPECT_EQ(needed_by("old"), "(gone)");
  EXPECT_GT(store_.result_changes().value(), changes);
  EXPECT_TRUE(store_.artifacts(old)->empty());
  EXPECT_THAT(std::string(store_.run(old)->tag("tidemill.outputs")),
              testing::HasSubstr("removed to free space"));
}

TEST_F(KeptResults, ADamagedOneIsForgottenWhateverNeedsIt) {
  std::string step = add_result("a", 1);
  std::string parent = add_run("p", 10, {{"tidemill.pipeline", "p"}});
  add_step(parent, step);
  ASSERT_TRUE(forget_damaged(store_, kept_results(store_)->front()));
  EXPECT_EQ(needed_by("a"), "(gone)");
  EXPECT_FALSE(store_.step_results({"a"}).value()[0]);
}

}  // namespace
}  // namespace tidemill::tracking
