// Which steps run again after a change, and what is said about it.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <fstream>
#include <set>

#include "base/time.h"
#include "engine/engine_fixture.h"

namespace tidemill::engine {
namespace {

using testing::HasSubstr;
using tracking::RunStatus;

// prepare -> train(rate) -> report; each counts how often it has run, outside of its project.
class Cache : public EngineTest {
 protected:
  void SetUp() override {
    EngineTest::SetUp();
    add_step("prepare", "echo run >> ../count.prepare; sort {source} > $TIDEMILL_OUTPUT_DIR/data.txt",
             "{source: path}");
    add_step("train",
             "echo run >> ../count.train; cat {data} script > $TIDEMILL_OUTPUT_DIR/model; echo {rate} "
             ">> $TIDEMILL_OUTPUT_DIR/model",
             "{data: path, rate: float}");
    add_step("report", "echo run >> ../count.report; cat {model}/model > $TIDEMILL_OUTPUT_DIR/report",
             "{model: path}");
    write("train/script", "v1\n");
    write("raw", "b\na\n");
  }

  static constexpr const char* kSteps =
      "name: p\nparams: {rate: {type: float, default: 0.1}}\nsteps:\n"
      "  prepare: {project: prepare, params: {source: '${pipeline.folder}/raw'}}\n"
      "  train: {project: train, params: {data: '${steps.prepare.artifacts}/data.txt', rate: "
      "'${params.rate}'}}\n"
      "  report: {project: report, params: {model: '${steps.train.artifacts}'}}\n";

