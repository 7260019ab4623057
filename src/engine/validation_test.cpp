// Checks of what a step has made, before anything uses it.
#include "engine/validation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/engine_fixture.h"

namespace tidemill::engine {
namespace {

using testing::HasSubstr;

class Validate : public EngineTest {
 protected:
  void SetUp() override {
    EngineTest::SetUp();
    add_step("make", "cat {table} > $TIDEMILL_OUTPUT_DIR/t.csv", "{table: path}");
    add_step("use", "cat {table} > " + (dir_.path() / "used").string(), "{table: path}");
  }
  Outcome run_with(const std::string& table, const std::string& checks) {
    fs::remove(dir_.path() / "used");
    write("t.csv", table);
    auto outcome =
        run("name: v\nsteps:\n  make: {project: make, params: {table: '" + (dir_.path() / "t.csv").string() +
            "'}, validate: [" + checks +
            "]}\n  use: {project: use, cache: false, params: {table: '${steps.make.artifacts}/t.csv'}}\n");
    EXPECT_TRUE(outcome) << outcome.error().message;
    return outcome.value_or(Outcome{});
  }
  fs::path artifacts_of(const Outcome& outcome) {
    return fs::path(store_->run(outcome.run_id)->info.artifact_uri);
  }
};

TEST_F(Validate, BadDataStopThePipelineUntilTheyAreAccepted) {
  Outcome refused = run_with("a\n1\n-1\n", "{table: t.csv, columns: {a: {min: 0}}}");
  EXPECT_EQ(refused.status, tracking::RunStatus::kFailed);
  EXPECT_EQ(text_of("used"), "(missing)");
  EXPECT_THAT(finished("make")->reason, HasSubstr("pipeline.yaml:3:"));
  EXPECT_THAT(finished("make")->reason, HasSubstr("t.csv: a out of range: 1 of 2 rows"));
  EXPECT_EQ(run_with("a\n1\n-1\n", "{table: t.csv, columns: {a: {min: 0}}}").status,
            tracking::RunStatus::kFailed);
  EXPECT_EQ(started("make"), "");  // the same data are refused without being made again

  Outcome accepted = run_with("a\n1\n-1\n", "{table: t.csv, columns: {a: {min: -5}}}");
  EXPECT_EQ(accepted.status, tracking::RunStatus::kFinished);
  EXPECT_EQ(text_of("used"), "a\n1\n-1\n");
}

TEST_F(Validate, ThatDataWouldBeCheckedIsForeseen) {
  auto reason_with = [&](int least) {
    return foresee(plan(fmt::format(
                       "name: v\nsteps:\n  make: {{project: make, params: {{table: '{}'}}, validate: "
                       "[{{table: t.csv, rows: {{min: {}}}}}]}}\n",
                       (dir_.path() / "t.csv").string(), least)),
                   &*store_, options_)
        .value()[0]
        .reason;
  };
  write("t.csv", "a\n1\n");
  EXPECT_EQ(reason_with(1), "for the first time; its data would be checked");
  run_with("a\n1\n", "{table: t.csv, rows: {min: 1}}");
  EXPECT_THAT(reason_with(1), testing::Not(HasSubstr("checked"))) << "these checks have accepted it";
  EXPECT_THAT(reason_with(2),
              testing::AllOf(HasSubstr("nothing has changed"), HasSubstr("; its data would be checked")));
}

TEST_F(Validate, AWarningIsToldAndNothingElse) {
  Outcome outcome = run_with("a\n1\n", "{table: t.csv, rows: {min: 5}, otherwise: warn}");
  EXPECT_EQ(outcome.status, tracking::RunStatus::kFinished);
  EXPECT_THAT(finished("make")->notes,
              testing::ElementsAre("warning: t.csv: rows: 1, at least 5 are wanted"));
}

TEST_F(Validate, ExcludedRowsAreListedAndWhatIsLeftIsCheckedAgain) {
  Outcome outcome =
      run_with("a\n1\n-1\n2\n", "{table: t.csv, rows: {min: 2}, columns: {a: {min: 0}}, otherwise: exclude}");
  EXPECT_EQ(outcome.status, tracking::RunStatus::kFinished);
  EXPECT_EQ(text_of("used"), "a\n1\n2\n");
  EXPECT_EQ(read_file(artifacts_of(outcome) / "validation/make.excluded.txt").value_or(""),
            "t.csv\tline 3\ta is -1\n");
  EXPECT_THAT(finished("make")->notes, testing::ElementsAre("t.csv: 1 excluded"));
  Outcome few =
      run_with("a\n1\n-1\n2\n", "{table: t.csv, rows: {min: 3}, columns: {a: {min: 0}}, otherwise: exclude}");
  EXPECT_EQ(few.status, tracking::RunStatus::kFailed);
  EXPECT_THAT(finished("make")->reason, HasSubstr("rows: 2, at least 3 are wanted"));
}

TEST_F(Validate, OtherStepsGoOnWhileALargeTableIsLookedAt) {
  add_step("first", "while [ ! -e ../made ]; do sleep 0.01; done");
  add_step("many", "seq 3000000 > $TIDEMILL_OUTPUT_DIR/t.csv; touch ../made");
  auto outcome =
      run("name: v\nsteps:\n  many: {project: many, validate: [{table: t.csv, duplicates: 0}]}\n"
          "  first: {project: first}\n  second: {project: first, needs: first}\n",
          2);
  ASSERT_TRUE(outcome) << outcome.error().message;
  EXPECT_EQ(outcome->status, tracking::RunStatus::kFinished);
  std::vector<std::string> ended;
  for (const Event& event : events_)
    if (const auto* finished = std::get_if<StepFinished>(&event)) ended.push_back(finished->step);
  EXPECT_THAT(ended, testing::ElementsAre("first", "second", "many"));
}

TEST_F(Validate, DriftIsMeasuredAgainstTheLastAcceptedRun) {
  std::string first = "a\n", near = "a\n", far = "a\n";
  for (int i = 0; i < 200; ++i) {
    first += fmt::format("{}\n", i % 100);
    near += fmt::format("{}\n", (i + 1) % 100);
    far += fmt::format("{}\n", 70 + i % 100);
  }
  const std::string checks = "{table: t.csv, drift: 0.2}";
  EXPECT_EQ(run_with(first, checks).status, tracking::RunStatus::kFinished);
  EXPECT_EQ(run_with(far, checks).status, tracking::RunStatus::kFailed);
  EXPECT_THAT(finished("make")->reason, HasSubstr("a has drifted by"));
  EXPECT_EQ(run_with(near, checks).status, tracking::RunStatus::kFinished);
}

}  // namespace
}  // namespace tidemill::engine
