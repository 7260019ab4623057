// Steps with foreach and steps at the end of a run, executed.
#include "base/text.h"
#include "engine/engine_fixture.h"

namespace tidemill::engine {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using tracking::RunStatus;

class Instances : public EngineTest {
 protected:
  void SetUp() override {
    EngineTest::SetUp();
    add_step("train", "echo {rate} >> ../ran; echo {rate} > $TIDEMILL_OUTPUT_DIR/model", "{rate: float}");
    add_step("score",
             "echo score >> ../ran; cat {model} > $TIDEMILL_OUTPUT_DIR/score; test $(cat {model}) != 0",
             "{model: path}");
    add_step("best", "echo {rates} {models} > ../told; echo best >> ../ran",
             "{models: string, rates: {default: ''}}");
  }
  // The lines that the steps have written in this run, in any order.
  std::vector<std::string> ran(const std::string& yaml, const config::Arguments& params = {}) {
    std::error_code ignored;
    fs::remove(dir_.path() / "ran", ignored);
    auto outcome = run(plan(yaml, params));
    EXPECT_TRUE(outcome) << outcome.error().message;
    last_ = *outcome;
    std::vector<std::string> lines;
    if (fs::exists(dir_.path() / "ran")) lines = split(trim(text_of("ran")), '\n');
    std::sort(lines.begin(), lines.end());
    return lines;
  }
  Outcome last_;

