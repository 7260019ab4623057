// Steps with foreach: what they stand for, what waits for what, and lists of what they made.
#include "pipeline/expansion.h"

#include <gmock/gmock.h>

#include "pipeline/diagram.h"
#include "pipeline/plan.h"
#include "pipeline/resolve.h"
#include "pipeline/selection.h"

namespace tidemill::pipeline {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class Foreach : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(make_dirs(dir_.path() / "p"));
    ASSERT_TRUE(
        write_file_atomic(dir_.path() / "p/MLproject",
                          "entry_points:\n  main:\n    parameters: {x: {default: ''}, y: {default: ''}}\n"
                          "    command: echo {x} {y}\n"));
  }
  Result<Plan> plan(const std::string& yaml, const config::Arguments& params = {}) {
    EXPECT_TRUE(write_file_atomic(dir_.path() / "pipeline.yaml", yaml));
    return make_plan(TRY(config::load_pipeline(dir_.path() / "pipeline.yaml")), params);
  }
  std::string error_of(const std::string& yaml) {
    auto made = plan(yaml);
    return made ? "" : made.error().message;
  }
  static std::vector<std::string> names(const Plan& plan) {
    std::vector<std::string> all;
    for (const auto& step : plan.steps) all.push_back(step.name);
    return all;
  }
  static std::string text(const config::Template& value) { return std::get<std::string>(value.parts.at(0)); }

  TempDir dir_ = TempDir::create().value();
};

TEST_F(Foreach, EachWithEachInTheOrderOfTheFile) {
  auto made = plan(
      "steps:\n  t:\n    project: p\n    foreach: {rate: [0.1, 0.01], depth: [3, 5]}\n"
      "    params: {x: '${each.rate}/${each.depth}'}\n");
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_THAT(names(*made), ElementsAre("t[rate=0.1,depth=3]", "t[rate=0.1,depth=5]", "t[rate=0.01,depth=3]",
                                        "t[rate=0.01,depth=5]"));
  EXPECT_EQ(text(made->steps[1].arguments[0].value), "0.1/5");
  EXPECT_EQ(made->steps[1].group, "t");
  EXPECT_EQ(made->instances("t").size(), 4u);
  EXPECT_THAT(made->names(), ElementsAre("t"));
}

TEST_F(Foreach, RowsAndParametersWithCommas) {
  auto rows = plan(
      "params: {d: 7}\nsteps: {t: {project: p, foreach: [{a: 1, b: x}, {a: 2, b: '${params.d}'}], params: "
      "{x: "
      "'${each.b}'}}}\n");
  ASSERT_TRUE(rows) << rows.error().message;
  EXPECT_THAT(names(*rows), ElementsAre("t[a=1,b=x]", "t[a=2,b=7]"));
  auto texts =
      plan("params: {rates: '0.1, 0.2'}\nsteps: {t: {project: p, foreach: {r: '${params.rates}'}}}\n",
           {{"rates", "1,2,3"}});
  ASSERT_TRUE(texts) << texts.error().message;
  EXPECT_THAT(names(*texts), ElementsAre("t[r=1]", "t[r=2]", "t[r=3]"));
}

TEST_F(Foreach, AStepBehindItWaitsForAllAndGetsLists) {
  auto made = plan(
      "steps:\n  t: {project: p, foreach: {r: [1, 2]}}\n"
      "  best: {project: p, params: {x: '${steps.t.artifacts}/model', y: '${steps.t.metrics.acc}'}}\n");
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_THAT(made->steps[2].needs, ElementsAre(0, 1));
  StepResult results[2] = {
      {"succeeded", "r0", "/a", [](const std::string&) { return std::optional<std::string>("0.5"); }},
      {"succeeded", "r1", "/b", [](const std::string&) { return std::optional<std::string>("nan"); }}};
  Scope scope;
  scope.step = [&](size_t step) { return results[step]; };
  auto arguments = resolve(*made, made->steps[2], {}, scope);
  ASSERT_TRUE(arguments) << arguments.error().message;
  EXPECT_EQ((*arguments)[0].second, R"(["/a/model","/b/model"])");
  EXPECT_EQ((*arguments)[1].second, R"([0.5,"nan"])");
  auto each = config::parse_template("${steps.t.each.r}", {}).value();
  EXPECT_EQ(resolve(*made, each, {}, scope).value(), "[1,2]");
  auto state = config::parse_template("${steps.t.state}", {}).value();
  EXPECT_EQ(resolve(*made, state, {}, scope).value(), "succeeded");
  results[1].state = "failed";
  EXPECT_EQ(resolve(*made, state, {}, scope).value(), "failed");
}

TEST_F(Foreach, AStepCanFollowAnotherOnesValues) {
  auto made = plan(
      "steps:\n  t: {project: p, foreach: {r: [1, 2]}}\n"
      "  e: {project: p, foreach: t, params: {x: '${steps.t.artifacts}', y: '${each.r}'}}\n"
      "  f: {project: p, foreach: e, params: {x: '${steps.t.run_id}'}, needs: [e]}\n");
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_THAT(names(*made), ElementsAre("t[r=1]", "t[r=2]", "e[r=1]", "e[r=2]", "f[r=1]", "f[r=2]"));
  EXPECT_THAT(made->steps[3].needs, ElementsAre(1));
  EXPECT_THAT(made->steps[5].needs, testing::UnorderedElementsAre(1, 3));
  EXPECT_EQ(made->steps[3].arguments[0].value.references()[0],
            (config::Reference{"steps", "t[r=2]", "artifacts"}));
  EXPECT_EQ(text(made->steps[3].arguments[1].value), "2");
}

