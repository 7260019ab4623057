// How long steps and runs may take, and what becomes of the others when a step fails.
#include "base/text.h"
#include "engine/engine_fixture.h"

namespace tidemill::engine {
namespace {

using testing::HasSubstr;
using tracking::RunStatus;

class Limits : public EngineTest {
 protected:
  std::string tag_of(const std::string& run, std::string_view tag) {
    return std::string(store_->run(run)->tag(tag));
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
