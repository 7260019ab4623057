// Steps that are pipelines, in the plan: names, needs, values, and what is told when it does not fit.
#include "pipeline/nesting.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/text.h"
#include "pipeline/plan.h"
#include "pipeline/resolve.h"
#include "pipeline/selection.h"

namespace tidemill::pipeline {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr const char* kFeatures = R"(
params: {source: {type: path}, size: {type: int, default: 3, max: 9}}
outputs:
  table: ${steps.join.artifacts}/table.csv
  size: ${params.size}
steps:
  read: {command: "read {in} {n}", params: {in: "${params.source}", n: "${params.size}"}}
  join: {command: "join {from}", params: {from: "${steps.read.artifacts}"}}
)";

class Nested : public testing::Test {
 protected:
  void write(const std::string& name, std::string_view text) {
    ASSERT_TRUE(make_dirs((dir_.path() / name).parent_path()));
    ASSERT_TRUE(write_file_atomic(dir_.path() / name, text, Durable::no));
  }
  Result<Plan> plan_of(std::string_view text, const config::Arguments& params = {}) {
    write("pipeline.yaml", text);
    return make_plan(TRY(config::load_pipeline(dir_.path() / "pipeline.yaml")), params);
  }
  Plan plan(std::string_view text, const config::Arguments& params = {}) {
    auto made = plan_of(text, params);
    EXPECT_TRUE(made) << made.error().message;
    return made.value_or(Plan{});
  }
  std::string error_of(std::string_view text) {
    auto made = plan_of(text);
    return made ? "" : made.error().message;
  }
  // "c <- a, b" for each step.
  static std::vector<std::string> shape_of(const Plan& plan) {
    std::vector<std::string> shape;
    for (const auto& step : plan.steps) {
      std::vector<std::string> needs;
      for (size_t need : step.needs) needs.push_back(plan.steps[need].name);
      shape.push_back(needs.empty() ? step.name : step.name + " <- " + join(needs, ", "));
    }
    return shape;
  }
  // What a step gets when every other has left its name as its artifacts.
  static std::string value_of(const Plan& plan, const std::string& step, const std::string& name) {
    const Scope scope{.run_id = {}, .artifacts = {}, .experiment_id = {}, .step = [&](size_t other) {
                        const std::string& called = plan.steps[other].name;
                        return StepResult{"succeeded", "run of " + called, "/" + called, {}};
                      }};
    for (const auto& argument : plan.steps[*plan.index(step)].arguments)
      if (argument.name == name) return resolve(plan, argument.value, {}, scope).value_or("(none)");
    return "(no such argument)";
  }

  TempDir dir_ = TempDir::create().value();
};

TEST_F(Nested, StepsWithinHaveTwoNamesAndOthersTakeTheOutputs) {
  write("features/pipeline.yaml", kFeatures);
  Plan made = plan(R"(
params: {rows: raw.csv}
steps:
  fetch: {command: fetch}
  features: {pipeline: features, params: {source: "${params.rows}", size: 5}, needs: fetch}
  train:
    command: train {data} {size}
    params: {data: "${steps.features.outputs.table}", size: "${steps.features.outputs.size}"}
)");
  EXPECT_THAT(shape_of(made), ElementsAre("fetch", "features/read <- fetch", "features/join <- features/read",
                                          "train <- features/join"));
  EXPECT_EQ(value_of(made, "train", "data"), "/features/join/table.csv");
  EXPECT_EQ(value_of(made, "train", "size"), "5");
  EXPECT_EQ(value_of(made, "features/read", "n"), "5");
  EXPECT_EQ(value_of(made, "features/read", "in"), (dir_.path() / "raw.csv").string())
      << "a path counts from the file that names it";
  EXPECT_EQ(made.steps[1].within, "features");
  EXPECT_EQ(*made.steps[1].folder, fs::canonical(dir_.path() / "features"));
  EXPECT_THAT(made.instances("features"), ElementsAre(1, 2));
}

TEST_F(Nested, PipelinesWithinPipelinesAndInputsOfTheirOwn) {
  write("features.yaml", kFeatures);
  write("deep/middle.yaml",
        "inputs: {raw: raw.csv}\n"
        "outputs: {table: '${steps.inner.outputs.table}'}\n"
        "steps:\n"
        "  inner: {pipeline: ../features.yaml, params: {source: '${inputs.raw}'}}\n"
        "  count: {command: 'wc {t} {f}', params: {t: '${steps.inner.outputs.table}', f: "
        "'${pipeline.folder}/x'}}\n");
  Plan made = plan(
      "steps:\n"
      "  data: {pipeline: deep/middle.yaml}\n"
      "  use: {command: 'use {t}', params: {t: '${steps.data.outputs.table}'}, needs: [data]}\n");
  EXPECT_THAT(shape_of(made), ElementsAre("data/inner/read", "data/inner/join <- data/inner/read",
                                          "data/count <- data/inner/join",
                                          "use <- data/inner/read, data/inner/join, data/count"));
  ASSERT_EQ(made.inputs.size(), 1u);
  EXPECT_EQ(made.inputs[0].name, "data/raw");
  EXPECT_EQ(value_of(made, "data/inner/read", "in"), (fs::canonical(dir_.path()) / "deep/raw.csv").string());
  EXPECT_EQ(value_of(made, "data/count", "f"), (fs::canonical(dir_.path()) / "deep/x").string());
  EXPECT_THAT(made.instances("data/inner"), ElementsAre(0, 1));
}

