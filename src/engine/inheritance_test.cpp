// Which of the caller's variables a step sees.
#include "engine/engine_fixture.h"

namespace tidemill::engine {
namespace {

using testing::HasSubstr;
using testing::Not;

class Inheritance : public EngineTest {
 protected:
  void SetUp() override {
    EngineTest::SetUp();
    setenv("CALLERS_OWN", "seen-by-all", 1);
    setenv("CALLERS_OTHER", "seen-by-many", 1);
    setenv("LC_TIME", "C", 1);
  }
  void TearDown() override {
    for (const char* name : {"CALLERS_OWN", "CALLERS_OTHER", "LC_TIME"}) unsetenv(name);
  }
  // The variables that a step with these settings sees, in a pipeline with those.
  std::string seen(const std::string& step, const std::string& pipeline = "") {
    auto outcome =
        run("name: p\n" + pipeline + "steps:\n  a: {command: 'env > $TIDEMILL_OUTPUT_DIR/env', cache: false" +
            step + "}\n");
    EXPECT_TRUE(outcome) << outcome.error().message;
    return read_file(fs::path(store_->run(outcome->steps[0].run_id)->info.artifact_uri) / "env").value_or("");
  }
};

TEST_F(Inheritance, WithoutAWordAllIsSeen) { EXPECT_THAT(seen(""), HasSubstr("CALLERS_OWN=seen-by-all")); }

TEST_F(Inheritance, FalseLeavesWhatEveryProgramNeedsAndWhatTheStepIsGiven) {
  const std::string env = seen(", inherit: false, environment: {MINE: 1, CALLERS_OTHER: }");
  EXPECT_THAT(env, Not(HasSubstr("CALLERS_OWN")));
  for (const char* name : {"PATH=", "HOME=", "LC_TIME=C", "MINE=1", "CALLERS_OTHER=seen-by-many",
                           "MLFLOW_RUN_ID=", "TIDEMILL_OUTPUT_DIR="})
    EXPECT_THAT(env, HasSubstr(name));
}

TEST_F(Inheritance, NamesAndBeginningsOfNamesAreLetThrough) {
  EXPECT_THAT(seen(", inherit: [CALLERS_OWN]"), HasSubstr("CALLERS_OWN="));
  EXPECT_THAT(seen(", inherit: [CALLERS_OWN]"), Not(HasSubstr("CALLERS_OTHER")));
  EXPECT_THAT(seen(", inherit: ['CALLERS_*']"), HasSubstr("CALLERS_OTHER="));
}

TEST_F(Inheritance, ThePipelinesWordHoldsForStepsThatSayNothing) {
  EXPECT_THAT(seen("", "inherit: false\n"), Not(HasSubstr("CALLERS_OWN")));
  EXPECT_THAT(seen(", inherit: true", "inherit: false\n"), HasSubstr("CALLERS_OWN"));
  EXPECT_THAT(seen(", inherit: [CALLERS_OTHER]", "inherit: [CALLERS_OWN]\n"), Not(HasSubstr("CALLERS_OWN")));
}

TEST_F(Inheritance, ASecretIsSeenByWhomItIsFor) {
  const std::string env = seen(", inherit: false, secrets: [CALLERS_OWN]", "secrets: {CALLERS_OWN: }\n");
  EXPECT_THAT(env, HasSubstr("CALLERS_OWN=seen-by-all"));
}

}  // namespace
}  // namespace tidemill::engine
