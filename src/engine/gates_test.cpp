// Gates: what a step's metric must reach before anything behind it runs, and what becomes of the model.
#include "engine/gates.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "engine/engine_fixture.h"
#include "tracking/registry.h"

namespace tidemill::engine {
namespace {

using testing::HasSubstr;

class Gate : public EngineTest {
 protected:
  void SetUp() override {
    EngineTest::SetUp();
    add_step("train", "echo {rate} > $TIDEMILL_OUTPUT_DIR/model", "{rate: string}");
    add_step("publish", "echo published > " + (dir_.path() / "published").string());
  }
  // Runs it with a metric that the step logs.
  Outcome run_with(double accuracy, const std::string& gate, const std::string& rate = "1") {
    fs::remove(dir_.path() / "published");
    set_up_options();
    auto made = plan("name: g\nsteps:\n  train: {project: train, params: {rate: " + rate +
                     "}, gate: " + gate + "}\n  publish: {project: publish, needs: [train], cache: false}\n");
    auto outcome = execute(made, *store_, options_, [&](const Event& event) {
      events_.push_back(event);
      const auto* started = std::get_if<StepStarted>(&event);
      if (started != nullptr && started->step == "train") {
        ASSERT_TRUE(store_->log_metric(started->run_id, {"accuracy", accuracy, 1, 0}));
      }
    });
    EXPECT_TRUE(outcome) << outcome.error().message;
    return outcome.value_or(Outcome{});
  }
  bool published() const { return fs::exists(dir_.path() / "published"); }
  int64_t champion() {
    auto version = tracking::Registry(*store_).version_by_alias("m", "champion");
    return version ? version->version : 0;
  }
};

TEST_F(Gate, WhatDoesNotReachItStopsThePipelineAndItsResultIsKept) {
  Outcome closed = run_with(0.6, "{metric: accuracy, at_least: 0.7}");
  EXPECT_EQ(closed.status, tracking::RunStatus::kFailed);
  EXPECT_FALSE(published());
  EXPECT_THAT(finished("train")->reason, HasSubstr("its gate is closed: accuracy 0.6 is below 0.7"));
  EXPECT_EQ(finished("publish")->state, StepState::kSkipped);
  EXPECT_EQ(status_of(closed.steps[0].run_id), tracking::RunStatus::kFailed);

  Outcome again = run_with(0, "{metric: accuracy, at_least: 0.7}");
  EXPECT_EQ(started("train"), "");  // nothing ran: the result was known
  EXPECT_EQ(again.status, tracking::RunStatus::kFailed);
  EXPECT_EQ(status_of(again.steps[0].run_id), tracking::RunStatus::kFailed);

  Outcome open = run_with(0, "{metric: accuracy, at_least: 0.5}");
  EXPECT_EQ(finished("train")->state, StepState::kReused);
  EXPECT_EQ(open.status, tracking::RunStatus::kFinished);
  EXPECT_TRUE(published());
}

TEST_F(Gate, WhatPassesIsRegisteredOnceAndBecomesTheChampion) {
  const std::string gate = "{metric: accuracy, at_least: 0.5, over_champion: 0.01, model: m}";
  run_with(0.6, gate);
  EXPECT_TRUE(published());
  EXPECT_EQ(champion(), 1);
  auto first = tracking::Registry(*store_).version("m", 1);
  EXPECT_EQ(read_file(fs::path(first->source) / "model").value_or(""), "1\n");
  run_with(0.6, gate);  // reused: it is the champion
  EXPECT_TRUE(published());
  EXPECT_THAT(finished("train")->notes,
              testing::ElementsAre("gate passed: accuracy 0.6 >= 0.5; it is m version 1, the champion"));
  EXPECT_EQ(champion(), 1);
  EXPECT_FALSE(tracking::Registry(*store_).version("m", 2));

  run_with(0.605, gate, "2");  // better, but not by enough
  EXPECT_FALSE(published());
  EXPECT_THAT(finished("train")->reason, HasSubstr("is below 0.61: the champion has 0.6"));
  EXPECT_EQ(champion(), 1);
  run_with(0.61, gate, "3");
  EXPECT_TRUE(published());
  EXPECT_EQ(champion(), 2);
}

TEST_F(Gate, ThatAKnownResultDoesNotPassIsForeseen) {
  run_with(0.6, "{metric: accuracy, at_least: 0.5, model: m}");
  auto foreseen_with = [&](const std::string& gate) {
    auto made = plan("name: g\nsteps:\n  train: {project: train, params: {rate: 1}, gate: " + gate +
                     "}\n  publish: {project: publish, needs: [train], cache: false}\n");
    return foresee(made, &*store_, options_).value();
  };
  auto closed = foreseen_with("{metric: accuracy, at_least: 0.7, model: other}");
  EXPECT_EQ(closed[0].what, Foreseen::What::kFail);
  EXPECT_EQ(closed[0].reason, "its gate is closed: accuracy 0.6 is below 0.7");
  EXPECT_EQ(closed[1].what, Foreseen::What::kSkip);
  EXPECT_EQ(closed[1].reason, "needs train, which would fail");
  EXPECT_EQ(foreseen_with("{metric: accuracy, at_least: 0.6, model: other}")[0].what, Foreseen::What::kReuse);
  EXPECT_FALSE(tracking::Registry(*store_).model("other"));  // nothing is registered by looking
}

TEST_F(Gate, LowerMayBeBetter) {
  const std::string gate = "{metric: accuracy, over_champion: 0, goal: lower, model: m}";
  run_with(0.6, gate);
  run_with(0.7, gate, "2");
  EXPECT_FALSE(published());
  run_with(0.5, gate, "3");
  EXPECT_TRUE(published());
  EXPECT_EQ(champion(), 2);
}

TEST_F(Gate, ItsModelMayBeNamedByAReference) {
  run_with(0.6, "{metric: accuracy, at_least: 0.5, model: 'm-${experiment.name}'}");
  auto known = tracking::Registry(*store_).search_models(
      {.filter = "", .max_results = 10, .order_by = {}, .page_token = {}});
  ASSERT_TRUE(known) << known.error().message;
  ASSERT_EQ(known->items.size(), 1u);
  EXPECT_THAT(known->items[0].name, testing::MatchesRegex("m-[^$]+"));
}

TEST_F(Gate, AMetricThatIsMissingOrNoNumberPassesNone) {
  EXPECT_EQ(run_with(0.6, "{metric: f1, at_least: 0}").status, tracking::RunStatus::kFailed);
  EXPECT_THAT(finished("train")->reason, HasSubstr("pipeline.yaml:3:"));
  EXPECT_THAT(finished("train")->reason, HasSubstr("metric 'f1' was not logged"));
  EXPECT_EQ(run_with(std::nan(""), "{metric: accuracy, at_most: 1}", "2").status,
            tracking::RunStatus::kFailed);
}

TEST_F(Gate, ItsLimitsMayBeReferencesAndWaitForWhatTheyReferTo) {
  write("pipeline.yaml",
        "params: {least: '0.7'}\nsteps:\n  a: {project: publish}\n"
        "  b: {project: publish, gate: {metric: accuracy, at_least: '${params.least}', model: m, artifacts: "
        "'${steps.a.artifacts}'}}\n");
  auto made = pipeline::make_plan(*config::load_pipeline(dir_.path() / "pipeline.yaml"), {});
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_EQ(made->steps[1].needs, std::vector<size_t>{0});
}

TEST_F(Gate, MistakesAreToldWithTheirPlace) {
  auto problem = [&](const std::string& gate) {
    write("pipeline.yaml",
          "steps:\n  train:\n    project: train\n    params: {rate: 1}\n    gate: " + gate + "\n");
    auto loaded = config::load_pipeline(dir_.path() / "pipeline.yaml");
    return loaded ? "" : loaded.error().message;
  };
  EXPECT_THAT(problem("{metrik: a}"), HasSubstr("pipeline.yaml:5:12: unknown key 'metrik'"));
  EXPECT_THAT(problem("{metric: a}"),
              HasSubstr("pipeline.yaml:5:11: gate needs at_least, at_most or over_champion"));
  EXPECT_THAT(problem("{metric: a, at_least: high}"),
              HasSubstr("pipeline.yaml:5:33: gate.at_least must be a number, not 'high'"));
  EXPECT_THAT(problem("{metric: a, over_champion: 0}"), HasSubstr("needs a model"));
  EXPECT_THAT(problem("{metric: a, at_least: 0, goal: highr}"), HasSubstr("did you mean 'higher'?"));
  EXPECT_EQ(problem("{metric: a, at_least: '${params.x}'}").find("gate.at_least"), std::string::npos);
}

}  // namespace
}  // namespace tidemill::engine