TEST_F(Nested, ItsConditionAndItsStateAreThoseOfAllWithin) {
  write("features.yaml", kFeatures);
  Plan made = plan(
      "params: {mode: full}\n"
      "steps:\n"
      "  a: {pipeline: features.yaml, params: {source: x}, when: '${params.mode} == full'}\n"
      "  b: {command: b, when: '${steps.a.state} == failed'}\n");
  for (const auto& name : {"a/read", "a/join"})
    EXPECT_EQ(made.steps[*made.index(name)].settings->when->text, "${params.mode} == full");
  EXPECT_THAT(shape_of(made).back(), "b <- a/read, a/join");
  EXPECT_EQ(made.steps.back().tolerated.size(), 2u);
}

TEST_F(Nested, OneForEachOfManyValues) {
  write("features.yaml", kFeatures);
  Plan made = plan(
      "steps:\n"
      "  a: {pipeline: features.yaml, foreach: {n: [1, 2]}, params: {source: x, size: '${each.n}'}}\n"
      "  b: {command: 'b {t}', foreach: a, params: {t: '${steps.a.outputs.table}'}}\n"
      "  c: {command: 'c {t} {n}', params: {t: '${steps.a.outputs.table}', n: '${steps.a.each.n}'}}\n");
  EXPECT_EQ(value_of(made, "a/read[n=2]", "n"), "2");
  EXPECT_EQ(value_of(made, "a/join[n=2]", "from"), "/a/read[n=2]");
  EXPECT_EQ(value_of(made, "b[n=1]", "t"), "/a/join[n=1]/table.csv");
  EXPECT_EQ(value_of(made, "c", "t"), R"(["/a/join[n=1]/table.csv","/a/join[n=2]/table.csv"])");
  EXPECT_EQ(value_of(made, "c", "n"), "[1,2]");
  EXPECT_EQ(made.instances("a").size(), 4u);
}

TEST_F(Nested, CanBeChosenByItsName) {
  write("features.yaml", kFeatures);
  Plan made = plan(
      "steps:\n"
      "  a: {pipeline: features.yaml, params: {source: x}}\n"
      "  b: {command: b, needs: [a]}\n"
      "  c: {command: c}\n");
  EXPECT_EQ(select(made, {.steps = {"a"}, .from = ""})->plan.steps.size(), 2u);
  EXPECT_EQ(select(made, {.steps = {"a/read"}, .from = ""})->plan.steps.size(), 1u);
  auto from = select(made, {.steps = {}, .from = "a"});
  EXPECT_THAT(from->again, testing::UnorderedElementsAre("a/read", "a/join", "b"));
  EXPECT_EQ(from->plan.instances("a").size(), 2u);
}

TEST_F(Nested, MistakesAreToldWithTheirPlaceInTheirFile) {
  write("features.yaml", kFeatures);
  auto with = [&](const std::string& step) {
    return error_of("steps:\n  a: " + step + "\n  b: {command: b}\n");
  };
  EXPECT_THAT(with("{pipeline: absent.yaml}"),
              AllOf(HasSubstr("pipeline.yaml:2:17: step 'a': there is no pipeline")));
  EXPECT_THAT(with("{pipeline: features.yaml}"),
              AllOf(HasSubstr("pipeline.yaml:2:3: step 'a' does not pass parameter 'source'"),
                    HasSubstr("features.yaml:2:")));
  EXPECT_THAT(with("{pipeline: features.yaml, params: {source: x, siez: 2}}"),
              AllOf(HasSubstr("passes 'siez', which pipeline"), HasSubstr("did you mean 'size'?")));
  EXPECT_THAT(with("{pipeline: features.yaml, params: {source: x, size: 12}}"),
              HasSubstr("'size' must be at most 9, not '12'"));
  EXPECT_THAT(
      with("{pipeline: features.yaml, params: {source: x}, timeout: 5}"),
      HasSubstr("pipeline.yaml:2:53: step 'a' is a pipeline: 'timeout' belongs to the steps within it"));
  EXPECT_THAT(error_of("steps:\n  a: {pipeline: features.yaml, params: {source: x}}\n"
                       "  b: {command: 'b {t}', params: {t: '${steps.a.outputs.tabel}'}}\n"),
              AllOf(HasSubstr("pipeline.yaml:3:"), HasSubstr("did you mean 'table'?")));
  EXPECT_THAT(error_of("steps:\n  a: {pipeline: features.yaml, params: {source: x}}\n"
                       "  b: {command: 'b {t}', params: {t: '${steps.a.artifacts}'}}\n"),
              HasSubstr("'steps.a' can be followed by outputs, state"));
  write("broken.yaml", "outputs: {x: '${steps.raed.artifacts}'}\nsteps: {read: {command: r}}\n");
  EXPECT_THAT(with("{pipeline: broken.yaml}"),
              AllOf(HasSubstr("broken.yaml:1:14:"), HasSubstr("did you mean 'read'?")));
  write("own.yaml", "outputs: {x: '${self.artifacts}'}\nsteps: {read: {command: r}}\n");
  EXPECT_THAT(with("{pipeline: own.yaml}"), HasSubstr("an output belongs to no step"));
}

