// How long steps and runs may take, and what becomes of the others when a step fails.
#include <csignal>

#include "base/text.h"
#include "engine/cancel.h"
#include "engine/earlier.h"
#include "engine/engine_fixture.h"
#include "sys/minded_process.h"
#include "sys/signals.h"

namespace tidemill::engine {
namespace {

using testing::HasSubstr;
using tracking::RunStatus;

class Limits : public EngineTest {
 protected:
  std::string tag_of(const std::string& run, std::string_view tag) {
    return std::string(store_->run(run)->tag(tag));
  }
  // The only one there is.
  std::string pipeline_run() {
    auto found = store_->search_runs({.experiment_ids = {"1"},
                                      .filter = "tags.`tidemill.pipeline` LIKE '%'",
                                      .order_by = {},
                                      .page_token = {}});
    return found->items.at(0).info.id;
  }
};

TEST_F(Limits, ARunThatTakesTooLongIsStoppedAndItsEndIsDone) {
  add_step("a", "sleep 100");
  const std::string yaml =
      "timeout: 1s\nsteps:\n  a: {project: a}\n  after: {project: a, needs: [a]}\n"
      "on_success: {good: {project: a}}\non_failure: {bad: {command: touch failed}}\n"
      "finally: {end: {command: 'echo {state} > how', params: {state: '${run.state}'}}}\n";
  auto outcome = run(yaml);
  ASSERT_TRUE(outcome) << outcome.error().message;
  EXPECT_EQ(outcome->status, RunStatus::kFailed);
  EXPECT_EQ(outcome->outcome, RunOutcome::kTimedOut);
  EXPECT_EQ(finished("a")->state, StepState::kKilled);
  EXPECT_EQ(finished("a")->reason, "the run has taken longer than its timeout of 1.0 s");
  EXPECT_EQ(finished("after")->state, StepState::kSkipped);
  EXPECT_EQ(finished("good")->state, StepState::kSkipped);
  EXPECT_EQ(text_of("how"), "failed\n");
  EXPECT_TRUE(fs::exists(dir_.path() / "failed"));
  EXPECT_EQ(tag_of(outcome->run_id, kOutcomeTag), "timed_out");
  add_step("a", "true");
  EXPECT_EQ(go_on(outcome->run_id, yaml)->status, RunStatus::kFinished);
  EXPECT_EQ(tag_of(outcome->run_id, kOutcomeTag), "succeeded");
}

TEST_F(Limits, WithFailFastTheOthersAreStopped) {
  add_step("a", "sleep 100");
  add_step("b", "until [ -e ../started ]; do sleep 0.01; done; exit 3");
  add_step("c", "true");
  auto outcome =
      run("after_failure: stop\nsteps:\n  a: {command: 'touch started; sleep 100'}\n  b: {project: b}\n"
          "  c: {project: c, needs: [a]}\n",
          2);
  EXPECT_EQ(outcome->status, RunStatus::kFailed);
  EXPECT_EQ(outcome->outcome, RunOutcome::kFailed);
  EXPECT_EQ(finished("a")->state, StepState::kKilled);
  EXPECT_EQ(finished("a")->reason, "stopped, as b has failed");
  EXPECT_EQ(finished("c")->state, StepState::kSkipped);
}

TEST_F(Limits, FailFastLeavesAloneWhoTellsOfTheFailure) {
  auto outcome =
      run("after_failure: stop\nsteps:\n  first: {command: exit 1}\n"
          "  mail: {command: 'touch told; until [ -e done ]; do sleep 0.01; done', when: "
          "'${steps.first.state} == "
          "failed'}\n  second: {command: 'until [ -e told ]; do sleep 0.01; done; touch done; exit 1', when: "
          "'${steps.first.state} != skipped'}\n",
          3);
  ASSERT_TRUE(outcome) << outcome.error().message;
  EXPECT_EQ(finished("mail")->state, StepState::kFinished);
  EXPECT_EQ(finished("second")->state, StepState::kFailed);
}

TEST_F(Limits, AtTheEndAllIsDoneThatDoesNotNeedWhatHasFailed) {
  const std::string yaml =
      "max_parallel: 1\nsteps: {a: {command: 'true'}}\n"
      "finally:\n  c1: {command: exit 1}\n  c2: {command: touch cleaned}\n  c3: {command: 'true', needs: "
      "[c1]}\n";
  auto outcome = run(yaml);
  EXPECT_EQ(outcome->status, RunStatus::kFailed);
  EXPECT_EQ(finished("c2")->state, StepState::kFinished);
  EXPECT_EQ(finished("c3")->reason, "needs c1, which failed");
}

TEST_F(Limits, WhoeverEndsARunHasEndedItWhateverHasFailedBefore) {
  add_step("a", "exit 1");
  for (const char* settings : {"retry: {times: 9, delay: 1h}", "allow_failure: true"}) {
    options_.random = [] { return 0.9; };
    std::error_code ignored;
    fs::remove(dir_.path() / "ready", ignored);
    pid_t runner = run_in_child([&] {
      catch_interrupts();
      open_store();
      auto outcome =
          run(fmt::format("steps:\n  a: {{project: a, {}}}\n  c: {{command: 'touch ready; sleep 100'}}\n",
                          settings),
              2);
      return outcome && outcome->status == RunStatus::kKilled && outcome->outcome == RunOutcome::kCancelled
                 ? 130
                 : 1;
    });
    EXPECT_TRUE(eventually([&] { return fs::exists(dir_.path() / "ready"); }));
    kill(runner, SIGINT);
    int status = 0;
    waitpid(runner, &status, 0);
    EXPECT_EQ(WEXITSTATUS(status), 130) << settings;
  }
}

TEST_F(Limits, ARunThatWasInterruptedTwiceIsCancelledToo) {
  pid_t runner = run_in_child([&] {
    catch_interrupts();
    open_store();
    run("steps: {a: {command: \"trap '' TERM; touch ready; while :; do sleep 1; done\"}}\n");
    return 1;
  });
  EXPECT_TRUE(eventually([&] { return fs::exists(dir_.path() / "ready"); }));
  kill(runner, SIGINT);
  open_store();
  const std::string id = pipeline_run();
  EXPECT_TRUE(eventually([&] { return tag_of(id, kOutcomeTag) == "cancelled"; }));
  kill(runner, SIGINT);
  int status = 0;
  waitpid(runner, &status, 0);
  set_up_options();
  const auto steps = store_->step_records(id).value();
  for (const auto& step : steps) {
    auto minded = MindedProcess::find(process_record(attempts_folder(options_.state_dir), step.step_run));
    ASSERT_TRUE(minded) << minded.error().message;
    if (*minded) (*minded)->kill();
  }
  EXPECT_TRUE(eventually([&] {
    (void)end_orphaned_runs(*store_, options_.state_dir);
    return status_of(id) == RunStatus::kKilled;
  }));
  EXPECT_EQ(tag_of(id, kOutcomeTag), "cancelled");
}

TEST_F(Limits, ACancelledRunHasNoStepThatRuns) {
  pid_t runner = run_in_child([&] {
    open_store();
    return run("steps: {a: {command: 'touch ready; sleep 100'}}\n") ? 0 : 1;
  });
  EXPECT_TRUE(eventually([&] { return fs::exists(dir_.path() / "ready"); }));
  kill(runner, SIGKILL);
  waitpid(runner, nullptr, 0);
  open_store();
  set_up_options();
  const std::string id = pipeline_run();
  ASSERT_TRUE(cancel(*store_, id, options_));
  EXPECT_EQ(status_of(id), RunStatus::kKilled);
  EXPECT_EQ(tag_of(id, kOutcomeTag), "cancelled");
  const auto step = store_->step_records(id).value().at(0);
  EXPECT_EQ(step.state, "killed");
  EXPECT_EQ(step.reason, "cancelled");
}

TEST_F(Limits, WhatTheFileSaysOfFailuresTheCommandLineMayChange) {
  add_step("a", "exit 1");
  add_step("b", "true");
  const std::string yaml =
      "after_failure: keep_going\nmax_parallel: 1\nsteps:\n  a: {project: a}\n  b: {project: b}\n";
  EXPECT_EQ(run(yaml)->steps[1].state, StepState::kFinished);
  options_.after_failure = config::AfterFailure::kFinish;
  options_.cache.read = CachePolicy::Use::kNo;
  EXPECT_EQ(run(yaml)->steps[1].state, StepState::kSkipped);
}

TEST_F(Limits, AStepThatWaitsTooLongForOthersHasFailed) {
  add_step("a", "until [ -e ../done ]; do sleep 0.01; done");
  add_step("b", "true");
  add_step("c", "touch ../done");
  auto outcome =
      run("after_failure: keep_going\nsteps:\n  a: {project: a, resources: {locks: [one]}}\n"
          "  b: {project: b, resources: {locks: [one]}, timeout: {waiting: 1}, allow_failure: true}\n"
          "  c: {project: c, when: '${steps.b.state} == failed'}\n",
          2);
  ASSERT_TRUE(outcome) << outcome.error().message;
  EXPECT_EQ(outcome->status, RunStatus::kFinished);
  EXPECT_EQ(outcome->outcome, RunOutcome::kSucceededWithFailures);
  EXPECT_EQ(finished("b")->state, StepState::kTimedOut);
  EXPECT_THAT(
      finished("b")->reason,
      testing::MatchesRegex("has waited 1\\.[0-9] s for lock 'one', which others hold: longer than its "
                            "timeout.waiting"));
  EXPECT_EQ(store_->step_records(outcome->run_id)->at(1).state, "timed_out");
  EXPECT_EQ(store_->step_records(outcome->run_id)->at(1).reason, finished("b")->reason);
}

TEST_F(Limits, OfALogThatGrowsBeyondItsLimitTheMiddleIsLeftOut) {
  add_step("a", "echo begins; for i in $(seq 30000); do echo line $i; done; echo ends; exit 1");
  for (const char* secrets : {"", "secrets: {S: {env: HOME}}\n"}) {
    const std::string asks = *secrets != '\0' ? ", secrets: [S]" : "";
    EXPECT_EQ(run(fmt::format("{}steps:\n  a: {{project: a, log_limit: 64Ki{}}}\n", secrets, asks))->status,
              RunStatus::kFailed);
    const std::string log = read_file(finished("a")->log).value();
    EXPECT_LT(log.size(), 40'000u);
    EXPECT_GT(log.size(), 30'000u);
    EXPECT_TRUE(log.starts_with("begins\nline 1\n"));
    EXPECT_TRUE(log.ends_with("line 30000\nends\n"));
    EXPECT_THAT(log, HasSubstr("bytes left out here, for want of a larger log_limit"));
    EXPECT_EQ(finished("a")->last_lines.back(), "ends");
  }
}

}  // namespace
}  // namespace tidemill::engine
