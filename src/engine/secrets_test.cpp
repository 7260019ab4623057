// Secrets reach the step that asks for them, and nothing else.
#include <cstdlib>

#include "engine/engine_fixture.h"
#include "sys/terminal.h"

namespace tidemill::engine {
namespace {

using testing::HasSubstr;
using testing::Not;
using tracking::RunStatus;

class Secrets : public EngineTest {
 protected:
  void SetUp() override {
    EngineTest::SetUp();
    setenv("TIDEMILL_TEST_SECRET", "hunter22", 1);
    add_step("tell", "echo the token is $TOKEN.; echo $TOKEN > $TIDEMILL_OUTPUT_DIR/used; {then}",
             "{then: {default: 'true'}}");
    add_step("other", "echo token=$TOKEN", "{}");
  }
  void TearDown() override { unsetenv("TIDEMILL_TEST_SECRET"); }

  static constexpr const char* kHead = "secrets: {TOKEN: {env: TIDEMILL_TEST_SECRET}}\nsteps:\n";
};

TEST_F(Secrets, AreVariablesOfTheStepThatAsksAndMaskedInItsLog) {
  auto outcome = run(std::string(kHead) + "  a: {project: tell, secrets: [TOKEN]}\n  b: {project: other}\n");
  ASSERT_TRUE(outcome) << outcome.error().message;
  EXPECT_EQ(outcome->status, RunStatus::kFinished);
  EXPECT_EQ(read_file(finished("a")->log).value(), "the token is ***.\n");
  EXPECT_EQ(read_file(finished("b")->log).value(), "token=\n");
  fs::path artifacts = store_->run(outcome->steps[0].run_id)->info.artifact_uri;
  EXPECT_EQ(read_file(artifacts / "used").value(), "hunter22\n") << "the step itself may use it";
}

TEST_F(Secrets, AStepThatDoesNotAskHasThemNeitherByTheirOtherNameNorInItsLog) {
  write("found", "hunter22\n");
  auto outcome = run(std::string(kHead) + "  a: {command: 'echo $TIDEMILL_TEST_SECRET.; cat found'}\n");
  EXPECT_THAT(read_file(finished("a")->log).value(), HasSubstr(".\n"));
  EXPECT_THAT(read_file(finished("a")->log).value(), HasSubstr("***\n"));
  EXPECT_THAT(read_file(finished("a")->log).value(), Not(HasSubstr("hunter22")));
  write("pipeline.yaml",
        std::string(kHead) + "  a: {command: 'true', environment: {TIDEMILL_TEST_SECRET: }}\n");
  config::Problems problems;
  auto refused = config::load_pipeline(dir_.path() / "pipeline.yaml").and_then([](const auto& pipeline) {
    return pipeline::make_plan(pipeline, {});
  });
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("ask for it with secrets: [TOKEN]"));
}

TEST_F(Secrets, LinesOfOneThatHasManyAreMaskedToo) {
  write("key", "-----BEGIN KEY-----\nMIIEvQIBADANBg\n}\n");
  ASSERT_TRUE(
      run("secrets: {KEY: {file: key}}\nsteps: {a: {command: 'echo \"$KEY\" | sed -n 2p; echo }', "
          "secrets: [KEY]}}\n"));
  EXPECT_EQ(read_file(finished("a")->log).value(), "***\n}\n");
}

TEST_F(Secrets, ProgressDoesNotTellThem) {
  write("tell.json",
        R"({"label": "with hunter22", "note": "hunter22", "done": 1, "total": 2, "seconds": 1})");
  ASSERT_TRUE(run(std::string(kHead) +
                  "  a: {command: 'cp tell.json $TIDEMILL_PROGRESS_FILE; sleep 0.7', secrets: [TOKEN]}\n"));
  std::vector<std::string> labels;
  for (const auto& event : events_)
    if (const auto* progress = std::get_if<StepProgress>(&event))
      labels.push_back(progress->label + progress->note);
  EXPECT_THAT(labels, testing::Contains("with ******"));
  EXPECT_THAT(labels, testing::Each(Not(HasSubstr("hunter22"))));
}

TEST_F(Secrets, WhatOthersSeeOfAStepsProgressDoesNotTellThem) {
  write("tell.json", R"({"label": "with hunter22", "done": 1, "total": 2, "seconds": 1})");
  ASSERT_TRUE(run(std::string(kHead) + "  a: {command: 'cp tell.json $TIDEMILL_PROGRESS_FILE; sleep 0.7; cp "
                                       "${{TIDEMILL_PROGRESS_FILE%.raw}} shown.json', secrets: [TOKEN]}\n"));
  EXPECT_EQ(read_progress(dir_.path() / "shown.json")->label, "with ***");
  EXPECT_TRUE(fs::is_empty(dir_.path() / "state/attempts")) << "nothing of it is left";
}

TEST_F(Secrets, AFailedStepDoesNotTellThem) {
  auto outcome = run(std::string(kHead) + "  a: {project: tell, secrets: [TOKEN], params: {then: false}}\n");
  EXPECT_EQ(outcome->status, RunStatus::kFailed);
  const StepFinished* event = finished("a");
  ASSERT_FALSE(event->last_lines.empty());
  EXPECT_EQ(event->last_lines[0], "the token is ***.");
  EXPECT_THAT(event->command + event->reason, Not(HasSubstr("hunter22")));
}

TEST_F(Secrets, TheirValuesAreNotPartOfTheKey) {
  std::string yaml = std::string(kHead) + "  a: {project: tell, secrets: [TOKEN]}\n";
  ASSERT_TRUE(run(yaml));
  setenv("TIDEMILL_TEST_SECRET", "another-one", 1);
  ASSERT_TRUE(run(yaml));
  EXPECT_EQ(finished("a")->state, StepState::kReused);
}

TEST_F(Secrets, ComeFromAFile) {
  write("key", "from a file\n");
  auto outcome = run("secrets: {TOKEN: {file: key}}\nsteps: {a: {project: tell, secrets: [TOKEN]}}\n");
  ASSERT_TRUE(outcome) << outcome.error().message;
  EXPECT_EQ(read_file(finished("a")->log).value(), "the token is ***.\n");
}

TEST_F(Secrets, OneThatIsMissingStopsTheRunBeforeItBegins) {
  unsetenv("TIDEMILL_TEST_SECRET");
  auto outcome = run(std::string(kHead) + "  a: {project: tell, secrets: [TOKEN]}\n");
  ASSERT_FALSE(outcome);
  EXPECT_THAT(outcome.error().message, HasSubstr("pipeline.yaml:1:11: secret 'TOKEN': the variable"));
  setenv("TIDEMILL_TEST_SECRET", "abc", 1);
  EXPECT_THAT(run(std::string(kHead) + "  a: {project: tell, secrets: [TOKEN]}\n").error().message,
              HasSubstr("too short to be masked"));
  write("pipeline.yaml", std::string(kHead) + "  a: {project: tell, secrets: [TOKNE]}\n");
  EXPECT_THAT(
      pipeline::make_plan(config::load_pipeline(dir_.path() / "pipeline.yaml").value(), {}).error().message,
      HasSubstr("did you mean 'TOKEN'?"));
  write("pipeline.yaml", "secrets: {TOKEN: hunter22}\nsteps: {a: {project: tell}}\n");
  EXPECT_THAT(config::load_pipeline(dir_.path() / "pipeline.yaml").error().message,
              HasSubstr("never write its value here"));
}

}  // namespace
}  // namespace tidemill::engine