TEST_F(Nested, CirclesAndFloodsAreRefused) {
  write("one.yaml", "steps: {x: {pipeline: two.yaml}}\n");
  write("two.yaml", "steps: {y: {pipeline: one.yaml}}\n");
  EXPECT_THAT(error_of("steps: {a: {pipeline: one.yaml}}\n"),
              AllOf(HasSubstr("two.yaml:1:23: pipelines contain each other in a circle:"),
                    HasSubstr("one.yaml -> ")));
  EXPECT_THAT(error_of("steps: {a: {pipeline: pipeline.yaml}}\n"), HasSubstr("in a circle"));
  for (int i = 0; i < 14; ++i)
    write(fmt::format("level{}.yaml", i),
          i == 0 ? "steps: {s: {command: x}}\n"
                 : fmt::format("steps:\n  a: {{pipeline: level{0}.yaml}}\n  b: {{pipeline: level{0}.yaml}}\n"
                               "  c: {{pipeline: level{0}.yaml}}\n",
                               i - 1));
  EXPECT_THAT(error_of("steps: {a: {pipeline: level13.yaml}}\n"),
              HasSubstr("there are more than 20000 steps within steps"));
}

TEST_F(Nested, StepsThatWaitForEachOthersOutputsAreACircle) {
  write("pass.yaml", "params: {in: ''}\noutputs: {out: '${params.in}'}\nsteps: {s: {command: x}}\n");
  EXPECT_THAT(error_of("steps:\n"
                       "  a: {pipeline: pass.yaml, params: {in: '${steps.b.outputs.out}'}}\n"
                       "  b: {pipeline: pass.yaml, params: {in: '${steps.a.outputs.out}'}}\n"),
              HasSubstr("steps wait for each other in a circle: a -> b -> a"));
}

TEST_F(Nested, SecretsOfTheSameNameMustBeTheSame) {
  write("key.yaml", "secrets: {KEY: {env: OTHER}}\nsteps: {s: {command: x, secrets: [KEY]}}\n");
  EXPECT_THAT(error_of("secrets: {KEY: }\nsteps: {a: {pipeline: key.yaml}}\n"),
              HasSubstr("key.yaml:1:11: the secret 'KEY' is another than that of"));
  Plan made = plan("steps: {a: {pipeline: key.yaml}}\n");
  EXPECT_EQ(made.steps[0].secrets[0].variable, "OTHER");
}

TEST_F(Nested, WhatRunsAtTheEndRunsAtTheEndOfAll) {
  write("ends.yaml", "steps: {s: {command: x}}\nfinally: {clean: {command: c}}\n");
  Plan made = plan("steps:\n  a: {pipeline: ends.yaml}\n  b: {command: b, needs: [a]}\n");
  EXPECT_EQ(made.steps[*made.index("a/clean")].phase, config::Phase::kFinally);
  EXPECT_THAT(made.instances("a"), ElementsAre(0));
  write("plain.yaml", "steps: {s: {command: x}}\n");
  Plan failed = plan("steps: {b: {command: b}}\non_failure: {a: {pipeline: plain.yaml}}\n");
  EXPECT_EQ(failed.steps[*failed.index("a/s")].phase, config::Phase::kOnFailure);
  EXPECT_THAT(error_of("steps: {b: {command: b}}\nfinally: {a: {pipeline: ends.yaml}}\n"),
              HasSubstr("step 'a' runs at the end of a run, and its pipeline has finally of its own"));
}

}  // namespace
}  // namespace tidemill::pipeline
