// What a step is given is to be read only.
#include "engine/engine_fixture.h"

namespace tidemill::engine {
namespace {

using testing::HasSubstr;
using tracking::RunStatus;

class Given : public EngineTest {
 protected:
  Result<Outcome> run_using(const std::string& command,
                            const std::string& given = "'${steps.make.artifacts}'") {
    return run(
        "name: p\nsteps:\n"
        "  make: {command: 'cd $TIDEMILL_OUTPUT_DIR; mkdir d; echo 1 > d/a; echo 2 > b'}\n"
        "  use: {command: '" +
        command + "', params: {x: " + given + "}}\n");
  }
};

TEST_F(Given, AStepThatChangesWhatAnotherHasMadeHasFailed) {
  auto outcome = run_using("echo mine > {x}/d/a; rm {x}/b; echo done");
  ASSERT_TRUE(outcome) << outcome.error().message;
  EXPECT_EQ(outcome->status, RunStatus::kFailed);
  EXPECT_EQ(finished("use")->reason,
            "what it was given is to be read only, and was changed while it ran: b of step make: missing, "
            "d/a of step "
            "make: changed or damaged");
  EXPECT_THAT(finished("use")->last_lines, testing::ElementsAre("done"));
  EXPECT_EQ(run_using("cat {x}/b")->status, RunStatus::kFinished);
  EXPECT_THAT(started("make"), HasSubstr("have been changed or damaged")) << "what was damaged is made anew";
}

TEST_F(Given, AlsoOfAPartAndOfMany) {
  EXPECT_EQ(run_using("echo mine > {x}", "'${steps.make.artifacts}/b'")->status, RunStatus::kFailed);
  auto outcome = run(
      "name: p\nsteps:\n"
      "  make: {command: 'echo {n} > $TIDEMILL_OUTPUT_DIR/out', foreach: {n: [1, 2]}, params: {n: "
      "'${each.n}'}}\n"
      "  use: {command: 'for f in $(echo {x} | tr -d \"[]\\\"\" | tr , \" \"); do echo x > $f/out; done', "
      "params: {x: '${steps.make.artifacts}'}}\n");
  ASSERT_TRUE(outcome) << outcome.error().message;
  EXPECT_EQ(outcome->status, RunStatus::kFailed);
}

TEST_F(Given, WhatIsAddedIsToldAndReadingIsNothing) {
  auto outcome = run_using("echo plot > {x}/plot; cat {x}/b");
  EXPECT_EQ(outcome->status, RunStatus::kFinished);
  EXPECT_THAT(finished("use")->notes, testing::ElementsAre(HasSubstr("there is now plot of step make")));
  EXPECT_EQ(run_using("cat {x}/d/a")->status, RunStatus::kFinished);
  EXPECT_TRUE(finished("use")->notes.empty());
}

TEST_F(Given, AnInputFromElsewhereThatChangesLeavesNoResultAndIsNamed) {
  write("raw", "1\n");
  const std::string yaml =
      "name: p\ninputs: {raw: raw}\nsteps:\n  a: {command: 'echo 2 >> {x}', params: {x: '${inputs.raw}'}}\n";
  ASSERT_EQ(run(yaml)->status, RunStatus::kFinished);
  EXPECT_THAT(finished("a")->notes,
              testing::ElementsAre(
                  HasSubstr("its result is not kept: while it ran, something has changed: input x: ")));
  ASSERT_EQ(run(yaml)->status, RunStatus::kFinished);
  EXPECT_EQ(finished("a")->state, StepState::kFinished);
}

}  // namespace
}  // namespace tidemill::engine
