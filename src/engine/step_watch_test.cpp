#include "engine/step_watch.h"

#include <sys/wait.h>

#include <atomic>

#include "base/text.h"
#include "base/time.h"
#include "engine/earlier.h"
#include "engine/engine_fixture.h"

namespace tidemill::engine {
namespace {

using testing::ElementsAre;

tracking::Run run_with(std::vector<tracking::Metric> metrics, std::vector<tracking::KeyValue> params = {}) {
  tracking::Run run{.info = {}, .metrics = std::move(metrics), .params = std::move(params), .tags = {}};
  run.info.start_time = 1'000'000;
  return run;
}

TEST(ProgressOf, ARunIsItsMetricOfThisName) {
  auto state = progress_of(run_with({{"loss", 0.5, 1'004'000, 1}, {"progress", 0.25, 1'005'000, 1}}), {});
  ASSERT_TRUE(state);
  EXPECT_EQ(state->done, 250u);
  EXPECT_EQ(state->total, 1000u);
  EXPECT_EQ(state->unit, "");
  EXPECT_EQ(state->seconds, 5);
  EXPECT_EQ(state->note, "loss 0.5");
}

TEST(ProgressOf, ARunIsItsEpochOfSoMany) {
  auto run =
      run_with({{"epoch", 3, 1'005'000, 3}, {"accuracy", 0.7, 1'005'000, 3}, {"loss", 1, 1'005'000, 3}},
               {{"num_epochs", "10"}});
  auto state = progress_of(run, {"accuracy"});
  ASSERT_TRUE(state);
  EXPECT_EQ(state->done, 3u);
  EXPECT_EQ(state->total, 10u);
  EXPECT_EQ(state->unit, "epochs");
  EXPECT_EQ(state->note, "accuracy 0.7");
}

TEST(ProgressOf, ARunThatLogsNothingOfTheKindIsUnknown) {
  EXPECT_FALSE(progress_of(run_with({{"loss", 0.5, 1'005'000, 3}}), {}));
  EXPECT_FALSE(progress_of(run_with({{"epoch", 3, 1'005'000, 3}}), {}));
  EXPECT_FALSE(progress_of(run_with({{"epoch", 3, 1'005'000, 3}}, {{"epochs", "many"}}), {}));
  EXPECT_FALSE(progress_of(run_with({{"progress", 55, 1'005'000, 3}}), {}));
}

TEST(LastLines, AreThoseOfTheFilesEndAlone) {
  auto dir = TempDir::create().value();
  std::string text;
  for (int i = 0; i < 100'000; ++i) text += fmt::format("line {}\n", i);
  ASSERT_TRUE(write_file_atomic(dir.path() / "log", text, Durable::no));
  EXPECT_THAT(last_lines(dir.path() / "log", 2), ElementsAre("line 99998", "line 99999"));
  EXPECT_THAT(last_lines(dir.path() / "absent", 2), ElementsAre());
}

class StepWatchTest : public EngineTest {
 protected:
  std::atomic<bool> told_ = false;
};

TEST_F(StepWatchTest, SeesAnotherRunnersStep) {
  const std::string yaml = "name: p\nsteps:\n  busy: {command: 'while [ ! -e stop ]; do :; done'}\n";
  const pipeline::Plan busy = plan(yaml);
  set_up_options();
  store_.reset();
  pid_t runner = run_in_child([&] {
    open_store();
    return execute(busy, *store_, options_, [](const Event&) {}) ? 0 : 1;
  });
  open_store();
  StepWatch watch(attempts_folder(options_.state_dir));
  std::string step_run;
  ASSERT_TRUE(eventually([&] {
    auto runs = store_->search_runs({.experiment_ids = {"1"}, .filter = "tags.`tidemill.step` = 'busy'"});
    if (runs && !runs->items.empty()) step_run = runs->items[0].info.id;
    return !step_run.empty();
  }));
  std::optional<Load> load;
  ASSERT_TRUE(eventually([&] { return (load = watch.load(step_run)) && load->cpus > 0.05; }));
  EXPECT_GT(load->memory, 0u);
  write("stop", "");
  int status = 0;
  waitpid(runner, &status, 0);
  EXPECT_EQ(status, 0);
}

TEST_F(StepWatchTest, AStepThatLogsItsEpochsTellsOfItsProgress) {
  // The step's run is known by its variable; this test logs in its place.
  add_step("train",
           "echo $MLFLOW_RUN_ID > {out}.new; mv {out}.new {out}; while [ ! -e {stop} ]; do sleep 0.05; done",
           "{out: string, stop: string, epochs: int}");
  const fs::path out = dir_.path() / "id", stop = dir_.path() / "stop";
  std::thread logger([&] {
    if (!eventually([&] { return fs::exists(out); })) return;
    std::string id(trim(read_file(out).value_or("")));
    (void)store_->log_batch(id, {.metrics = {{"epoch", 2, now_ms(), 2}}, .params = {}, .tags = {}});
    (void)eventually([&] { return told_.load(); });
    write("stop", "");
  });
  const pipeline::Plan made = plan(
      fmt::format("name: p\nsteps:\n  train: {{project: train, params: {{out: {}, stop: {}, epochs: 8}}}}\n",
                  out.string(), stop.string()));
  set_up_options();
  std::optional<StepProgress> seen;
  auto outcome = execute(made, *store_, options_, [&](const Event& event) {
    if (const auto* progress = std::get_if<StepProgress>(&event)) seen = *progress;
    told_ = seen.has_value();
  });
  logger.join();
  ASSERT_TRUE(outcome);
  ASSERT_TRUE(seen);
  EXPECT_EQ(seen->done, 2u);
  EXPECT_EQ(seen->total, 8u);
}

}  // namespace
}  // namespace tidemill::engine