  static constexpr const char* kSweep =
      "name: sweep\nparams: {rates: '1,2'}\nsteps:\n"
      "  train: {project: train, foreach: {rate: '${params.rates}'}, params: {rate: '${each.rate}'}}\n"
      "  score: {project: score, foreach: train, params: {model: '${steps.train.artifacts}/model'}}\n"
      "  best: {project: best, params: {models: '${steps.score.artifacts}/score', rates: "
      "'${steps.train.each.rate}'}}\n";
};

TEST_F(Instances, EachIsARunAndTheJoinGetsTheirOutputs) {
  EXPECT_THAT(ran(kSweep), ElementsAre("1", "2", "best", "score", "score"));
  EXPECT_EQ(last_.status, RunStatus::kFinished);
  ASSERT_EQ(last_.steps.size(), 5u);
  tracking::Run first = store_->run(last_.steps[0].run_id).value();
  EXPECT_EQ(first.info.name, "train[rate=1]");
  EXPECT_EQ(first.tag("tidemill.foreach"), "train");
  EXPECT_EQ(first.tag("mlflow.parentRunId"), last_.run_id);
  EXPECT_EQ(first.param("rate"), "1");
  std::string best = text_of("told");
  EXPECT_THAT(best, testing::StartsWith("[1,2] ["));
  EXPECT_THAT(best, HasSubstr(last_.steps[2].run_id));
  EXPECT_THAT(best, HasSubstr("/score\""));
}

TEST_F(Instances, OneMoreValueRunsOnlyThatOneAndTheJoin) {
  ran(kSweep);
  EXPECT_THAT(ran(kSweep), ElementsAre());
  EXPECT_THAT(ran(kSweep, {{"rates", "1,2,3"}}), ElementsAre("3", "best", "score"));
  EXPECT_THAT(ran(kSweep, {{"rates", "3,1"}}), ElementsAre("best"));
  EXPECT_THAT(started("best"), HasSubstr("parameter rates: 1, 2, 3 -> 3, 1, and 1 more change"));
  EXPECT_THAT(ran(kSweep, {{"rates", "3,1"}}), ElementsAre());
}

TEST_F(Instances, AFailedOneKeepsTheJoinFromRunning) {
  EXPECT_THAT(ran(kSweep, {{"rates", "0"}}), ElementsAre("0", "score"));
  EXPECT_EQ(last_.status, RunStatus::kFailed);
  EXPECT_EQ(finished("best")->reason, "needs score[rate=0], which failed");
}

TEST_F(Instances, OneThatStillRunsIsNotBlamedForTheOneThatFailed) {
  run(R"(steps:
  one: {command: "test {n} = 2 && exit 1; sleep 0.5", foreach: {n: [1, 2]}, params: {n: "${each.n}"}}
  join: {command: "true", needs: [one]}
)");
  EXPECT_EQ(finished("join")->reason, "needs one[n=2], which failed");
}

TEST_F(Instances, AConditionChoosesAmongThem) {
  std::string yaml = kSweep;
  yaml.replace(yaml.find("{project: train,"), 16, "{project: train, when: '${each.rate} > 1',");
  EXPECT_THAT(ran(yaml), ElementsAre("2", "score"));
  EXPECT_EQ(finished("train[rate=1]")->reason, "its condition does not hold: 1 > 1");
  EXPECT_EQ(finished("best")->reason, "needs train[rate=1], which was skipped");
}

// --- The end of a run ---

class End : public EngineTest {
 protected:
  void SetUp() override {
    EngineTest::SetUp();
    add_step("good", "true");
    add_step("bad", "exit 1");
    add_step("say", "echo {text} >> ../said", "{text: string}");
  }
  static constexpr const char* kEnd =
      "on_success: {praise: {project: say, params: {text: 'good ${run.state}'}}}\n"
      "on_failure: {blame: {project: say, params: {text: 'bad ${run.failed} ${steps.work.state}'}}}\n"
      "finally: {clean: {project: say, params: {text: 'clean ${run.state}'}}}\n";
};

TEST_F(End, StepsRunAsTheRunHasGone) {
  auto good = run(std::string("steps: {work: {project: good}}\n") + kEnd);
  ASSERT_TRUE(good) << good.error().message;
  EXPECT_EQ(good->status, RunStatus::kFinished);
  EXPECT_EQ(text_of("said"), "good succeeded\nclean succeeded\n");
  EXPECT_EQ(finished("blame")->reason, "the run has succeeded");
  EXPECT_EQ(started("clean"), "the run has ended");

  auto bad =
      run(std::string("steps: {work: {project: bad}, later: {project: good, needs: [work]}}\n") + kEnd);
  EXPECT_EQ(bad->status, RunStatus::kFailed);
  EXPECT_EQ(text_of("said"), "good succeeded\nclean succeeded\nbad work failed\nclean failed\n");
  EXPECT_EQ(finished("praise")->state, StepState::kSkipped);
  EXPECT_EQ(finished("praise")->reason, "the run has failed");
  EXPECT_EQ(store_->step_records(bad->run_id)->size(), 5u);
}

TEST_F(End, TheyRunAgainEveryTimeAndTheirFailureIsTheRuns) {
  std::string yaml = std::string("steps: {work: {project: good}}\n") + kEnd;
  ASSERT_TRUE(run(yaml));
  ASSERT_TRUE(run(yaml));
  EXPECT_EQ(finished("work")->state, StepState::kReused);
  EXPECT_EQ(text_of("said"), "good succeeded\nclean succeeded\ngood succeeded\nclean succeeded\n");
  auto failed =
      run("steps: {work: {project: good}}\nfinally: {a: {project: bad}, b: {project: bad, needs: [a]}}\n");
  EXPECT_EQ(failed->status, RunStatus::kFailed);
  EXPECT_EQ(finished("b")->reason, "needs a, which failed");
}

TEST_F(End, WhatAFailedStepShouldHaveMadeIsNotThereForThem) {
  auto bad =
      run("steps: {work: {project: bad}}\nfinally: {a: {project: say, params: {text: "
          "'${steps.work.run_id}'}}}\n");
  EXPECT_EQ(bad->status, RunStatus::kFailed);
  EXPECT_THAT(finished("a")->reason, HasSubstr("step 'work' has failed"));
}

}  // namespace
}  // namespace tidemill::engine
