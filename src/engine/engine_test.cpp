#include "engine/engine_fixture.h"

#include <signal.h>
#include <sys/wait.h>

#include <fstream>

#include "base/hash.h"
#include "base/time.h"
#include "engine/provenance.h"
#include "sys/signals.h"

namespace tidemill::engine {
namespace {

using testing::HasSubstr;
using tracking::RunStatus;

using Engine = EngineTest;

constexpr const char* kTwoSteps =
    "name: demo\nsteps:\n  a: {project: a}\n  b: {project: b, params: {input: "
    "'${steps.a.artifacts}/out.txt'}}\n";

TEST_F(Engine, RecordsOneParentAndAChildForEachStepAndPassesOutputsOn) {
  add_step("a", "echo hello > $TIDEMILL_OUTPUT_DIR/out.txt; echo $MLFLOW_RUN_ID > id");
  add_step("b", "cat {input} > result", "{input: path}");
  auto outcome = run(kTwoSteps);
  ASSERT_TRUE(outcome) << outcome.error().message;
  EXPECT_EQ(outcome->status, RunStatus::kFinished);
  EXPECT_EQ(text_of("b/result"), "hello\n");

  tracking::Run parent = store_->run(outcome->run_id).value();
  EXPECT_EQ(parent.info.status, RunStatus::kFinished);
  EXPECT_EQ(parent.info.name, "demo");
  EXPECT_EQ(store_->step_records(parent.info.id).value()[1].state, "finished");
  tracking::Run a = store_->run(outcome->steps[0].run_id).value(),
                b = store_->run(outcome->steps[1].run_id).value();
  EXPECT_EQ(text_of("a/id"), a.info.id + "\n");
  EXPECT_EQ(a.tag("mlflow.parentRunId"), parent.info.id);
  EXPECT_EQ(a.tag("mlflow.source.type"), "PROJECT");
  EXPECT_THAT(std::string(b.param("input")), testing::EndsWith("/out.txt"));
  EXPECT_TRUE(b.info.end_time.has_value());
  auto files = store_->artifacts(a.info.id).value();
  ASSERT_EQ(files.size(), 1u);
  EXPECT_EQ(files[0].path, "out.txt");
  EXPECT_EQ(files[0].sha256, sha256_hex("hello\n"));
}

TEST_F(Engine, AFailingStepIsShownWithItsLastLinesAndTheRestIsSkipped) {
  add_step("a", "for i in $(seq 100); do echo line $i; done; exit 3");
  add_step("b", "touch ran", "{input: string}");
  auto outcome = run(kTwoSteps);
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->status, RunStatus::kFailed);
  EXPECT_EQ(status_of(outcome->run_id), RunStatus::kFailed);
  EXPECT_EQ(status_of(outcome->steps[0].run_id), RunStatus::kFailed);
  const StepFinished* a = finished("a");
  ASSERT_NE(a, nullptr);
  EXPECT_EQ(a->reason, "exit status 3");
  EXPECT_EQ(a->last_lines.size(), 20u);
  EXPECT_EQ(a->last_lines.back(), "line 100");
  EXPECT_THAT(a->command, HasSubstr("exit 3"));
  EXPECT_TRUE(fs::exists(a->log));
  EXPECT_EQ(finished("b")->state, StepState::kSkipped);
  EXPECT_EQ(finished("b")->reason, "needs a, which failed");
  EXPECT_FALSE(fs::exists(dir_.path() / "b/ran"));
  EXPECT_EQ(store_->step_records(outcome->run_id).value()[1].state, "skipped");
}

TEST_F(Engine, KeepGoingRunsWhatDoesNotNeedTheFailedStep) {
  add_step("bad", "exit 1");
  add_step("good", "touch ../ran.{n}", "{n: int}");
  const char* yaml =
      "steps:\n  bad: {project: bad}\n  after: {project: good, needs: [bad], params: {n: 1}}\n"
      "  other: {project: good, params: {n: 2}}\n";
  EXPECT_EQ(run(yaml, 1)->status, RunStatus::kFailed);
  EXPECT_FALSE(fs::exists(dir_.path() / "ran.2"));
  options_.after_failure = config::AfterFailure::kKeepGoing;
  EXPECT_EQ(run(yaml, 1)->status, RunStatus::kFailed);
  EXPECT_TRUE(fs::exists(dir_.path() / "ran.2"));
  EXPECT_FALSE(fs::exists(dir_.path() / "ran.1"));
  EXPECT_EQ(finished("after")->reason, "needs bad, which failed");
}

TEST_F(Engine, AFailureThatIsAllowedIsNotTheRuns) {
  add_step("bad", "exit 1");
  add_step("good", "touch ../ran.{n}", "{n: int}");
  auto outcome = run(
      "steps:\n  bad: {project: bad, allow_failure: true}\n"
      "  after: {project: good, needs: [bad], params: {n: 1}}\n  other: {project: good, params: {n: 2}}\n",
      1);
  EXPECT_EQ(outcome->status, RunStatus::kFinished);
  EXPECT_EQ(finished("bad")->state, StepState::kFailed);
  EXPECT_EQ(finished("after")->state, StepState::kSkipped);
  EXPECT_TRUE(fs::exists(dir_.path() / "ran.2"));
}

TEST_F(Engine, IndependentStepsRunAtTheSameTime) {
  // Each waits for the other's file: one after another, neither would end.
  add_step("a", "touch here; for i in $(seq 500); do [ -e ../b/here ] && exit 0; sleep 0.01; done; exit 1");
  add_step("b", "touch here; for i in $(seq 500); do [ -e ../a/here ] && exit 0; sleep 0.01; done; exit 1");
  EXPECT_EQ(run("steps:\n  a: {project: a}\n  b: {project: b}\n", 2)->status, RunStatus::kFinished);
}

TEST_F(Engine, AStepThatTakesTooLongIsStopped) {
  add_step("a", "sleep 1000");
  auto outcome = run("steps:\n  a: {project: a, timeout: 1}\n");
  EXPECT_EQ(outcome->status, RunStatus::kFailed);
  EXPECT_THAT(finished("a")->reason, HasSubstr("timeout of 1.0 s"));
}

TEST_F(Engine, NothingIsRecordedWhenAParameterCannotFit) {
  add_step("a", "echo {n}", "{n: {type: int}}");
  auto outcome = run("steps:\n  a: {project: a, params: {n: many}}\n");
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, Code::kInvalid);
  EXPECT_THAT(outcome.error().message, HasSubstr("'n' must be a whole number"));
  EXPECT_THAT(run("steps:\n  a: {project: a}\n").error().message, HasSubstr("does not pass parameter 'n'"));
  EXPECT_TRUE(store_->search_runs({.experiment_ids = {"0", "1"}})->items.empty());
}

