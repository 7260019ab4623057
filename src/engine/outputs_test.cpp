// What a step declares that it leaves: looked for when it has ended, and what others depend upon.
#include "engine/engine_fixture.h"

namespace tidemill::engine {
namespace {

using testing::HasSubstr;
using tracking::RunStatus;

class Outputs : public EngineTest {
 protected:
  // make writes a and b; use reads the one that it refers to.
  std::string steps(const std::string& a, const std::string& b,
                    const std::string& outputs = "{a: a, b: sub/b}") {
    return fmt::format(
        "name: p\nsteps:\n"
        "  make:\n    command: mkdir $TIDEMILL_OUTPUT_DIR/sub; echo {} > {{a}}; echo {} > "
        "$TIDEMILL_OUTPUT_DIR/sub/b\n"
        "    params: {{a: '${{self.artifacts}}/a'}}\n    outputs: {}\n"
        "  use: {{command: 'cat {{x}}', params: {{x: '${{steps.make.outputs.b}}'}}}}\n",
        a, b, outputs);
  }
};

TEST_F(Outputs, OthersDependOnTheOneThatTheyReferToAlone) {
  ASSERT_TRUE(run(steps("1", "2")));
  EXPECT_EQ(text_of(store_->run(finished("use")->run_id)->param("x")), "2\n");
  ASSERT_TRUE(run(steps("3", "2")));
  EXPECT_EQ(finished("make")->state, StepState::kFinished);
  EXPECT_EQ(finished("use")->state, StepState::kReused);
  ASSERT_TRUE(run(steps("3", "4")));
  EXPECT_THAT(started("use"), HasSubstr("input x: "));
}

TEST_F(Outputs, TheFolderThatOneIsToLieInIsThere) {
  auto outcome =
      run("name: p\nsteps:\n"
          "  a: {command: 'echo 1 > {o}', params: {o: '${self.outputs.o}'}, outputs: {o: deep/down/o}}\n");
  ASSERT_TRUE(outcome) << outcome.error().message;
  EXPECT_EQ(finished("a")->state, StepState::kFinished) << finished("a")->reason;
}

TEST_F(Outputs, AParameterOfTypePathMaySayWhereOneIsToBeWritten) {
  add_step("a", "echo 1 > {o}", "{o: path}");
  const char* yaml = "name: p\nsteps: {a: {project: a, params: {o: '${self.outputs.o}'}, outputs: {o: o}}}\n";
  ASSERT_TRUE(run(yaml));
  EXPECT_EQ(finished("a")->state, StepState::kFinished) << finished("a")->reason;
  ASSERT_TRUE(run(yaml));
  EXPECT_EQ(finished("a")->state, StepState::kReused);
}

TEST_F(Outputs, WhatIsDeclaredIsPartOfTheKeyAndItsNameIsNot) {
  ASSERT_TRUE(run(steps("1", "2", "{b: sub/b}")));
  ASSERT_TRUE(run(steps("1", "2", "{b: sub/b, a: a}")));
  EXPECT_EQ(started("make"), "output a is new (declared)");
  ASSERT_TRUE(run(steps("1", "2", "{other: a, b: sub/b}")));
  EXPECT_EQ(finished("make")->state, StepState::kReused);
}

TEST_F(Outputs, AStepThatDoesNotMakeWhatItDeclaresHasFailedAndLeavesNoResult) {
  const char* yaml =
      "name: p\nsteps:\n"
      "  a: {command: 'touch $TIDEMILL_OUTPUT_DIR/x; echo done', outputs: {x: x, y: y, z: w/z}, retry: "
      "{times: 1, delay: 0}}\n"
      "  b: {command: 'true', needs: a}\n";
  for (int i = 0; i < 2; ++i) {
    auto outcome = run(yaml);
    ASSERT_TRUE(outcome) << outcome.error().message;
    EXPECT_EQ(outcome->status, RunStatus::kFailed);
    EXPECT_EQ(outcome->steps[0].attempts, 2);
    EXPECT_EQ(finished("a")->reason, "it has ended well, but has not made y (output 'y'), w/z (output 'z')");
    EXPECT_THAT(finished("a")->last_lines, testing::ElementsAre("done"));
    EXPECT_EQ(store_->run(finished("a")->run_id)->tag("tidemill.failure_kind"), "exit");
    EXPECT_EQ(finished("b")->state, StepState::kSkipped);
  }
}

TEST_F(Outputs, AFolderAndWhatALinkLeadsToAreThere) {
  write("elsewhere", "x");
  auto outcome =
      run("name: p\nsteps:\n"
          "  a: {command: 'mkdir $TIDEMILL_OUTPUT_DIR/d; ln -s $PWD/elsewhere $TIDEMILL_OUTPUT_DIR/l', "
          "outputs: {d: d, l: l}}\n"
          "  b: {command: 'ln -s nowhere $TIDEMILL_OUTPUT_DIR/l', outputs: {l: l}, allow_failure: true}\n");
  ASSERT_TRUE(outcome) << outcome.error().message;
  EXPECT_EQ(finished("a")->state, StepState::kFinished) << finished("a")->reason;
  EXPECT_THAT(finished("b")->reason, HasSubstr("has not made l"));
}

}  // namespace
}  // namespace tidemill::engine