  // The names of the steps that ran, separated by spaces.
  std::string ran(const config::Arguments& params = {}, const std::string& yaml = kSteps) {
    auto outcome = run(plan(yaml, params));
    EXPECT_TRUE(outcome) << outcome.error().message;
    EXPECT_EQ(outcome->status, RunStatus::kFinished);
    last_ = *outcome;
    std::string names;
    for (const auto& step : outcome->steps)
      if (step.state == StepState::kFinished) names += (names.empty() ? "" : " ") + step.step;
    return names;
  }
  fs::path artifacts_of(const std::string& step) {
    for (const auto& outcome : last_.steps)
      if (outcome.step == step) return store_->run(outcome.run_id)->info.artifact_uri;
    return {};
  }
  Outcome last_;
};

TEST_F(Cache, NothingRunsTwiceAndTheReusedRunsPointAtWhatIsThere) {
  EXPECT_EQ(ran(), "prepare train report");
  fs::path made = artifacts_of("train");
  EXPECT_EQ(started("train"), "for the first time");
  EXPECT_EQ(ran(), "");
  EXPECT_EQ(finished("train")->state, StepState::kReused);
  EXPECT_THAT(finished("train")->reason, HasSubstr("nothing has changed since run "));
  EXPECT_EQ(artifacts_of("train"), made);
  tracking::Run reused = store_->run(last_.steps[1].run_id).value();
  EXPECT_EQ(reused.info.status, RunStatus::kFinished);
  EXPECT_EQ(reused.tag("mlflow.parentRunId"), last_.run_id);
  EXPECT_EQ(reused.param("rate"), "0.1");
  EXPECT_EQ(text_of("count.train"), "run\n");
}

TEST_F(Cache, AParameterRunsOnlyWhatUsesItAndIsToldWithBothValues) {
  ran();
  EXPECT_EQ(ran({{"rate", "0.2"}}), "train report");
  EXPECT_EQ(started("train"), "parameter rate: 0.1 -> 0.2");
  EXPECT_THAT(started("report"), HasSubstr("input model: "));
  EXPECT_EQ(ran({{"rate", "0.1"}}), "");
}

TEST_F(Cache, CodeOfAStepRunsItAgainAndAnUndeclaredFileDoesNot) {
  ran();
  write("train/script", "v2\n");
  write("unrelated", "x");
  EXPECT_EQ(ran(), "train report");
  EXPECT_THAT(started("train"), HasSubstr("code script: "));
}

TEST_F(Cache, OnlyDeclaredCodeCounts) {
  std::string yaml = std::string(kSteps) +
                     "  extra: {project: train, code: [script], params: {data: "
                     "'${pipeline.folder}/raw', rate: 1}}\n";
  ran({}, yaml);
  write("train/notes", "x");
  EXPECT_EQ(ran({}, yaml), "train");
  write("train/script", "v2\n");
  EXPECT_EQ(ran({}, yaml), "train report extra");
}

TEST_F(Cache, FilesThatACommandIsGivenByNameCountByTheirContent) {
  const std::string yaml =
      "name: c\nparams: {f: {type: path, default: raw}}\nsteps:\n"
      "  typed: {command: 'sort {r}', params: {r: '${params.f}'}}\n"
      "  plain: {command: 'sort {r}', params: {r: plain.csv}}\n"
      "  code: {command: 'python3 run.py'}\n";
  write("plain.csv", "1");
  write("run.py", "import helper\n");
  write("helper.py", "");
  ran({}, yaml);
  write("raw", "other");
  EXPECT_EQ(ran({}, yaml), "typed");
  write("plain.csv", "2");
  EXPECT_EQ(ran({}, yaml), "plain");
  write("helper.py", "x = 1\n");
  EXPECT_EQ(ran({}, yaml), "code");
  EXPECT_THAT(started("code"), HasSubstr("code helper.py: "));
  write("elsewhere", "other");
  EXPECT_EQ(ran({{"f", "elsewhere"}}, yaml), "") << "places do not count";
}

TEST_F(Cache, AValueOfAnotherTypeThanPathIsNoFile) {
  const std::string yaml =
      "name: c\nparams: {n: {type: int, default: 7}, s: {type: string, default: '7'}, t: '7'}\nsteps:\n"
      "  int: {command: 'echo {v}', params: {v: '${params.n}'}}\n"
      "  text: {command: 'echo it is {v}', params: {v: '${params.s}'}}\n"
      "  any: {command: 'echo any {v}', params: {v: '${params.t}'}}\n";
  write("7", "a file of this name");
  ran({}, yaml);
  write("7", "changed");
  EXPECT_EQ(ran({}, yaml), "any");
}

TEST_F(Cache, TheSameOutputAgainStopsTheChange) {
  ran();
  write("raw", "a\nb\n");  // sorted, it is the same
  EXPECT_EQ(ran(), "prepare");
}

TEST_F(Cache, AnotherTimeIsNoChange) {
  ran();
  timespec times[2] = {{5, 5}, {5, 5}};
  ASSERT_EQ(utimensat(AT_FDCWD, (dir_.path() / "raw").c_str(), times, 0), 0);
  ASSERT_EQ(utimensat(AT_FDCWD, (dir_.path() / "train/script").c_str(), times, 0), 0);
  EXPECT_EQ(ran(), "");
}

TEST_F(Cache, OtherBytesOfTheSameSizeAndTimeAreAChange) {
  ran();
  struct stat info{};
  ASSERT_EQ(stat((dir_.path() / "raw").c_str(), &info), 0);
  std::ofstream(dir_.path() / "raw") << "d\nc\n";
  timespec times[2] = {info.st_atim, info.st_mtim};
  ASSERT_EQ(utimensat(AT_FDCWD, (dir_.path() / "raw").c_str(), times, 0), 0);
  EXPECT_EQ(ran(), "prepare train report");
}

TEST_F(Cache, DeletedAndDamagedOutputsAreMadeAgain) {
  ran();
  fs::remove_all(artifacts_of("train"));
  EXPECT_EQ(ran(), "train");  // what it makes is the same: the report stays
  EXPECT_THAT(started("train"), HasSubstr("were deleted"));
  std::ofstream(artifacts_of("prepare") / "data.txt") << "other";
  EXPECT_EQ(ran(), "prepare");
  EXPECT_THAT(started("prepare"), HasSubstr("changed or damaged"));
}

TEST_F(Cache, ADeletedRunIsNotReused) {
  ran();
  ASSERT_TRUE(store_->delete_run(last_.steps[2].run_id));
  EXPECT_EQ(ran(), "report");
  EXPECT_THAT(started("report"), HasSubstr("has left no result"));
}

TEST_F(Cache, AnotherPipelineAndAnotherStepNameReuseTheSameResult) {
  ran();
  EXPECT_EQ(ran({},
                "name: other\nsteps:\n  sorted: {project: prepare, params: {source: "
                "'${pipeline.folder}/raw'}}\n"),
            "");
}

TEST_F(Cache, CanBeSwitchedOffInTheFileAndOnTheCommandLine) {
  std::string yaml = kSteps;
  yaml.replace(yaml.find("  train: {"), 10, "  train: {cache: false, ");
  ran({}, yaml);
  EXPECT_EQ(ran({}, yaml), "train");
  EXPECT_EQ(started("train"), "cache: false");
  options_.cache.forced = {{"report", "asked for"}};
  EXPECT_EQ(ran({}, kSteps), "train report");
  EXPECT_EQ(started("report"), "asked for");
  options_.cache = {.read = CachePolicy::Use::kNo, .write = CachePolicy::Use::kNo, .forced = {}};
  EXPECT_EQ(ran({{"rate", "0.7"}}), "prepare train report");
  options_.cache = {};
  EXPECT_EQ(ran({{"rate", "0.7"}}), "train report");
}

TEST_F(Cache, ReadingAndKeepingResultsAreSwitchedOffOneByOne) {
  using Use = CachePolicy::Use;
  options_.cache = {.read = Use::kYes, .write = Use::kNo, .forced = {}};
  EXPECT_EQ(ran(), "prepare train report");
  options_.cache = {.read = Use::kNo, .write = Use::kYes, .forced = {}};
  EXPECT_EQ(ran(), "prepare train report");
  options_.cache = {.read = Use::kYes, .write = Use::kNo, .forced = {}};
  EXPECT_EQ(ran(), "");
}

TEST_F(Cache, AResultThatIsTooOldIsNotUsedAgain) {
  std::string yaml = kSteps;
  yaml.replace(yaml.find("  train: {"), 10, "  train: {cache: {ttl: 7d}, ");
  constexpr int64_t kDay = 24 * 3600 * 1000;
  ran({}, yaml);
  const std::string made = last_.steps[1].run_id;
  auto set_age = [&](int64_t age) {
    ASSERT_TRUE(store_->update_run(
        {.run_id = made, .status = RunStatus::kFinished, .end_time = now_ms() - age, .name = {}}));
  };
  set_age(6 * kDay);
  EXPECT_EQ(ran({}, yaml), "") << "a result that was reused does not become younger by it";
  set_age(8 * kDay);
  EXPECT_EQ(foresee(plan(yaml), &*store_, options_).value()[1].reason, "its result is older than 7 days");
  EXPECT_EQ(ran({}, yaml), "train") << "what it makes is the same: the report stays";
  EXPECT_EQ(started("train"), "its result is older than 7 days");
  EXPECT_EQ(ran({}, yaml), "");
  EXPECT_FALSE(run_or_recognise(yaml).as_a_whole);
  EXPECT_FALSE(run_or_recognise(yaml).as_a_whole) << "the clock has a say";
}

class Frozen : public Cache {
 protected:
  static std::string frozen() {
    std::string yaml = kSteps;
    return yaml.replace(yaml.find("  train: {"), 10, "  train: {frozen: true, ");
  }
};

TEST_F(Frozen, AResultStandsWhateverHasChanged) {
  ran();
  const std::string made = last_.steps[1].run_id;
  write("train/script", "v2\n");
  write("raw", "c\n");
  options_.cache.forced = {{"train", "asked for"}};
  EXPECT_EQ(ran({{"rate", "0.5"}}, frozen()), "prepare");
  EXPECT_EQ(finished("train")->state, StepState::kReused);
  EXPECT_EQ(finished("train")->reason, "it is frozen: the result of run " + made.substr(0, 8) + " stands");
  EXPECT_EQ(finished("report")->state, StepState::kReused);
  options_.cache = {};
  write("raw", "d\n");
  auto foreseen = foresee(plan(frozen()), &*store_, options_).value();
  EXPECT_EQ(foreseen[0].what, Foreseen::What::kRun);
  EXPECT_EQ(foreseen[1].what, Foreseen::What::kReuse);
  EXPECT_EQ(foreseen[2].what, Foreseen::What::kReuse);
  write("raw", "c\n");
  EXPECT_EQ(ran({{"rate", "0.5"}}), "train report") << "thawed, it is what it is made of that counts again";
  EXPECT_THAT(started("train"), HasSubstr("parameter rate: 0.1 -> 0.5"));
}

TEST_F(Frozen, WithoutAResultNothingIsRecorded) {
  auto outcome = run(plan(frozen()));
  ASSERT_FALSE(outcome);
  EXPECT_THAT(outcome.error().message,
              HasSubstr("pipeline.yaml:5:19: step 'train' is frozen, and pipeline 'p' has "
                        "no result of it"));
  EXPECT_TRUE(store_->search_runs({.experiment_ids = {"1"}, .filter = "", .order_by = {}, .page_token = {}})
                  ->items.empty());
  ran({}, [] {
    std::string other = kSteps;
    return other.replace(6, 1, "q");
  }());
  EXPECT_FALSE(run(plan(frozen()))) << "a pipeline of another name is another one";
}

TEST_F(Frozen, AFailureAfterAResultHidesItNot) {
  ran();
  const std::string made = last_.steps[1].run_id;
  add_step("train", "exit 3", "{data: path, rate: float}");
  EXPECT_EQ(run(plan(kSteps))->status, RunStatus::kFailed);
  EXPECT_EQ(ran({}, frozen()), "");
  EXPECT_THAT(finished("train")->reason, HasSubstr(made.substr(0, 8)));
  fs::remove_all(artifacts_of("train"));
  EXPECT_FALSE(run(plan(frozen()))) << "files that are not there are no result";
}

TEST_F(Cache, AFailedStepLeavesNoResult) {
  add_step("prepare", "echo half > $TIDEMILL_OUTPUT_DIR/data.txt; exit 1", "{source: path}");
  EXPECT_EQ(run(plan(kSteps))->status, RunStatus::kFailed);
  EXPECT_EQ(run(plan(kSteps))->status, RunStatus::kFailed);
  EXPECT_THAT(started("prepare"), HasSubstr("has left no result"));
}

TEST_F(Cache, WhatAStepReadsFromItsEnvironmentCountsWhenDeclared) {
  add_step("env", "echo $SHADE > $TIDEMILL_OUTPUT_DIR/shade");
  std::string yaml = "name: e\nsteps:\n  env: {project: env, environment: {SHADE: }}\n";
  ASSERT_EQ(setenv("SHADE", "red", 1), 0);
  EXPECT_EQ(ran({}, yaml), "env");
  EXPECT_EQ(ran({}, yaml), "");
  ASSERT_EQ(setenv("SHADE", "blue", 1), 0);
  EXPECT_EQ(ran({}, yaml), "env");
  EXPECT_EQ(started("env"), "variable SHADE: red -> blue");
  EXPECT_EQ(ran({}, "name: e\nsteps:\n  env: {project: env, environment: {SHADE: green}}\n"), "env");
  EXPECT_EQ(read_file(artifacts_of("env") / "shade").value(), "green\n");
}

TEST_F(Cache, AStepThatRefersToTheParentRunIsNeverReused) {
  add_step("note", "true", "{run: string}");
  std::string yaml = "name: n\nsteps:\n  note: {project: note, params: {run: '${run.id}'}}\n";
  ran({}, yaml);
  EXPECT_EQ(ran({}, yaml), "note");
}

TEST_F(Cache, CodeThatChangesWhileItRunsLeavesNoResult) {
  add_step("self", "echo x >> notes");
  std::string yaml = "name: s\nsteps:\n  self: {project: self}\n";
  ran({}, yaml);
  EXPECT_EQ(ran({}, yaml), "self");
  EXPECT_THAT(started("self"), HasSubstr("code notes"));
}

TEST_F(Cache, EqualStepsOfOneRunAreRunOnce) {
  std::string yaml =
      "name: two\nmax_parallel: 2\nsteps:\n"
      "  a: {project: prepare, params: {source: '${pipeline.folder}/raw'}}\n"
      "  b: {project: prepare, params: {source: '${pipeline.folder}/raw'}}\n";
  EXPECT_EQ(ran({}, yaml), "a");
  EXPECT_EQ(text_of("count.prepare"), "run\n");
}

TEST_F(Cache, TwoRunsAtOnceDoTheWorkOnce) {
  add_step("slow", "echo run >> ../count.slow; sleep 0.3; echo done > $TIDEMILL_OUTPUT_DIR/x");
  pipeline::Plan slow = plan("name: s\nsteps:\n  slow: {project: slow}\n");
  options_.tracking_uri = "http://127.0.0.1:9";
  options_.state_dir = dir_.path() / "state";
  // Each with a store of its own, as two processes have.
  auto run_once = [&] {
    auto store = tracking::Store::open(
        {.uri = dir_.path() / "tidemill.db", .default_artifact_root = (dir_.path() / "artifacts").string()});
    return execute(slow, *store, options_, [](const Event&) {})->steps[0].state;
  };
  std::multiset<StepState> states;
  std::vector<pid_t> runners;
  for (int i = 0; i < 2; ++i) {
    runners.push_back(fork());
    if (runners.back() == 0) _exit(static_cast<int>(run_once()));
  }
  for (pid_t runner : runners) {
    int status = 0;
    waitpid(runner, &status, 0);
    states.insert(static_cast<StepState>(WEXITSTATUS(status)));
  }
  EXPECT_EQ(states, (std::multiset<StepState>{StepState::kFinished, StepState::kReused}));
  EXPECT_EQ(text_of("count.slow"), "run\n");
}

TEST_F(Cache, WhatWouldRunIsForeseen) {
  pipeline::Plan steps = plan(kSteps);
  options_.state_dir = dir_.path() / "state";
  EXPECT_EQ(foresee(steps, nullptr, options_).value()[0].reason, "for the first time");
  ran();
  auto foreseen = foresee(steps, &*store_, options_).value();
  EXPECT_EQ(foreseen.size(), steps.steps.size());
  for (const auto& step : foreseen) EXPECT_EQ(step.what, Foreseen::What::kReuse) << step.step;
  foreseen = foresee(plan(kSteps, {{"rate", "0.3"}}), &*store_, options_).value();
  EXPECT_EQ(foreseen[0].what, Foreseen::What::kReuse);
  EXPECT_EQ(foreseen[1].what, Foreseen::What::kRun);
  EXPECT_EQ(foreseen[1].reason, "parameter rate: 0.1 -> 0.3");
  EXPECT_EQ(foreseen[2].what, Foreseen::What::kDepends);
}

}  // namespace
}  // namespace tidemill::engine
