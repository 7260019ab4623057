// Steps that run only when their condition holds, and what comes after them.
#include "engine/engine_fixture.h"

namespace tidemill::engine {
namespace {

using testing::HasSubstr;
using tracking::RunStatus;

class Conditions : public EngineTest {
 protected:
  void SetUp() override {
    EngineTest::SetUp();
    add_step("a", "echo {text} >> ../ran", "{text: {default: a}}");
    add_step("bad", "exit 1");
    add_step("metric", "true");
  }
  StepState state(const std::string& step) const {
    const StepFinished* event = finished(step);
    EXPECT_NE(event, nullptr) << step;
    return event != nullptr ? event->state : StepState::kWaiting;
  }
};

TEST_F(Conditions, AStepWhoseConditionDoesNotHoldIsSkippedWithWhatNeedsItAndTheRunSucceeds) {
  const char* yaml =
      "params: {mode: quick}\nsteps:\n"
      "  one: {project: a, when: '${params.mode} == full'}\n"
      "  two: {project: a, needs: [one]}\n"
      "  three: {project: a, params: {text: three}}\n";
  auto outcome = run(yaml);
  ASSERT_TRUE(outcome) << outcome.error().message;
  EXPECT_EQ(outcome->status, RunStatus::kFinished);
  EXPECT_EQ(state("one"), StepState::kSkipped);
  EXPECT_EQ(finished("one")->reason, "its condition does not hold: quick == full");
  EXPECT_EQ(finished("two")->reason, "needs one, which was skipped");
  EXPECT_EQ(state("three"), StepState::kFinished);
  EXPECT_EQ(store_->step_records(outcome->run_id).value()[0].reason,
            "its condition does not hold: quick == full");
  auto foreseen = foresee(plan(yaml), &*store_, options_).value();
  EXPECT_EQ(foreseen[0].what, Foreseen::What::kSkip);
  EXPECT_EQ(foreseen[1].reason, "needs one, which would be skipped");

  ASSERT_TRUE(run(plan(yaml, {{"mode", "full"}})));
  EXPECT_EQ(state("one"), StepState::kFinished);
  EXPECT_EQ(text_of("ran"), "three\na\n") << "two makes what one has made";
}

TEST_F(Conditions, AMetricOfAnEarlierStepDecides) {
  auto outcome =
      run("steps:\n  m: {project: metric}\n  b: {project: a, when: '${steps.m.metrics.system/step_seconds} > "
          "1000'}\n");
  ASSERT_TRUE(outcome);
  EXPECT_EQ(state("b"), StepState::kSkipped);
  EXPECT_THAT(finished("b")->reason, HasSubstr(" > 1000"));
}

TEST_F(Conditions, AConditionThatCannotBeToldFailsItsStep) {
  auto outcome =
      run("steps:\n  m: {project: metric}\n  b: {project: a, when: '${steps.m.metrics.accuracy} > 1'}\n");
  EXPECT_EQ(outcome->status, RunStatus::kFailed);
  EXPECT_EQ(state("b"), StepState::kFailed);
  EXPECT_THAT(finished("b")->reason, HasSubstr("logged no metric 'accuracy'"));
}

TEST_F(Conditions, AStepThatAsksForAStateRunsHoweverThatStepHasEnded) {
  const char* yaml =
      "steps:\n"
      "  deploy: {project: bad}\n"
      "  after: {project: a, needs: [deploy]}\n"
      "  rollback: {project: a, when: '${steps.deploy.state} == failed', params: {text: back}}\n"
      "  celebrate: {project: a, when: '${steps.deploy.state} == succeeded', params: {text: party}}\n"
      "  unrelated: {project: a, needs: [rollback]}\n";
  auto outcome = run(yaml, 1);
  EXPECT_EQ(outcome->status, RunStatus::kFailed) << "a handled failure is a failure still";
  EXPECT_EQ(state("after"), StepState::kSkipped);
  EXPECT_EQ(state("rollback"), StepState::kFinished);
  EXPECT_EQ(state("celebrate"), StepState::kSkipped);
  EXPECT_EQ(finished("celebrate")->reason, "its condition does not hold: failed == succeeded");
  EXPECT_EQ(state("unrelated"), StepState::kSkipped);
  EXPECT_EQ(text_of("ran"), "back\n");
}

TEST_F(Conditions, EitherOfTwoBranchesIsEnough) {
  const char* yaml =
      "params: {which: left}\nsteps:\n"
      "  left: {project: a, when: '${params.which} == left', params: {text: left}}\n"
      "  right: {project: a, when: '${params.which} == right', params: {text: right}}\n"
      "  join: {project: a, when: '${steps.left.state} == succeeded or ${steps.right.state} == succeeded', "
      "params: "
      "{text: join}}\n";
  EXPECT_EQ(run(yaml)->status, RunStatus::kFinished);
  EXPECT_EQ(state("join"), StepState::kFinished);
  EXPECT_EQ(text_of("ran"), "left\njoin\n");
  ASSERT_TRUE(run(plan(yaml, {{"which", "none"}})));
  EXPECT_EQ(state("join"), StepState::kSkipped);
}

TEST_F(Conditions, MistakesAreToldBeforeAnythingRuns) {
  write("pipeline.yaml", "steps:\n  b: {project: a, when: '${params.mod} == x'}\n");
  auto loaded = config::load_pipeline(dir_.path() / "pipeline.yaml");
  ASSERT_TRUE(loaded);
  EXPECT_THAT(pipeline::make_plan(*loaded, {}).error().message, HasSubstr("unknown reference ${params.mod}"));
  write("pipeline.yaml", "steps:\n  b: {project: a, when: 'a ='}\n");
  EXPECT_THAT(config::load_pipeline(dir_.path() / "pipeline.yaml").error().message,
              HasSubstr("pipeline.yaml:2:28: expected the end or an operator"));
}

}  // namespace
}  // namespace tidemill::engine
