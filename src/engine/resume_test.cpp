#include <signal.h>
#include <sys/wait.h>

#include <cstdlib>

#include "base/text.h"
#include "base/time.h"
#include "engine/checkpoint_folders.h"
#include "engine/earlier.h"
#include "engine/engine_fixture.h"
#include "engine/provenance.h"
#include "engine/record.h"
#include "pipeline/selection.h"
#include "sys/minded_process.h"
#include "sys/signals.h"

namespace tidemill::engine {
namespace {

using testing::HasSubstr;
using testing::StartsWith;
using tracking::RunStatus;

// Steps append a line to `ran`, beside their projects, whenever they run.
class Resume : public EngineTest {
 protected:
  void add_counted(const std::string& name, const std::string& rest, const std::string& parameters = "{}") {
    add_step(name, fmt::format("echo {} >> ../ran; {}", name, rest), parameters);
  }
  int times(const std::string& name) {
    std::vector<std::string> lines = split(text_of("ran"), '\n');
    return static_cast<int>(std::count(lines.begin(), lines.end(), name));
  }
  // Runs the pipeline in a process that is killed as soon as the file is there.
  void run_and_kill(const std::string& yaml, const fs::path& when) {
    pid_t runner = run_in_child([&] {
      open_store();
      return run(yaml) ? 0 : 1;
    });
    ASSERT_TRUE(eventually([&] { return fs::exists(dir_.path() / when); }));
    kill(runner, SIGKILL);
    waitpid(runner, nullptr, 0);
    open_store();
  }
  std::string pipeline_run() {
    auto runs = store_->search_runs({.experiment_ids = {"0", "1"}});
    for (const auto& run : runs->items)
      if (run.tag("mlflow.parentRunId").empty()) return run.info.id;
    return "";
  }
  tracking::StepRecord record(const std::string& step) {
    auto records = store_->step_records(pipeline_run());
    for (const auto& record : *records)
      if (record.step == step) return record;
    return {};
  }
  bool lives(const std::string& step) {
    return is_minded(process_record(attempts_folder(dir_.path() / "state"), record(step).step_run));
  }
  // Why its latest attempt was begun.
  std::string last_started(const std::string& step) const {
    std::string reason;
    for (const auto& event : events_)
      if (const auto* start = std::get_if<StepStarted>(&event); start != nullptr && start->step == step)
        reason = start->reason;
    return reason;
  }
  const StepFinished& end_of(const std::string& step) const { return *finished(step); }
  std::string waited_for(const std::string& step) const {
    for (const auto& event : events_)
      if (const auto* waits = std::get_if<StepWaits>(&event); waits != nullptr && waits->step == step)
        return waits->reason;
    return "";
  }
};

constexpr const char* kTwo = "name: p\nsteps:\n  a: {project: a}\n  b: {project: b, needs: [a]}\n";

TEST_F(Resume, AFailedRunGoesOnWithWhatIsDoneAndTriesTheRestAgain) {
  add_counted("a", "echo 1 > $TIDEMILL_OUTPUT_DIR/out");
  add_counted("b", "[ -e ../mended ]");
  std::string id = run(kTwo)->run_id, a = record("a").step_run;
  EXPECT_EQ(status_of(id), RunStatus::kFailed);
  write("mended", "");
  auto outcome = go_on(id, kTwo);
  ASSERT_TRUE(outcome) << outcome.error().message;
  EXPECT_EQ(outcome->run_id, id);
  EXPECT_EQ(outcome->status, RunStatus::kFinished);
  EXPECT_EQ(times("a"), 1);
  EXPECT_EQ(times("b"), 2);
  EXPECT_EQ(end_of("a").run_id, a);
  EXPECT_THAT(end_of("a").reason, HasSubstr("done before the run was resumed"));
  EXPECT_EQ(started("b"), "attempt 2: exit status 1");
  EXPECT_EQ(status_of(id), RunStatus::kFinished);
  EXPECT_EQ(record("a").step_run, a);
  EXPECT_EQ(record("a").state, "finished");
  EXPECT_EQ(record("b").attempt, 2);
  EXPECT_EQ(go_on(id, kTwo).error().code, Code::kConflict);
}

TEST_F(Resume, TheRunTellsWhatItWasGivenInstead) {
  const std::string yaml =
      "name: p\nparams: {ok: no, n: 1}\nsteps:\n  a: {command: \"[ {ok} = yes ]\", "
      "params: {ok: \"${params.ok}\"}}\n";
  std::string id = run(yaml)->run_id;
  EXPECT_EQ(status_of(id), RunStatus::kFailed);
  auto plan_yaml = yaml;
  plan_yaml.replace(plan_yaml.find("ok: no"), 6, "ok: yes");
  EXPECT_EQ(go_on(id, plan_yaml)->status, RunStatus::kFinished);
  auto run = store_->run(id).value();
  EXPECT_EQ(run.param("ok"), "no");  // parameters never change
  EXPECT_EQ(run.tag("tidemill.param.ok"), "yes");
  EXPECT_EQ(run.tag("tidemill.param.n"), "");
  EXPECT_THAT(params_now(run),
              testing::UnorderedElementsAre(testing::Pair("ok", "yes"), testing::Pair("n", "1")));
}

TEST_F(Resume, AFinishedStepWhoseCodeHasChangedRunsAgainAndSaysSo) {
  add_counted("a", "true");
  add_counted("b", "[ -e ../mended ]");
  write("a/data.txt", "1");
  std::string id = run(kTwo)->run_id;
  write("mended", "");
  write("a/data.txt", "2");
  EXPECT_EQ(go_on(id, kTwo)->status, RunStatus::kFinished);
  EXPECT_EQ(times("a"), 2);
  EXPECT_THAT(started("a"), HasSubstr("data.txt"));
  EXPECT_EQ(record("a").attempt, 2);
}

TEST_F(Resume, ADoneStepRunsAgainWhenItsOutputsAreNotWhatTheyWere) {
  add_counted("a", "echo 1 > $TIDEMILL_OUTPUT_DIR/out");
  add_counted("b", "[ -e ../mended ]");
  std::string id = run(kTwo)->run_id;
  write("mended", "");
  fs::path folder = store_->run(record("a").step_run)->info.artifact_uri;
  ASSERT_TRUE(write_file_atomic(folder / "out", "damaged", Durable::no));
  EXPECT_EQ(go_on(id, kTwo)->status, RunStatus::kFinished);
  EXPECT_EQ(times("a"), 2);
  EXPECT_THAT(started("a"), HasSubstr("changed or damaged"));
}

TEST_F(Resume, AStepThatIsNeverReusedElsewhereIsKeptWithinItsRun) {
  add_counted("a", "true");
  add_counted("b", "[ -e ../mended ]");
  const std::string yaml =
      "name: p\nsteps:\n  a: {project: a, cache: false}\n  b: {project: b, needs: [a]}\n";
  std::string id = run(yaml)->run_id;
  write("mended", "");
  EXPECT_EQ(go_on(id, yaml)->status, RunStatus::kFinished);
  EXPECT_EQ(times("a"), 1);
}

TEST_F(Resume, AStepThatOutlivesItsRunnerIsTakenOverAndNotStartedTwice) {
  add_counted("a", "touch ../up; until [ -e ../go ]; do sleep 0.01; done; echo 1 > $TIDEMILL_OUTPUT_DIR/out");
  add_counted("b", "true");
  run_and_kill(kTwo, "up");
  ASSERT_TRUE(lives("a"));
  // A command that opens the store ends what nobody runs; here something still runs.
  EXPECT_TRUE(end_orphaned_runs(*store_, dir_.path() / "state")->empty());
  std::string id = pipeline_run();
  EXPECT_EQ(status_of(id), RunStatus::kRunning);
  EXPECT_EQ(status_of(record("a").step_run), RunStatus::kRunning);

  pid_t helper = run_in_child([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    write("go", "");
    return 0;
  });
  auto outcome = go_on(id, kTwo);
  waitpid(helper, nullptr, 0);
  ASSERT_TRUE(outcome) << outcome.error().message;
  EXPECT_EQ(outcome->status, RunStatus::kFinished);
  EXPECT_EQ(times("a"), 1);
  EXPECT_EQ(times("b"), 1);
  EXPECT_THAT(started("a"), "it was running still");
  EXPECT_EQ(end_of("a").artifact_count, 1u);
  EXPECT_EQ(status_of(record("a").step_run), RunStatus::kFinished);
  EXPECT_EQ(store_->run(id)->tag("tidemill.failure"), "");
  EXPECT_TRUE(fs::is_empty(attempts_folder(dir_.path() / "state")));
  EXPECT_EQ(run(kTwo)->steps[0].state, StepState::kReused);
}

TEST_F(Resume, WhatEndedWhileNobodyWasThereCounts) {
  add_counted("a", "touch ../up; until [ -e ../go ]; do sleep 0.01; done; echo 1 > $TIDEMILL_OUTPUT_DIR/out");
  add_counted("b", "true");
  run_and_kill(kTwo, "up");
  write("go", "");
  ASSERT_TRUE(eventually([&] { return !lives("a"); }));
  const int64_t ended = now_ms();
  EXPECT_EQ(end_orphaned_runs(*store_, dir_.path() / "state")->size(), 2u);
  EXPECT_EQ(status_of(record("a").step_run), RunStatus::kFailed);
  const std::string id = pipeline_run();
  EXPECT_EQ(status_of(id), RunStatus::kFailed);
  EXPECT_THAT(std::string(store_->run(id)->tag("tidemill.failure")),
              HasSubstr("`tidemill resume " + id + "`"));
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_EQ(go_on(pipeline_run(), kTwo)->status, RunStatus::kFinished);
  EXPECT_LE(store_->run(record("a").step_run)->info.end_time, ended);
  EXPECT_EQ(record("a").reason, "for the first time");
  EXPECT_EQ(times("a"), 1);
  EXPECT_EQ(times("b"), 1);
  EXPECT_EQ(status_of(record("a").step_run), RunStatus::kFinished);
  EXPECT_FALSE(store_->run(record("a").step_run)->metrics.empty());
}

TEST_F(Resume, AnotherRunTakesWhatEndedWhileNobodyWasThere) {
  add_counted("a", "touch ../up; until [ -e ../go ]; do sleep 0.01; done; echo 1 > $TIDEMILL_OUTPUT_DIR/out");
  add_counted("b", "true");
  run_and_kill(kTwo, "up");
  const std::string first = pipeline_run(), a = record("a").step_run;
  pid_t helper = run_in_child([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    write("go", "");
    return 0;
  });
  auto outcome = run(kTwo);  // waits for it
  waitpid(helper, nullptr, 0);
  EXPECT_EQ(waited_for("a"),
            "waits for the same result, which another run or step makes just now; its run has "
            "no runner any more: tidemill resume " +
                first);
  ASSERT_TRUE(outcome) << outcome.error().message;
  EXPECT_EQ(outcome->status, RunStatus::kFinished);
  EXPECT_EQ(times("a"), 1);
  EXPECT_EQ(end_of("a").state, StepState::kReused);
  EXPECT_EQ(end_of("a").reused_run, a);
  EXPECT_EQ(status_of(a), RunStatus::kFinished);
  EXPECT_EQ(store_->artifacts(a)->size(), 1u);
  EXPECT_TRUE(fs::is_empty(attempts_folder(dir_.path() / "state")));
  ASSERT_TRUE(go_on(first, kTwo));  // the killed run goes on from there
  EXPECT_EQ(times("a"), 1);
  EXPECT_EQ(status_of(first), RunStatus::kFinished);
}

TEST_F(Resume, AnotherRunTakesItAlsoOnceTheKilledOneIsMarkedAsFailed) {
  add_counted("a", "touch ../up; until [ -e ../go ]; do sleep 0.01; done; echo 1 > $TIDEMILL_OUTPUT_DIR/out");
  add_counted("b", "true");
  run_and_kill(kTwo, "up");
  write("go", "");
  ASSERT_TRUE(eventually([&] { return !lives("a"); }));
  EXPECT_EQ(end_orphaned_runs(*store_, dir_.path() / "state")->size(), 2u);
  EXPECT_EQ(run(kTwo)->status, RunStatus::kFinished);
  EXPECT_EQ(times("a"), 1);
}

TEST_F(Resume, AnotherRunLeavesAFailureToTheRunThatItBelongsTo) {
  add_counted("a", "touch ../up; until [ -e ../go ]; do sleep 0.01; done; [ -e ../mended ]");
  add_counted("b", "true");
  run_and_kill(kTwo, "up");
  const std::string a = record("a").step_run;
  write("go", "");
  ASSERT_TRUE(eventually([&] { return !lives("a"); }));
  write("mended", "");
  EXPECT_EQ(run(kTwo)->status, RunStatus::kFinished);
  EXPECT_EQ(times("a"), 2);
  EXPECT_TRUE(read_end(process_record(attempts_folder(dir_.path() / "state"), a)));
}

TEST_F(Resume, AnotherRunDoesNotTakeWhatLeftTooLittle) {
  add_counted("a",
              "touch ../up; until [ -e ../go ]; do sleep 0.01; done; "
              "[ ! -e ../mended ] || echo 1 > $TIDEMILL_OUTPUT_DIR/out");
  const std::string yaml = "name: p\nsteps:\n  a: {project: a, outputs: {o: out}}\n";
  run_and_kill(yaml, "up");
  const std::string a = record("a").step_run;
  write("go", "");
  ASSERT_TRUE(eventually([&] { return !lives("a"); }));
  write("mended", "");
  EXPECT_EQ(run(yaml)->status, RunStatus::kFinished);
  EXPECT_EQ(times("a"), 2);
  EXPECT_EQ(status_of(a), RunStatus::kFailed);
}

TEST_F(Resume, AFailureWhileNobodyWasThereIsTriedAgainAsTheStepAsks) {
  add_counted("a", "touch ../up; until [ -e ../go ]; do sleep 0.01; done; [ -e ../mended ]");
  add_counted("b", "true");
  const std::string yaml =
      "name: p\nsteps:\n  a: {project: a, retry: {times: 1, delay: 0}}\n  b: {project: b, needs: [a]}\n";
  run_and_kill(yaml, "up");
  write("go", "");
  ASSERT_TRUE(eventually([&] { return !lives("a"); }));
  write("mended", "");
  EXPECT_EQ(go_on(pipeline_run(), yaml)->status, RunStatus::kFinished);
  EXPECT_EQ(times("a"), 2);
  EXPECT_EQ(last_started("a"), "attempt 2: exit status 1");
}

TEST_F(Resume, AProcessThatDoesWhatIsNoLongerWantedIsStoppedFirst) {
  add_counted("a", "echo $$ > ../pid; if [ -e ../new ]; then exit 0; fi; sleep 1000");
  add_counted("b", "true");
  write("a/data.txt", "1");
  run_and_kill(kTwo, "pid");
  pid_t old = std::atoi(text_of("pid").c_str());
  write("a/data.txt", "2");
  write("new", "");
  EXPECT_EQ(go_on(pipeline_run(), kTwo)->status, RunStatus::kFinished);
  EXPECT_FALSE(is_running(old));
  EXPECT_EQ(times("a"), 2);
  EXPECT_THAT(started("a"), StartsWith("attempt 2: it was stopped, as it did what is no longer wanted"));
}

TEST_F(Resume, AProcessThatWentDownWithTheMachineIsStartedAgain) {
  add_counted("a", "echo $$ > ../pid; if [ -e ../again ]; then exit 0; fi; sleep 1000");
  add_counted("b", "true");
  const std::string yaml =
      "name: p\nsteps:\n  a: {project: a, retry: {infrastructure: 1, delay: 0}}\n  b: {project: b, needs: "
      "[a]}\n";
  run_and_kill(yaml, "pid");
  fs::path minder = process_record(attempts_folder(dir_.path() / "state"), record("a").step_run);
  kill(std::atoi(read_file(minder)->c_str() + std::string("running ").size()), SIGKILL);
  ASSERT_TRUE(eventually([&] { return !lives("a"); }));
  write("again", "");
  EXPECT_EQ(go_on(pipeline_run(), yaml)->status, RunStatus::kFinished);
  EXPECT_EQ(times("a"), 2);
  EXPECT_THAT(last_started("a"), HasSubstr("its process was lost"));
}

TEST_F(Resume, CtrlCEndsWhatWasTakenOverToo) {
  add_counted("a", "sleep 1000 & echo $! > ../pid; wait");
  add_counted("b", "true");
  run_and_kill(kTwo, "pid");
  std::string id = pipeline_run();
  pid_t runner = run_in_child([&] {
    catch_interrupts();
    open_store();
    auto outcome = go_on(id, kTwo);
    return outcome && outcome->status == RunStatus::kKilled ? 130 : 1;
  });
  ASSERT_TRUE(eventually([&] {
    return store_->run(record("a").step_run)->tag(kRunnerTag) != this_runner() &&
           status_of(id) == RunStatus::kRunning &&
           runner_is_alive(store_->run(record("a").step_run)->tag(kRunnerTag));
  }));
  EXPECT_EQ(go_on(id, kTwo).error().code, Code::kConflict);
  kill(runner, SIGINT);
  int status = 0;
  waitpid(runner, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 130);
  EXPECT_FALSE(is_running(std::atoi(text_of("pid").c_str())));
  EXPECT_EQ(status_of(record("a").step_run), RunStatus::kKilled);
}

TEST_F(Resume, AStepFindsItsCheckpointsUntilItIsDone) {
  add_counted("a",
              "cat $TIDEMILL_CHECKPOINT_DIR/seen; echo $MLFLOW_RUN_ID >> $TIDEMILL_CHECKPOINT_DIR/seen; "
              "cp $TIDEMILL_CHECKPOINT_DIR/seen ../seen; [ -e ../mended ]");
  add_counted("b", "[ ! -e $TIDEMILL_CHECKPOINT_DIR/seen ]");
  const std::string yaml =
      "name: p\nsteps:\n  a: {project: a, retry: {times: 1, delay: 0}}\n  b: {project: b, needs: [a]}\n";
  std::string id = run(yaml)->run_id;
  write("mended", "");
  EXPECT_EQ(go_on(id, yaml)->status, RunStatus::kFinished);
  EXPECT_EQ(split(text_of("seen"), '\n').size() - 1, 3u);
  EXPECT_FALSE(fs::exists(checkpoints_folder(dir_.path() / "state", id)));
}

TEST_F(Resume, ARunThatWasInterruptedGoesOn) {
  add_counted("a", "true");
  add_counted("b", "touch ../up; [ -e ../mended ] || sleep 1000");
  pid_t runner = run_in_child([&] {
    catch_interrupts();
    open_store();
    return run(kTwo) ? 0 : 1;
  });
  ASSERT_TRUE(eventually([&] { return fs::exists(dir_.path() / "up"); }));
  kill(runner, SIGTERM);
  waitpid(runner, nullptr, 0);
  open_store();
  EXPECT_EQ(status_of(pipeline_run()), RunStatus::kKilled);
  write("mended", "");
  EXPECT_EQ(go_on(pipeline_run(), kTwo)->status, RunStatus::kFinished);
  EXPECT_EQ(times("a"), 1);
  EXPECT_EQ(started("b"), "attempt 2: interrupted");
}

TEST_F(Resume, WhatAStepHoldsOfTheMachineIsHeldUntilItsProcessEnds) {
  options_.machine = Machine{.cpus = 4, .memory = 1 << 30, .gpus = {}};
  options_.machine_file = dir_.path() / "machine";
  add_counted("a", "touch ../up; until [ -e ../go ]; do sleep 0.01; done");
  add_counted("b", "true");
  const std::string yaml =
      "name: p\nsteps:\n  a: {project: a, resources: {cpus: 3, locks: [x]}}\n  b: {project: b, needs: [a]}\n";
  run_and_kill(yaml, "up");
  auto share = MachineShare::open(*options_.machine, options_.machine_file).value();
  EXPECT_FALSE(share.try_take({.cpus = 2}));
  EXPECT_FALSE(share.try_take({.locks = {"x"}}));
  EXPECT_TRUE(share.try_take({.cpus = 1}));
  write("go", "");
  EXPECT_EQ(go_on(pipeline_run(), yaml)->status, RunStatus::kFinished);
  EXPECT_EQ(times("a"), 1);
  EXPECT_TRUE(share.try_take({.cpus = 4, .locks = {"x"}}));
}

TEST_F(Resume, SecretsAreMaskedInTheLogOfAStepThatOutlivesItsRunner) {
  setenv("TIDEMILL_TEST_SECRET", "hunter22", 1);
  add_counted("a",
              "echo it is $TOKEN; touch ../up; until [ -e ../go ]; do sleep 0.01; done; echo still $TOKEN");
  add_counted("b", "true");
  const std::string yaml =
      "name: p\nsecrets: {TOKEN: {env: TIDEMILL_TEST_SECRET}}\nsteps:\n  a: {project: a, secrets: [TOKEN]}\n"
      "  b: {project: b, needs: [a]}\n";
  run_and_kill(yaml, "up");
  write("go", "");
  EXPECT_EQ(go_on(pipeline_run(), yaml)->status, RunStatus::kFinished);
  EXPECT_EQ(times("a"), 1);
  EXPECT_EQ(read_file(end_of("a").log).value(), "it is ***\nstill ***\n");
  unsetenv("TIDEMILL_TEST_SECRET");
}

// a -> b -> c; b fails until it is mended, c counts alone.
class Continued : public Resume {
 protected:
  static constexpr const char* kThree =
      "name: p\nsteps:\n  a: {project: a}\n  b: {project: b, needs: [a]}\n  c: {project: c, needs: [b]}\n";
  void SetUp() override {
    Resume::SetUp();
    add_counted("a", "echo 1 > $TIDEMILL_OUTPUT_DIR/out");
    add_counted(
        "b", "ls $TIDEMILL_CHECKPOINT_DIR > ../found; touch $TIDEMILL_CHECKPOINT_DIR/half; [ -e ../mended ]");
    add_counted("c", "[ -e ../mended ]");
  }
  Result<Outcome> go_on_with(const std::string& id, const pipeline::Continuation& wanted) {
    auto continued = TRY(pipeline::continue_with(plan(kThree), wanted));
    for (const auto& step : continued.again) options_.cache.forced[step] = "asked for";
    options_.resume = {.again = continued.again,
                       .stand = continued.stand,
                       .left = continued.left,
                       .is_whole = wanted.only.empty()};
    return go_on(id, kThree);
  }
};

TEST_F(Continued, FromAStepItRunsAnewWithoutItsCheckpointsWhichARetryKeeps) {
  const std::string id = run(kThree)->run_id;
  EXPECT_EQ(go_on(id, kThree)->status, RunStatus::kFailed);
  EXPECT_EQ(text_of("found"), "half\n") << "what is tried again goes on from where it was";
  ASSERT_TRUE(go_on_with(id, {.from = "b", .only = "", .skip = {}}));
  EXPECT_EQ(text_of("found"), "");
  EXPECT_EQ(started("b"), "asked for");
  EXPECT_EQ(record("b").attempt, 3);
  write("mended", "");
  EXPECT_EQ(go_on_with(id, {.from = "a", .only = "", .skip = {}})->status, RunStatus::kFinished);
  EXPECT_EQ(times("a"), 2) << "also when it was done";
  EXPECT_EQ(times("c"), 1);
}

TEST_F(Continued, TheRetriesOfAStepThatRunsAnewKeepItsCheckpoints) {
  const std::string id = run(kThree)->run_id;
  add_counted("b",
              "ls $TIDEMILL_CHECKPOINT_DIR >> ../seen; echo - >> ../seen; touch "
              "$TIDEMILL_CHECKPOINT_DIR/next; false");
  auto yaml = std::string(kThree);
  yaml.replace(yaml.find("project: b"), 10, "project: b, retry: {times: 1, delay: 0}");
  options_.resume.again = {"b"};
  ASSERT_TRUE(go_on(id, yaml));
  EXPECT_EQ(text_of("seen"), "-\nnext\n-\n");
}

TEST_F(Continued, OnlyOneStepRunsAndTheRunMayGoOn) {
  const std::string id = run(kThree)->run_id;
  EXPECT_THAT(go_on_with(id, {.from = "", .only = "c", .skip = {}}).error().message,
              HasSubstr("step 'b' cannot be left out: others need what it makes"));
  EXPECT_EQ(status_of(id), RunStatus::kFailed);
  write("mended", "");
  auto only = go_on_with(id, {.from = "", .only = "b", .skip = {}});
  ASSERT_TRUE(only) << only.error().message;
  EXPECT_EQ(only->status, RunStatus::kFinished);
  EXPECT_FALSE(only->is_whole);
  EXPECT_NE(status_of(id), RunStatus::kFinished);
  EXPECT_EQ(times("a"), 1);
  EXPECT_EQ(times("b"), 2);
  EXPECT_EQ(times("c"), 0);
  EXPECT_EQ(end_of("c").reason, "it is left out");
  options_.resume = {};
  options_.cache = {};
  EXPECT_EQ(go_on(id, kThree)->status, RunStatus::kFinished);
  EXPECT_EQ(times("b"), 2);
  EXPECT_EQ(times("c"), 1);
}

TEST_F(Continued, TheLastThatIsLeftEndsTheRun) {
  write("mended", "");
  add_counted("c", "[ -e ../really ]");
  const std::string id = run(kThree)->run_id;
  write("really", "");
  auto only = go_on_with(id, {.from = "", .only = "c", .skip = {}});
  EXPECT_TRUE(only->is_whole);
  EXPECT_EQ(status_of(id), RunStatus::kFinished);
}

TEST_F(Continued, AStepThatIsSkippedStandsByItsLatestResult) {
  write("mended", "");
  ASSERT_EQ(run(kThree)->status, RunStatus::kFinished);
  const std::string made = record("b").step_run;
  fs::remove(dir_.path() / "mended");
  write("b/code", "other");
  const std::string id = run(kThree)->run_id;
  EXPECT_EQ(status_of(id), RunStatus::kFailed);
  write("mended", "");
  auto outcome = go_on_with(id, {.from = "", .only = "", .skip = {"b"}});
  ASSERT_TRUE(outcome) << outcome.error().message;
  EXPECT_EQ(outcome->status, RunStatus::kFinished);
  EXPECT_EQ(end_of("b").reason, "it is left out: the result of run " + made.substr(0, 8) + " stands");
}

TEST_F(Continued, WhatNobodyNeedsMayBeSkippedWithoutAResult) {
  const std::string id = run(kThree)->run_id;
  write("mended", "");
  EXPECT_EQ(go_on_with(id, {.from = "", .only = "", .skip = {"c"}})->status, RunStatus::kFinished);
  EXPECT_EQ(times("c"), 0);
  EXPECT_EQ(end_of("c").state, StepState::kSkipped);
}

TEST_F(Continued, AFailureThatIsSkippedIsNoneAnyMore) {
  write("mended", "");
  add_counted("c", "false");
  const std::string id = run(kThree)->run_id;
  EXPECT_EQ(record("c").state, "failed");
  EXPECT_EQ(go_on_with(id, {.from = "", .only = "", .skip = {"c"}})->status, RunStatus::kFinished);
  EXPECT_EQ(record("c").state, "skipped");
}

TEST_F(Continued, AsRecordedWhatIsDoneStandsWhateverHasChanged) {
  const std::string id = run(kThree)->run_id;
  write("mended", "");
  write("a/code", "other");
  options_.resume.done = ResumePolicy::Recorded::kAnyway;
  EXPECT_EQ(go_on(id, kThree)->status, RunStatus::kFinished);
  EXPECT_EQ(times("a"), 1);
  EXPECT_EQ(end_of("a").reason, "it was done before the run was resumed, and stands as it was recorded");
}

TEST_F(Continued, AProcessThatStillRunsMakesWayForTheOneThatRunsAnew) {
  add_counted("b", "echo $$ >> ../pids; [ -e ../mended ] || sleep 1000");
  run_and_kill(kThree, "pids");
  const pid_t before = std::atoi(text_of("pids").c_str());
  write("mended", "");
  EXPECT_EQ(go_on_with(pipeline_run(), {.from = "b", .only = "", .skip = {}})->status, RunStatus::kFinished);
  EXPECT_FALSE(is_running(before));
  EXPECT_EQ(times("b"), 2);
}

TEST_F(Resume, WhatARunDoesAtItsEndIsDoneAtEachOfItsEnds) {
  add_counted("a", "[ -e ../mended ]");
  add_counted("b", "true");
  add_counted("tidy", "true");
  add_counted("moan", "true");
  const std::string yaml =
      std::string(kTwo) + "on_failure: {moan: {project: moan}}\nfinally: {tidy: {project: tidy}}\n";
  std::string id = run(yaml)->run_id;
  EXPECT_EQ(status_of(id), RunStatus::kFailed);
  write("mended", "");
  EXPECT_EQ(go_on(id, yaml)->status, RunStatus::kFinished);
  EXPECT_EQ(times("tidy"), 2);
  EXPECT_EQ(times("moan"), 1);
  EXPECT_EQ(record("moan").state, "skipped");
  EXPECT_EQ(record("tidy").attempt, 2);
}

TEST_F(Resume, WhatWasDoneAtAnEndThatNeverCameIsNotDoneTwice) {
  add_counted("a", "true");
  add_counted("b", "true");
  add_counted("tidy", "true");
  add_counted("last", "touch ../up; until [ -e ../go ]; do sleep 0.01; done");
  const std::string yaml =
      std::string(kTwo) + "finally:\n  tidy: {project: tidy}\n  last: {project: last, needs: [tidy]}\n";
  run_and_kill(yaml, "up");
  write("go", "");
  EXPECT_EQ(go_on(pipeline_run(), yaml)->status, RunStatus::kFinished);
  EXPECT_EQ(times("tidy"), 1);
  EXPECT_EQ(times("last"), 1);
}

TEST_F(Resume, AProcessWhoseConditionDoesNotHoldAnyMoreIsStopped) {
  add_counted("a", "echo $$ > ../pid; sleep 1000");
  add_counted("b", "true");
  auto yaml = [](int x) {
    return fmt::format(
        "name: p\nparams: {{x: {}}}\nsteps:\n  a: {{project: a, when: \"${{params.x}} == 1\"}}\n  b: "
        "{{project: b}}\n",
        x);
  };
  run_and_kill(yaml(1), "pid");
  pid_t process = std::atoi(text_of("pid").c_str());
  EXPECT_EQ(go_on(pipeline_run(), yaml(2))->status, RunStatus::kFinished);
  EXPECT_FALSE(is_running(process));
  EXPECT_EQ(record("a").state, "skipped");
  EXPECT_EQ(end_of("a").state, StepState::kSkipped);
}

TEST_F(Resume, AProjectsProcessEndsWithItsRunner) {
  add_step("a", "sleep 1000 & echo $! > ../pid; wait");
  pid_t runner = run_in_child([&] {
    open_store();
    set_up_options();
    auto project = config::load_project(dir_.path() / "a").value();
    auto entry = config::entry_point(project, "main").value();
    return execute_project(pipeline::plan_of_project(project, entry, {}), *store_, options_,
                           [](const Event&) {})
               ? 0
               : 1;
  });
  ASSERT_TRUE(eventually([&] { return text_of("pid").ends_with("\n"); }));
  kill(runner, SIGKILL);
  waitpid(runner, nullptr, 0);
  EXPECT_TRUE(eventually([&] { return !is_running(std::atoi(text_of("pid").c_str())); }));
}

}  // namespace
}  // namespace tidemill::engine
