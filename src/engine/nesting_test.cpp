// Steps that are pipelines, run: a run of their own between the pipeline's and those of their steps.
#include <sys/wait.h>

#include <sstream>

#include "artifacts/folder_repository.h"
#include "engine/cancel.h"
#include "engine/earlier.h"
#include "engine/engine_fixture.h"
#include "engine/record.h"

namespace tidemill::engine {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using tracking::RunStatus;

class NestedRun : public EngineTest {
 protected:
  void SetUp() override {
    EngineTest::SetUp();
    options_.artifact_root = dir_.path() / "artifacts";
    write("inner/pipeline.yaml",
          "params: {text: {default: x}}\n"
          "outputs: {both: '${steps.second.artifacts}/out'}\n"
          "steps:\n"
          "  first: {command: 'echo {t} > $TIDEMILL_OUTPUT_DIR/out; echo first >> ../ran', params: {t: "
          "'${params.text}'}}\n"
          "  second:\n"
          "    command: 'cat {in}/out second.txt > $TIDEMILL_OUTPUT_DIR/out && echo second >> ../ran'\n"
          "    params: {in: '${steps.first.artifacts}'}\n");
    write("inner/second.txt", "2\n");
  }
  static std::string yaml(const std::string& text = "hello") {
    return fmt::format(
        "name: outer\n"
        "steps:\n"
        "  nest: {{pipeline: inner, params: {{text: {}}}}}\n"
        "  last: {{code: [], command: 'cp {{f}} got; echo last >> ran', params: {{f: "
        "'${{steps.nest.outputs.both}}'}}}}\n",
        text);
  }
  std::vector<std::string> ran() {
    std::vector<std::string> lines;
    std::istringstream in(text_of("ran"));
    for (std::string line; std::getline(in, line);) lines.push_back(line);
    fs::remove(dir_.path() / "ran");
    return lines;
  }
  tracking::Run run_of(const std::string& id) { return store_->run(id).value(); }
  tracking::Run nest_of(const std::string& whole) {
    auto nests = nest_runs(*store_, run_of(whole));
    EXPECT_TRUE(nests && nests->size() == 1u);
    return nests->at(0);
  }
};

TEST_F(NestedRun, IsAChildWithChildrenOfItsOwn) {
  auto outcome = run(yaml());
  ASSERT_TRUE(outcome) << outcome.error().message;
  ASSERT_EQ(outcome->status, RunStatus::kFinished);
  EXPECT_EQ(text_of("got"), "hello\n2\n");
  const tracking::Run nest = nest_of(outcome->run_id);
  EXPECT_EQ(nest.info.name, "nest");
  EXPECT_EQ(nest.info.status, RunStatus::kFinished);
  EXPECT_EQ(nest.tag("mlflow.parentRunId"), outcome->run_id);
  for (const auto& step : outcome->steps) {
    const bool within = step.step.starts_with("nest/");
    EXPECT_EQ(run_of(step.run_id).tag("mlflow.parentRunId"), within ? nest.info.id : outcome->run_id)
        << step.step;
    EXPECT_EQ(pipeline_run_of(run_of(step.run_id)), outcome->run_id);
  }
  EXPECT_EQ(run_of(outcome->steps[0].run_id).info.name, "nest/first");
  EXPECT_TRUE(fs::exists(
      log_file(*artifacts::local_folder(run_of(outcome->run_id).info.artifact_uri), "nest/first", 1)));
}

TEST_F(NestedRun, ChangesRunOnlyWhatTheyAffectAndTheInnerPipelineAloneSharesTheResults) {
  ASSERT_TRUE(run(yaml()));
  EXPECT_THAT(ran(), ElementsAre("first", "second", "last"));
  ASSERT_TRUE(run(yaml()));
  EXPECT_EQ(text_of("ran"), "(missing)");
  write("inner/second.txt", "two\n");
  ASSERT_TRUE(run(yaml()));
  EXPECT_THAT(ran(), ElementsAre("second", "last"));
  EXPECT_THAT(started("nest/second"), HasSubstr("code second.txt"));

  auto alone = config::load_pipeline(dir_.path() / "inner/pipeline.yaml");
  ASSERT_TRUE(alone) << alone.error().message;
  auto outcome = run(pipeline::make_plan(*alone, {{"text", "hello"}}).value());
  ASSERT_TRUE(outcome);
  EXPECT_EQ(text_of("ran"), "(missing)");
  EXPECT_EQ(finished("first")->state, StepState::kReused);
}

TEST_F(NestedRun, AFailureWithinIsItsOwnAndResumeGoesOn) {
  fs::remove(dir_.path() / "inner/second.txt");
  auto failed = run(yaml());
  ASSERT_TRUE(failed) << failed.error().message;
  EXPECT_EQ(failed->status, RunStatus::kFailed);
  const tracking::Run nest = nest_of(failed->run_id);
  EXPECT_EQ(nest.info.status, RunStatus::kFailed);
  ran();

  write("inner/second.txt", "2\n");
  auto resumed = go_on(failed->run_id, yaml());
  ASSERT_TRUE(resumed) << resumed.error().message;
  EXPECT_EQ(resumed->status, RunStatus::kFinished);
  EXPECT_THAT(ran(), ElementsAre("second", "last"));
  EXPECT_EQ(nest_of(failed->run_id).info.id, nest.info.id) << "no second run is made of it";
  EXPECT_EQ(nest_of(failed->run_id).info.status, RunStatus::kFinished);
}

TEST_F(NestedRun, OneThatIsSkippedHasNoRun) {
  auto outcome = run("steps: {nest: {pipeline: inner, when: 1 == 2}}\n");
  ASSERT_TRUE(outcome) << outcome.error().message;
  EXPECT_EQ(outcome->status, RunStatus::kFinished);
  EXPECT_TRUE(nest_runs(*store_, run_of(outcome->run_id))->empty());
  EXPECT_EQ(finished("nest/first")->state, StepState::kSkipped);
}

TEST_F(NestedRun, ARunnerThatIsKilledLeavesItToResumeOrCancel) {
  write("inner/pipeline.yaml", "steps: {wait: {command: 'echo x > ../started; sleep 60'}}\n");
  const std::string text = "steps: {nest: {pipeline: inner}}\n";
  const pipeline::Plan made = plan(text);
  store_.reset();
  pid_t child = run_in_child([&] {
    open_store();
    return run(made) ? 0 : 1;
  });
  ASSERT_TRUE(eventually([&] { return text_of("started") == "x\n"; }));
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  open_store();
  ASSERT_TRUE(end_orphaned_runs(*store_, dir_.path() / "state"));
  auto found = store_->search_runs({.experiment_ids = {store_->experiment_by_name(made.experiment)->id},
                                    .filter = "tags.`tidemill.pipeline` LIKE '%'",
                                    .order_by = {},
                                    .page_token = {}});
  ASSERT_TRUE(found && found->items.size() == 1u);
  const std::string whole = found->items[0].info.id;
  EXPECT_EQ(nest_of(whole).info.status, RunStatus::kRunning) << "something within it runs";
  set_up_options();
  auto cancelled = cancel(*store_, whole, options_);
  ASSERT_TRUE(cancelled) << cancelled.error().message;
  EXPECT_THAT(*cancelled, HasSubstr("stopped nest/wait"));
  EXPECT_EQ(nest_of(whole).info.status, RunStatus::kKilled);
}

}  // namespace
}  // namespace tidemill::engine
