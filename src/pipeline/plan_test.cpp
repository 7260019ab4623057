#include "pipeline/plan.h"

#include "pipeline/resolve.h"

#include <gmock/gmock.h>

#include <random>

namespace tidemill::pipeline {
namespace {

using config::parse_template;
using config::Pipeline;
using config::Step;
using testing::HasSubstr;

Step step(const std::string& name, const std::vector<std::string>& needs = {}) {
  static int line = 1;
  Step made{.name = name, .place = {"p.yaml", ++line, 3}};
  for (const auto& need : needs) made.needs.push_back({need, {"p.yaml", line, 10}});
  return made;
}

Pipeline pipeline(std::vector<Step> steps) {
  Pipeline made;
  made.name = "p";
  made.file = "p.yaml";
  made.parameters = {{.name = "lr", .type = config::ParameterType::kFloat, .default_value = "0.1"}};
  made.steps = std::move(steps);
  return made;
}

std::vector<std::string> order_of(const Plan& plan) {
  std::vector<std::string> names;
  for (const auto& planned : plan.steps) names.push_back(planned.name);
  return names;
}

Step with_argument(Step made, const std::string& value) {
  made.arguments.push_back({"x", parse_template(value, {"p.yaml", 9, 9}).value(), {}});
  return made;
}

TEST(Plan, RunsStepsAfterWhatTheyNeedAndOtherwiseInTheOrderOfTheFile) {
  auto plan = make_plan(pipeline({step("c", {"a"}), step("b"), step("a")}), {});
  EXPECT_THAT(order_of(*plan), testing::ElementsAre("a", "c", "b"));
  EXPECT_THAT(plan->steps[1].needs, testing::ElementsAre(0));
}

TEST(Plan, AReferenceToAStepIsANeed) {
  auto plan = make_plan(pipeline({with_argument(step("b"), "${steps.a.artifacts}/x"), step("a")}), {});
  EXPECT_THAT(order_of(*plan), testing::ElementsAre("a", "b"));
}

TEST(Plan, AConditionOnAStateThatNoStepHasIsRefused) {
  auto plan_when = [](const std::string& condition) {
    Step asks = step("b");
    asks.settings.edit().when = config::parse_condition(condition, {"p.yaml", 7, 11}).value();
    return make_plan(pipeline({step("a"), asks}), {});
  };
  EXPECT_TRUE(plan_when("${steps.a.state} in [failed, skipped] and ${params.lr} == other"));
  EXPECT_THAT(
      plan_when("${steps.a.state} == timed_out").error().message,
      HasSubstr(
          "p.yaml:7:31: a condition sees the states succeeded, failed, skipped, and never 'timed_out'"));
  EXPECT_FALSE(plan_when("not (${steps.a.state} in [failed, killed])"));
}

TEST(Plan, ShowsACycleAsAPath) {
  auto plan = make_plan(pipeline({step("a", {"c"}), step("b", {"a"}), step("c", {"b"})}), {});
  ASSERT_FALSE(plan);
  EXPECT_THAT(plan.error().message, HasSubstr("in a circle: a -> c -> b -> a"));
  EXPECT_THAT(make_plan(pipeline({step("a", {"a"})}), {}).error().message, HasSubstr("a -> a"));
}

TEST(Plan, NamesTheNearestStepParameterAndReference) {
  auto error = [](std::vector<Step> steps, const config::Arguments& given = {}) {
    return make_plan(pipeline(std::move(steps)), given).error().message;
  };
  EXPECT_THAT(error({step("train"), step("b", {"tarin"})}), HasSubstr("did you mean 'train'?"));
  EXPECT_THAT(error({with_argument(step("a"), "${params.lrr}")}),
              HasSubstr("p.yaml:9:9: unknown reference ${params.lrr} (did you mean 'lr'?)"));
  EXPECT_THAT(error({with_argument(step("a"), "${steps.a.artifact}")}),
              HasSubstr("did you mean 'artifacts'?"));
  EXPECT_THAT(error({with_argument(step("a"), "${step.a.run_id}")}), HasSubstr("did you mean 'steps'?"));
  EXPECT_THAT(error({step("a")}, {{"l", "1"}}), HasSubstr("has no parameter 'l'"));
  EXPECT_THAT(error({step("a")}, {{"lr", "fast"}}), HasSubstr("must be a number"));
}

TEST(Plan, ResolvesReferences) {
  auto plan = make_plan(
      pipeline({step("a"),
                with_argument(step("b"), "${params.lr}:${steps.a.metrics.acc}:${self.artifacts}:${run.id}")}),
      {{"lr", "0.5"}});
  StepResult a{"succeeded", "ra", "/a", [](const std::string& m) {
                 return m == "acc" ? std::optional<std::string>("0.9") : std::nullopt;
               }};
  StepResult b{"", "rb", "/b", {}};
  Scope scope{"parent", "/p", "1", [&](size_t) { return a; }, "", ""};
  EXPECT_EQ(resolve(*plan, plan->steps[1], b, scope).value()[0].second, "0.5:0.9:/b:parent");
}

TEST(Plan, OrdersRandomGraphsOfAnyShape) {
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    size_t count = 1 + random() % 30;
    std::vector<Step> steps;
    for (size_t i = 0; i < count; ++i) {
      std::vector<std::string> needs;
      for (size_t k = 0; k < i; ++k)
        if (random() % 4 == 0) needs.push_back("s" + std::to_string(k));
      steps.push_back(step("s" + std::to_string(i), needs));
    }
    std::shuffle(steps.begin(), steps.end(), random);
    auto plan = make_plan(pipeline(steps), {});
    ASSERT_TRUE(plan);
    ASSERT_EQ(plan->steps.size(), count);
    for (size_t i = 0; i < count; ++i)
      for (size_t need : plan->steps[i].needs) ASSERT_LT(need, i);
  }
}

TEST(Plan, AChainOfManyStepsDoesNotExhaustTheStack) {
  std::vector<Step> steps;
  for (int i = 0; i < 3000; ++i)
    steps.push_back(step("s" + std::to_string(i), i + 1 < 3000
                                                      ? std::vector<std::string>{"s" + std::to_string(i + 1)}
                                                      : std::vector<std::string>{}));
  auto plan = make_plan(pipeline(std::move(steps)), {});
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->steps.front().name, "s2999");
}

}  // namespace
}  // namespace tidemill::pipeline
