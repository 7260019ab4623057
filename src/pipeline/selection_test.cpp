#include "pipeline/selection.h"

#include <gmock/gmock.h>

namespace tidemill::pipeline {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// a -> b -> d, a -> c, e
Plan plan() {
  Plan plan;
  auto add = [&](const std::string& name, std::vector<size_t> needs) {
    plan.positions.emplace(name, plan.steps.size());
    plan.steps.push_back({.name = name, .needs = std::move(needs)});
  };
  add("a", {});
  add("b", {0});
  add("c", {0});
  add("d", {1});
  add("e", {});
  return plan;
}

std::vector<std::string> names(const Plan& plan) {
  std::vector<std::string> all;
  for (const auto& step : plan.steps) all.push_back(step.name);
  return all;
}

TEST(Selection, AStepComesWithWhatItNeedsAndNothingElse) {
  Selected selected = select(plan(), {.steps = {"d"}, .from = ""}).value();
  EXPECT_THAT(names(selected.plan), ElementsAre("a", "b", "d"));
  EXPECT_THAT(selected.plan.steps[2].needs, ElementsAre(1));
  EXPECT_EQ(selected.plan.index("d"), 2u);
  EXPECT_EQ(selected.plan.index("c"), std::nullopt);
  EXPECT_TRUE(selected.again.empty());
  EXPECT_THAT(names(select(plan(), {.steps = {"c", "e"}, .from = ""})->plan), ElementsAre("a", "c", "e"));
}

TEST(Selection, FromAStepOnAllThatComesAfterItRunsAndWhatComesBeforeDoesNot) {
  Selected selected = select(plan(), {.steps = {}, .from = "b"}).value();
  EXPECT_THAT(names(selected.plan), ElementsAre("a", "b", "d"));
  EXPECT_THAT(selected.again, ElementsAre("b", "d"));
  EXPECT_THAT(selected.before, ElementsAre("a"));
}

TEST(Selection, FromAndStepLeaveWhatLiesBetween) {
  Selected selected = select(plan(), {.steps = {"b"}, .from = "a"}).value();
  EXPECT_THAT(selected.again, ElementsAre("a", "b"));
  EXPECT_THAT(select(plan(), {.steps = {"c"}, .from = "b"}).error().message,
              HasSubstr("nothing lies between"));
}

TEST(Selection, ARunGoesOnFromAStepWithOneAloneOrWithoutSome) {
  Continued from = continue_with(plan(), {.from = "b", .only = "", .skip = {}}).value();
  EXPECT_THAT(from.again, ElementsAre("b", "d"));
  EXPECT_TRUE(from.stand.empty() && from.left.empty());
  Continued only = continue_with(plan(), {.from = "", .only = "b", .skip = {}}).value();
  EXPECT_THAT(only.again, ElementsAre("b"));
  EXPECT_THAT(only.stand, ElementsAre("a"));
  EXPECT_THAT(only.left, ElementsAre("c", "d", "e"));
  Continued skip = continue_with(plan(), {.from = "a", .only = "", .skip = {"b", "e"}}).value();
  EXPECT_THAT(skip.again, ElementsAre("a", "c", "d"));
  EXPECT_THAT(skip.stand, ElementsAre("b"));
  EXPECT_THAT(skip.left, ElementsAre("e"));
  EXPECT_THAT(continue_with(plan(), {.from = "", .only = "", .skip = {"b", "d"}})->left,
              ElementsAre("b", "d"))
      << "what nobody needs has to have left nothing";
  EXPECT_THAT(continue_with(plan(), {.from = "", .only = "", .skip = {"x"}}).error().message,
              HasSubstr("--skip: there is no step 'x'"));
}

TEST(Selection, NamesTheNearestStep) {
  Plan some = plan();
  some.steps[3].name = "deploy";
  EXPECT_THAT(select(some, {.steps = {"deplyo"}, .from = ""}).error().message,
              HasSubstr("--step: there is no step 'deplyo' (did you mean 'deploy'?)"));
  EXPECT_THAT(select(some, {.steps = {}, .from = "x"}).error().message, HasSubstr("--from: there is no"));
}

}  // namespace
}  // namespace tidemill::pipeline
