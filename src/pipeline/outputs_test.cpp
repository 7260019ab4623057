// References to what steps declare, in the plan.
#include "pipeline/outputs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pipeline/plan.h"
#include "pipeline/resolve.h"

namespace tidemill::pipeline {
namespace {

using testing::EndsWith;
using testing::HasSubstr;

class Outputs : public testing::Test {
 protected:
  void write(const std::string& name, std::string_view text) {
    ASSERT_TRUE(write_file_atomic(dir_.path() / name, text, Durable::no));
  }
  Result<Plan> plan_of(std::string_view text) {
    write("pipeline.yaml", text);
    return make_plan(TRY(config::load_pipeline(dir_.path() / "pipeline.yaml")), {});
  }
  std::string error_of(std::string_view text) {
    auto made = plan_of(text);
    return made ? "" : made.error().message;
  }
  // The value of the step's parameter x; every other step has left its name as its artifacts.
  static std::string value_in(const Result<Plan>& plan, const std::string& step) {
    if (!plan) return plan.error().message;
    const Scope scope{.run_id = {}, .artifacts = {}, .experiment_id = {}, .step = [&](size_t other) {
                        return StepResult{"succeeded", "", "/" + plan->steps[other].name, {}};
                      }};
    return resolve(*plan, plan->steps[*plan->index(step)].arguments[0].value, {.artifacts = "/own"}, scope)
        .value_or("(none)");
  }

  TempDir dir_ = TempDir::create().value();
};

TEST_F(Outputs, AreReferredToByNameAndWaitedFor) {
  auto plan = plan_of(
      "steps:\n"
      "  use: {command: 'use {x}', params: {x: 'in ${steps.make.outputs.table}.gz'}}\n"
      "  make: {command: 'make {x}', params: {x: '${self.outputs.table}'}, outputs: {table: t/a.csv}}\n");
  EXPECT_EQ(value_in(plan, "use"), "in /make/t/a.csv.gz");
  EXPECT_EQ(value_in(plan, "make"), "/own/t/a.csv");
  EXPECT_EQ(plan->steps[0].name, "make");
}

TEST_F(Outputs, AreCollectedFromManyAndFollowedOneByOne) {
  auto plan = plan_of(
      "steps:\n"
      "  make: {command: make, foreach: {n: [1, 2]}, outputs: {t: t.csv}}\n"
      "  each: {command: 'each {x}', foreach: make, params: {x: '${steps.make.outputs.t}'}}\n"
      "  all: {command: 'all {x}', params: {x: '${steps.make.outputs.t}'}}\n");
  EXPECT_EQ(value_in(plan, "each[n=2]"), "/make[n=2]/t.csv");
  EXPECT_EQ(value_in(plan, "all"), R"(["/make[n=1]/t.csv","/make[n=2]/t.csv"])");
}

TEST_F(Outputs, OfAStepWithinAPipelineCanBeThoseOfThePipeline) {
  write("inner.yaml",
        "outputs: {table: '${steps.make.outputs.t}'}\n"
        "steps: {make: {command: make, outputs: {t: t.csv}}}\n");
  auto plan = plan_of(
      "steps:\n"
      "  inner: {pipeline: inner.yaml}\n"
      "  use: {command: 'use {x}', params: {x: '${steps.inner.outputs.table}'}}\n");
  EXPECT_EQ(value_in(plan, "use"), "/inner/make/t.csv");
}

TEST_F(Outputs, NamesThatNobodyDeclaresAreToldBeforeAnythingRuns) {
  auto error_of_use = [&](const std::string& reference) {
    return error_of(
        "steps:\n  make: {command: make, outputs: {table: t.csv}}\n  none: {command: none}\n"
        "  use: {command: 'use {x}', params: {x: '" +
        reference + "'}}\n");
  };
  EXPECT_THAT(
      error_of_use("${steps.make.outputs.tabel}"),
      HasSubstr("pipeline.yaml:4:41: unknown reference ${steps.make.outputs.tabel} (did you mean 'table'?)"));
  EXPECT_THAT(error_of_use("${steps.make.outputs}"), HasSubstr("unknown reference ${steps.make.outputs}"));
  EXPECT_THAT(error_of_use("${params.data}"),
              EndsWith("${params.data}: nothing is declared that 'params' can be followed by"));
  EXPECT_THAT(error_of_use("${steps.make.outputs.table.x}"), HasSubstr("it has 4 words, not 5"));
  EXPECT_THAT(error_of_use("${steps.none.outputs.table}"),
              HasSubstr("step 'none' declares no outputs; add outputs: {NAME: PATH} to it"));
  EXPECT_THAT(error_of_use("${self.outputs.table}"), HasSubstr("unknown reference ${self.outputs.table}"));
}

}  // namespace
}  // namespace tidemill::pipeline