TEST_F(Engine, AMetricThatWasNotLoggedFailsTheStepThatRefersToIt) {
  add_step("a", "true");
  add_step("b", "true", "{x: string}");
  auto outcome =
      run("steps:\n  a: {project: a}\n  b: {project: b, params: {x: '${steps.a.metrics.accuracy}'}}\n");
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->status, RunStatus::kFailed);
  EXPECT_THAT(finished("b")->reason, HasSubstr("logged no metric 'accuracy'"));
}

TEST_F(Engine, AStepRunsInItsProjectsEnvironmentAndAgainWhenThatChanges) {
  add_step("a", "tool > $TIDEMILL_OUTPUT_DIR/out; echo $VIRTUAL_ENV >> $TIDEMILL_OUTPUT_DIR/out");
  write("environment/bin/tool", "#!/bin/sh\necho of the environment\n");
  fs::permissions(dir_.path() / "environment/bin/tool", fs::perms::owner_all);
  const fs::path environment = dir_.path() / "environment";
  projects::Environment& made = options_.environments[fs::canonical(dir_.path() / "a")];
  made = {projects::Manager::kVirtualenv,
          std::string(64, 'a'),
          environment,
          {{"VIRTUAL_ENV", environment.string()}}};
  auto first = run("steps:\n  a: {project: a}\n").value();
  const auto run_data = store_->run(first.steps[0].run_id).value();
  EXPECT_EQ(text_of(fs::path(run_data.info.artifact_uri) / "out"),
            "of the environment\n" + environment.string() + "\n");
  EXPECT_EQ(run_data.tag("mlflow.project.env"), "virtualenv");
  EXPECT_EQ(run("steps:\n  a: {project: a}\n")->steps[0].state, StepState::kReused);
  made.id = std::string(64, 'b');
  ASSERT_TRUE(run("steps:\n  a: {project: a}\n"));
  EXPECT_THAT(started("a"), HasSubstr("environment"));
}

class EngineInterrupted : public EngineTest {
 protected:
  void SetUp() override { add_step("a", "sleep 1000 & echo $! > pid; echo ready > ready; wait"); }

  pid_t start() {
    pid_t runner = run_in_child([this] {
      catch_interrupts();
      open_store();
      auto outcome = run("steps:\n  a: {project: a}\n  b: {command: \"true\", needs: [a]}\n");
      write("reason", finished("b") != nullptr ? finished("b")->reason : "");
      return outcome && outcome->status == RunStatus::kKilled ? 130 : 1;
    });
    EXPECT_TRUE(eventually([&] { return text_of("a/ready") == "ready\n"; }));
    EXPECT_TRUE(std::ifstream(dir_.path() / "a/pid") >> grandchild_);
    return runner;
  }
  std::vector<tracking::Run> runs() { return store_->search_runs({.experiment_ids = {"0", "1"}})->items; }
  pid_t grandchild_ = 0;
};

TEST_F(EngineInterrupted, CtrlCEndsEveryProcessAndMarksTheRunsKilled) {
  pid_t runner = start();
  kill(runner, SIGINT);
  int status = 0;
  waitpid(runner, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 130);
  EXPECT_EQ(text_of("reason"), "needs a, which was interrupted");
  EXPECT_TRUE(eventually([&] { return !is_running(grandchild_); }));
  open_store();
  ASSERT_EQ(runs().size(), 2u);
  for (const auto& run : runs()) EXPECT_EQ(run.info.status, RunStatus::kKilled) << run.info.name;
}

TEST_F(Engine, RunsOfALivingRunnerAreNotOrphans) {
  auto run = store_->create_run({.tags = {{std::string(kRunnerTag), this_runner()}}});
  ASSERT_TRUE(run);
  EXPECT_TRUE(end_orphaned_runs(*store_, dir_.path() / "state")->empty());
  EXPECT_FALSE(runner_is_alive("another-boot:1:1"));
}

}  // namespace
}  // namespace tidemill::engine
