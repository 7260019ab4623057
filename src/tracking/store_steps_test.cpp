#include <gmock/gmock.h>

#include "base/files.h"
#include "test_database.h"
#include "tracking/store.h"

namespace tidemill::tracking {
namespace {

class Steps : public testing::Test {
 protected:
  TempDir dir_ = TempDir::create().value();
  Store store_ = Store::open({.uri = test::new_database(dir_.path() / "t.db")}).value();

  tracking::Run new_run(const std::string& name) { return Store::make_run({.name = name}).value(); }
};

TEST_F(Steps, ARunItsParametersAndItsStepComeIntoBeingTogether) {
  tracking::Run parent = new_run("p"), child = new_run("c");
  std::vector<Change> changes = {
      NewRun{parent}, NewRun{child}, LogBatch{child.info.id, {.params = {{"a", "1"}}}},
      StepRecord{parent.info.id, "train", "running", 1, child.info.id, "k", "first run"}};
  ASSERT_TRUE(store_.apply(changes));
  EXPECT_EQ(store_.run(child.info.id)->param("a"), "1");
  EXPECT_THAT(store_.run(child.info.id)->info.artifact_uri, testing::EndsWith(child.info.id + "/artifacts"));
  auto records = store_.step_records(parent.info.id).value();
  ASSERT_EQ(records.size(), 1u);
  EXPECT_EQ(records[0].state, "running");
  EXPECT_EQ(records[0].step_run, child.info.id);
}

TEST_F(Steps, ARunThatReusesAllOfAnotherHasItsSteps) {
  tracking::Run before = new_run("p"), step = new_run("c"), after = new_run("p");
  after.tags.emplace_back(kStepsOfTag, before.info.id);
  std::vector<Change> changes = {
      NewRun{before}, NewRun{step}, NewRun{after},
      StepRecord{before.info.id, "a", "finished", 1, step.info.id, "k", "for the first time"},
      StepRecord{before.info.id, "b", "reused", 1, step.info.id, "k",
                 "nothing has changed since run 12345678"}};
  ASSERT_TRUE(store_.apply(changes));
  auto records = store_.step_records(after.info.id).value();
  ASSERT_EQ(records.size(), 2u);
  EXPECT_EQ(records[0].state, "reused");
  EXPECT_EQ(records[0].reason, "nothing has changed since run " + step.info.id.substr(0, 8));
  EXPECT_EQ(records[1].reason, "nothing has changed since run 12345678");
  EXPECT_EQ(records[1].run_id, after.info.id);
}

TEST_F(Steps, ItIsNoticedWhenAResultIsReplacedOrTakenAway) {
  tracking::Run run = new_run("c"), other = new_run("d");
  std::vector<Change> made = {NewRun{run}, NewRun{other}, StepResult{"key", run.info.id, "digest", {}}};
  ASSERT_TRUE(store_.apply(made));
  const int64_t at_first = store_.result_changes().value();
  std::vector<Change> same = {StepResult{"key", run.info.id, "digest", {}},
                              StepResult{"another", run.info.id, "digest", {}}};
  ASSERT_TRUE(store_.apply(same));
  EXPECT_EQ(store_.result_changes(), at_first);
  std::vector<Change> replaced = {StepResult{"key", other.info.id, "digest", {}}};
  ASSERT_TRUE(store_.apply(replaced));
  EXPECT_EQ(store_.result_changes(), at_first + 1);
  ASSERT_TRUE(store_.delete_run(run.info.id));
  EXPECT_EQ(store_.result_changes(), at_first + 2);
}

TEST_F(Steps, WhatARunWasStartedWithIsKept) {
  tracking::Run run = store_.create_run({.name = "p"}).value();
  EXPECT_FALSE(store_.run_request(run.info.id).value());
  std::vector<Change> changes = {RunRequest{run.info.id, "{}"}, RunRequest{run.info.id, "{\"port\":1}"}};
  ASSERT_TRUE(store_.apply(changes));
  EXPECT_EQ(store_.run_request(run.info.id).value(), "{\"port\":1}");
  EXPECT_EQ(store_.run_request("absent").error().code, Code::kNotFound);
}

TEST_F(Steps, ARunCanGoOnAfterItHasEnded) {
  tracking::Run run = store_.create_run({.name = "p"}).value();
  ASSERT_TRUE(store_.update_run({.run_id = run.info.id, .status = RunStatus::kFailed, .end_time = 5}));
  ASSERT_TRUE(store_.update_run({.run_id = run.info.id, .status = RunStatus::kRunning, .end_time = 0}));
  EXPECT_FALSE(store_.run(run.info.id)->info.end_time);
}

TEST_F(Steps, NothingIsKeptWhenOneChangeIsRefused) {
  tracking::Run run = new_run("p");
  std::vector<Change> changes = {NewRun{run}, StepRecord{"no such run", "a", "running"}};
  EXPECT_EQ(store_.apply(changes).error().code, Code::kNotFound);
  EXPECT_EQ(store_.run(run.info.id).error().code, Code::kNotFound);
}

TEST_F(Steps, ARunCanPointAtTheArtifactsOfAnother) {
  tracking::Run made = store_.create_run({.name = "made"}).value(), reused = new_run("reused");
  reused.info.artifact_uri = made.info.artifact_uri;
  std::vector<Change> changes = {NewRun{reused}};
  ASSERT_TRUE(store_.apply(changes));
  EXPECT_EQ(store_.run(reused.info.id)->info.artifact_uri, made.info.artifact_uri);
}

TEST_F(Steps, ARunCanTakeOverWhatAnotherHasLogged) {
  tracking::Run made = store_.create_run({.tags = {{"digest", "d"}, {"tidemill.step", "a"}}}).value();
  ASSERT_TRUE(store_.log_batch(
      made.info.id,
      {.metrics = {{"accuracy", 0.5, 1, 1}, {"accuracy", 0.9, 2, 2}, {"system/step_seconds", 3, 2, 0}},
       .params = {{"lr", "0.1"}},
       .tags = {}}));
  tracking::Run reused = new_run("reused");
  std::vector<Change> changes = {NewRun{reused, made.info.id}};
  ASSERT_TRUE(store_.apply(changes));
  tracking::Run read = store_.run(reused.info.id).value();
  EXPECT_EQ(read.metric("accuracy"), 0.9);
  EXPECT_EQ(read.metrics.size(), 1u);
  EXPECT_EQ(read.param("lr"), "0.1");
  EXPECT_EQ(read.tag("digest"), "d");
  EXPECT_EQ(read.tag("tidemill.step"), "");
}

TEST_F(Steps, AResultIsFoundByItsKeyUntilItsRunIsDeleted) {
  tracking::Run run = store_.create_run({}).value();
  std::vector<Change> changes = {StepResult{"key", run.info.id, "digest", {}},
                                 StepKey{"p", "a", "key", "{}", run.info.id}};
  ASSERT_TRUE(store_.apply(changes));
  auto found = store_.step_results({"other", "key"}).value();
  EXPECT_FALSE(found[0]);
  ASSERT_TRUE(found[1]);
  EXPECT_EQ(found[1]->run_id, run.info.id);
  EXPECT_EQ(store_.step_key("p", "a").value()->ingredients, "{}");
  EXPECT_FALSE(store_.step_key("p", "b").value());
  ASSERT_TRUE(store_.delete_run(run.info.id));
  EXPECT_FALSE(store_.step_results({"key"}).value()[0]);
}

}  // namespace
}  // namespace tidemill::tracking
