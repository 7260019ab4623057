// What a step asks about the world outside before it is decided whether it runs.
#include "engine/probes.h"

#include "base/text.h"
#include "engine/engine_fixture.h"
#include "engine/inputs.h"

namespace tidemill::engine {
namespace {

using testing::HasSubstr;

class Probes : public EngineTest {
 protected:
  Result<Outcome> probe_and_run(const std::string& yaml) {
    pipeline::Plan made = plan(yaml);
    TRY(fetch_inputs(made, options_));
    return run(made);
  }
  std::string error_of(const std::string& step) {
    auto outcome =
        probe_and_run("name: p\nparams: {v: '1'}\nsteps:\n  b: {command: 'true'}\n  a: " + step + "\n");
    return outcome ? "" : outcome.error().message;
  }
  size_t times(const std::string& file) { return split(text_of(file), '\n').size() - 1; }
};

constexpr const char* kStep =
    "name: p\nparams: {file: version}\nsteps:\n"
    "  a: {command: 'echo run >> runs; echo {f}', params: {f: '${params.file}'}, code: [],\n"
    "      probe: 'echo asked >> asked; cat {f}.txt'}\n";

TEST_F(Probes, AnotherAnswerRunsTheStepAgainAndIsToldWithBoth) {
  write("version.txt", "1.0\n");
  ASSERT_TRUE(probe_and_run(kStep));
  ASSERT_TRUE(probe_and_run(kStep));
  EXPECT_EQ(times("runs"), 1u);
  write("version.txt", "1.1\n\n");
  ASSERT_TRUE(probe_and_run(kStep));
  EXPECT_EQ(started("a"), "probe: 1.0 -> 1.1");
  EXPECT_EQ(times("asked"), 3u);
}

TEST_F(Probes, OneIsRunOnceForAllThatAskTheSame) {
  auto outcome = probe_and_run(
      "name: p\nsteps:\n  a: {command: 'echo {n}', foreach: {n: [1, 2, 3]}, params: {n: '${each.n}'},\n"
      "      probe: 'echo asked >> asked'}\n");
  ASSERT_TRUE(outcome) << outcome.error().message;
  EXPECT_EQ(times("asked"), 1u);
}

TEST_F(Probes, HasTheStepsVariablesAndSecretsWhichNobodySees) {
  ASSERT_EQ(setenv("PROBE_SECRET", "hunter2hunter2", 1), 0);
  const std::string yaml =
      "name: p\nsecrets: {KEY: {env: PROBE_SECRET}}\nsteps:\n"
      "  a: {command: 'true', environment: {PLACE: here}, secrets: [KEY], probe: 'echo $PLACE $KEY "
      "${{PROBE_SECRET-none}}'}\n"
      "  b: {command: 'true', probe: 'echo ${{KEY-none}}'}\n";
  pipeline::Plan made = plan(yaml);
  auto probed = run_probes(made, options_);
  ASSERT_TRUE(probed) << probed.error().message;
  EXPECT_EQ(made.steps[0].probed, "here *** none");
  EXPECT_EQ(made.steps[1].probed, "none");
  EXPECT_THAT(error_of("{command: 'true', probe: 'echo no such key >&2; exit 4'}"), HasSubstr("no such key"));
}

TEST_F(Probes, OneThatFailsIsAnErrorAtItsPlace) {
  EXPECT_THAT(error_of("{command: 'true', probe: 'echo gone >&2; false | cat'}"),
              HasSubstr("pipeline.yaml:5:31: the probe of step 'a' has failed (exit status 1): gone"));
  EXPECT_THAT(error_of("{command: 'true', probe: 'head -c 2000000 /dev/zero'}"),
              HasSubstr("more than a megabyte"));
  EXPECT_FALSE(store_->search_runs({.experiment_ids = {"1"}, .filter = "", .order_by = {}, .page_token = {}})
                   ->items.size() > 0);
}

TEST_F(Probes, KnowsOnlyWhatIsKnownBeforeTheRun) {
  EXPECT_EQ(
      error_of(
          "{command: 'echo {x} {y}', params: {x: '${params.v}', y: '${steps.b.run_id}'}, probe: 'echo {x}'}"),
      "");
  EXPECT_THAT(error_of("{command: 'echo {x}', params: {x: '${steps.b.run_id}'}, probe: 'echo {x}'}"),
              HasSubstr("the probe of step 'a' is run before all steps: x of it is not known then"));
}

}  // namespace
}  // namespace tidemill::engine