TEST_F(Foreach, NamesAreSafeInPathsAndStayTheSame) {
  EXPECT_EQ(instance_name("t", {{"a", "x/../y z"}}), "t[a=x%2F..%2Fy%20z]");
  std::string longer(100, 'q');
  EXPECT_EQ(instance_name("t", {{"a", longer}}), instance_name("t", {{"a", longer}}));
  EXPECT_NE(instance_name("t", {{"a", longer}}), instance_name("t", {{"a", longer + "r"}}));
  EXPECT_LT(instance_name("t", {{"a", longer}}).size(), 50u);
}

TEST_F(Foreach, MistakesAreToldWithTheirPlace) {
  EXPECT_THAT(error_of("steps: {t: {project: p, params: {x: '${each.r}'}}}\n"),
              HasSubstr("unknown reference ${each.r}"));
  EXPECT_THAT(error_of("steps: {t: {project: p, foreach: {rate: [1]}, params: {x: '${each.rat}'}}}\n"),
              HasSubstr("did you mean 'rate'?"));
  EXPECT_THAT(error_of("steps: {t: {project: p, foreach: {r: [1, 1]}}}\n"), HasSubstr("[r=1] twice"));
  EXPECT_THAT(error_of("steps: {t: {project: p, foreach: u}, u: {project: p}}\n"),
              HasSubstr("'u' is not a step with foreach"));
  EXPECT_THAT(error_of("steps: {t: {project: p, foreach: u}, u: {project: p, foreach: t}}\n"),
              HasSubstr("in a circle"));
  EXPECT_THAT(error_of("steps: {t: {project: p, foreach: {r: ['${steps.u.run_id}']}}, u: {project: p}}\n"),
              HasSubstr("foreach can refer only to parameters"));
  EXPECT_THAT(error_of("steps: {t: {project: p, foreach: {r: []}}}\n"), HasSubstr("needs a list of values"));
  EXPECT_THAT(error_of("steps: {t: {project: p, foreach: [{a: 1}, {b: 1}]}}\n"),
              HasSubstr("the same values"));
  EXPECT_THAT(error_of("steps: {t: {project: p, foreach: {r: [1]}}, u: {project: p, params: {x: "
                       "'${steps.t.each.s}'}}}\n"),
              HasSubstr("unknown reference"));
  std::string many = "[0";
  for (int i = 1; i < 200; ++i) many += "," + std::to_string(i);
  EXPECT_THAT(error_of("steps: {t: {project: p, foreach: {a: " + many + "], b: " + many + "]}}}\n"),
              HasSubstr("more than 10000 steps"));
}

TEST_F(Foreach, IsChosenAndDrawnByItsOwnName) {
  auto made = plan(
      "steps:\n  a: {project: p}\n  t: {project: p, needs: [a], foreach: {r: [1, 2]}}\n"
      "  b: {project: p, needs: [t]}\n  c: {project: p}\n");
  ASSERT_TRUE(made) << made.error().message;
  auto selected = select(*made, {.steps = {"t"}, .from = ""}).value();
  EXPECT_THAT(names(selected.plan), ElementsAre("a", "t[r=1]", "t[r=2]"));
  EXPECT_THAT(selected.plan.instances("t"), ElementsAre(1, 2));
  EXPECT_THAT(names(select(*made, {.steps = {"t[r=2]"}, .from = ""})->plan), ElementsAre("a", "t[r=2]"));
  Diagram diagram = diagram_of(*made);
  ASSERT_EQ(diagram.nodes.size(), 4u);
  EXPECT_EQ(diagram.nodes[1].name, "t");
  EXPECT_EQ(diagram.nodes[1].note, "p, 2 × r");
  EXPECT_THAT(diagram.nodes[2].needs, ElementsAre(1));
}

// --- Steps at the end of a run ---

TEST_F(Foreach, StepsOfTheEndStandBehindTheOthersWhichCannotWaitForThem) {
  auto made = plan(
      "finally: {clean: {project: p, needs: [say]}, say: {project: p, params: {x: '${run.state}'}}}\n"
      "on_failure: {mail: {project: p, params: {x: '${run.failed} ${steps.a.state}'}}}\n"
      "steps: {a: {project: p}}\n");
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_THAT(names(*made), ElementsAre("a", "mail", "say", "clean"));
  EXPECT_EQ(made->steps[1].phase, config::Phase::kOnFailure);
  EXPECT_THAT(names(select(*made, {.steps = {}, .from = "a"})->plan), ElementsAre("a"));
  EXPECT_THAT(error_of("finally: {clean: {project: p}}\nsteps: {a: {project: p, needs: [clean]}}\n"),
              HasSubstr("step 'a' needs 'clean', which runs only at the end of a run, in finally"));
  EXPECT_THAT(error_of("finally: {a: {project: p}}\nsteps: {a: {project: p}}\n"),
              HasSubstr("pipeline.yaml:1:11: there is a step 'a' already"));
  EXPECT_THAT(error_of("steps: {a: {project: p, params: {x: '${run.state}'}}}\n"),
              HasSubstr("unknown reference ${run.state}"));
}

}  // namespace
}  // namespace tidemill::pipeline
