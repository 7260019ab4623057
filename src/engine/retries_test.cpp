#include "engine/retries.h"

#include <csignal>

#include "base/text.h"
#include "engine/engine_fixture.h"
#include "engine/verdict.h"

namespace tidemill::engine {
namespace {

using config::Failure;
using config::FailureKind;
using config::RetryPolicy;
using testing::ElementsAre;
using testing::HasSubstr;
using tracking::RunStatus;

TEST(Backoff, DoublesUpToItsLimitAndWaitsARandomPartOfIt) {
  RetryPolicy policy{.times = 5, .delay = std::chrono::seconds(2), .max_delay = std::chrono::seconds(10)};
  FailureCount count;
  std::vector<int64_t> halves;
  while (auto delay = next_delay(policy, {}, count, 0.5)) halves.push_back(delay->count());
  EXPECT_THAT(halves, ElementsAre(1000, 2000, 4000, 5000, 5000));
  FailureCount other;
  EXPECT_EQ(next_delay(policy, {}, other, 0.0)->count(), 0);
  EXPECT_LT(next_delay(policy, {}, other, 0.999)->count(), 4000);
}

TEST(Backoff, TheInfrastructuresFailuresDoNotUseUpTheStepsOwnAttempts) {
  RetryPolicy policy{.times = 1, .infrastructure = 2};
  FailureCount count;
  EXPECT_TRUE(next_delay(policy, {FailureKind::kInfrastructure}, count, 0));
  EXPECT_TRUE(next_delay(policy, {FailureKind::kInfrastructure}, count, 0));
  EXPECT_TRUE(next_delay(policy, {FailureKind::kExit, 1}, count, 0));
  EXPECT_FALSE(next_delay(policy, {FailureKind::kExit, 1}, count, 0));
  EXPECT_FALSE(next_delay(policy, {FailureKind::kInfrastructure}, count, 0));
}

class Retrying : public EngineTest {
 protected:
  // Appends a line to `runs`, beside its project, whenever it starts.
  void add_flaky_step(const std::string& rest) { add_step("a", "echo $MLFLOW_RUN_ID >> ../runs; " + rest); }
  size_t times_run() { return split(text_of("runs"), '\n').size() - 1; }
  std::vector<AttemptFailed> failed_attempts() const {
    std::vector<AttemptFailed> all;
    for (const auto& event : events_)
      if (const auto* failed = std::get_if<AttemptFailed>(&event)) all.push_back(*failed);
    return all;
  }
  Result<Outcome> run_with(const std::string& settings) {
    return run(fmt::format("name: p\nsteps:\n  a: {{project: a, {}}}\n", settings));
  }
};

TEST_F(Retrying, AStepThatSucceedsAtLastKeepsTheRunAndTheLogOfEveryAttempt) {
  add_flaky_step(
      "n=$(wc -l < ../runs); echo attempt $n; echo $n > $TIDEMILL_OUTPUT_DIR/n; [ $n = 3 ] || exit $n");
  auto outcome = run_with("retry: {times: 3, delay: 0}");
  ASSERT_TRUE(outcome) << outcome.error().message;
  EXPECT_EQ(outcome->status, RunStatus::kFinished);
  EXPECT_EQ(outcome->steps[0].attempts, 3);
  EXPECT_EQ(times_run(), 3u);
  auto failed = failed_attempts();
  ASSERT_EQ(failed.size(), 2u);
  EXPECT_EQ(failed[0].kind, "exit");
  EXPECT_EQ(failed[1].reason, "exit status 2");
  EXPECT_THAT(failed[1].last_lines, ElementsAre("attempt 2"));
  EXPECT_EQ(failed[1].log.filename(), "a.2.log");
  EXPECT_EQ(read_file(failed[0].log).value(), "attempt 1\n");

  tracking::Run first = store_->run(failed[0].run_id).value();
  EXPECT_EQ(first.info.status, RunStatus::kFailed);
  EXPECT_EQ(first.tag("tidemill.failure"), "exit status 1");
  EXPECT_EQ(first.tag("tidemill.failure_kind"), "exit");
  tracking::Run last = store_->run(outcome->steps[0].run_id).value();
  EXPECT_EQ(last.info.status, RunStatus::kFinished);
  EXPECT_EQ(last.tag("tidemill.attempt"), "3");
  EXPECT_EQ(last.tag("tidemill.reason"), "attempt 3: exit status 2");
  auto record = store_->step_records(outcome->run_id).value()[0];
  EXPECT_EQ(record.attempt, 3);
  EXPECT_EQ(record.step_run, last.info.id);
  // What a failed attempt left is not among the outputs of the one that succeeded.
  EXPECT_EQ(read_file(fs::path(last.info.artifact_uri) / "n").value(), "3\n");
  EXPECT_EQ(run_with("retry: {times: 3, delay: 0}")->steps[0].state, StepState::kReused);
}

TEST_F(Retrying, WhenNoAttemptIsLeftTheStepHasFailed) {
  add_flaky_step("exit 7");
  EXPECT_EQ(run_with("retry: {times: 2, delay: 0}")->status, RunStatus::kFailed);
  EXPECT_EQ(times_run(), 3u);
  EXPECT_EQ(finished("a")->attempt, 3);
  EXPECT_EQ(finished("a")->reason, "exit status 7");
}

TEST_F(Retrying, AStepIsNotTriedAgainUnlessItAsksForIt) {
  add_flaky_step("exit 1");
  EXPECT_EQ(run_with("timeout: 100")->status, RunStatus::kFailed);
  EXPECT_EQ(times_run(), 1u);
}

TEST_F(Retrying, OnlyTheNamedFailuresAreTriedAgain) {
  add_flaky_step("n=$(wc -l < ../runs); if [ $n = 1 ]; then kill -KILL $$; fi; exit 75");
  EXPECT_EQ(run_with("retry: {times: 5, delay: 0, after: [signal]}")->status, RunStatus::kFailed);
  EXPECT_EQ(times_run(), 2u);
  EXPECT_EQ(failed_attempts()[0].kind, "signal");
  EXPECT_EQ(failed_attempts()[0].reason, "killed by SIGKILL");
  EXPECT_EQ(run_with("retry: {times: 1, delay: 0, after: [75]}")->status, RunStatus::kFailed);
  EXPECT_EQ(times_run(), 4u);
  EXPECT_EQ(run_with("retry: {times: 5, delay: 0, not_after: [75, timeout]}")->status, RunStatus::kFailed);
  EXPECT_EQ(times_run(), 5u);
}

TEST_F(Retrying, ATimeoutIsAFailureLikeOthersAndEndsGrandchildren) {
  add_flaky_step("n=$(wc -l < ../runs); if [ $n = 1 ]; then sleep 1000 & echo $! > child; wait; fi");
  auto outcome = run_with("timeout: 1, retry: {times: 1, delay: 0, after: [timeout]}");
  EXPECT_EQ(outcome->status, RunStatus::kFinished);
  EXPECT_EQ(failed_attempts()[0].kind, "timeout");
  EXPECT_FALSE(fs::exists("/proc/" + std::string(trim(text_of("a/child")))));
}

constexpr const char* kLosesItsProcess = "kill -KILL $PPID $$";  // its minder too

TEST_F(Retrying, AStepThatIsLostIsTriedAgainOutOfAnotherBudget) {
  add_flaky_step(kLosesItsProcess);
  EXPECT_EQ(run_with("retry: {infrastructure: 2, delay: 0}")->status, RunStatus::kFailed);
  EXPECT_EQ(times_run(), 3u);
  ASSERT_EQ(failed_attempts().size(), 2u);
  EXPECT_EQ(failed_attempts()[0].kind, "infrastructure");
  EXPECT_THAT(failed_attempts()[0].reason, HasSubstr("lost"));
}

TEST_F(Retrying, AStepWhoseFolderIsGoneHasFailedByItself) {
  add_step("a", "true");
  add_step("b", "rm -r ../a", "{x: string}");
  EXPECT_EQ(run("steps:\n  b: {project: b, params: {x: 1}}\n"
                "  a: {project: a, needs: [b], retry: {infrastructure: 2, delay: 0}}\n")
                ->status,
            RunStatus::kFailed);
  EXPECT_TRUE(failed_attempts().empty());
  EXPECT_EQ(finished("a")->state, StepState::kFailed);
  EXPECT_THAT(finished("a")->reason, HasSubstr("start"));
}

TEST_F(Retrying, WhatTheLogEndsWithMayDecide) {
  add_flaky_step("n=$(wc -l < ../runs); [ $n = 3 ] && echo bad data || echo CUDA error: $n; exit 1");
  EXPECT_EQ(run_with("retry: {times: 5, delay: 0, after: [{log: '^CUDA err.r'}]}")->status,
            RunStatus::kFailed);
  EXPECT_EQ(times_run(), 3u);
  EXPECT_EQ(run_with("retry: {times: 5, delay: 0, not_after: [{log: CUDA}]}")->status, RunStatus::kFailed);
  EXPECT_EQ(times_run(), 4u);
}

TEST_F(Retrying, NoAttemptBeginsAfterTheTimeForAllOfThem) {
  add_flaky_step("sleep 0.3; exit 1");
  options_.random = [] { return 0.0; };
  EXPECT_EQ(run_with("timeout: {total: 1}, retry: {times: 100, delay: 0}")->status, RunStatus::kFailed);
  EXPECT_GE(times_run(), 2u);
  EXPECT_LE(times_run(), 4u);
  options_.random = [] { return 0.5; };
  EXPECT_EQ(run_with("timeout: {total: 2s}, retry: {times: 100, delay: 1m}")->status, RunStatus::kFailed);
  EXPECT_GE(finished("a")->attempt, 2) << "what is waited is a part of the time that is left";
  EXPECT_THAT(finished("a")->reason, testing::AnyOf(HasSubstr("as the time for all its attempts is up"),
                                                    HasSubstr("that all its attempts may take")));
}

TEST_F(Retrying, TheLastAttemptIsStoppedWhenTheTimeForAllOfThemIsUp) {
  add_flaky_step("n=$(wc -l < ../runs); [ $n = 1 ] && exit 1; sleep 100");
  auto outcome = run_with("timeout: {attempt: 1h, total: 1s}, retry: {times: 5, delay: 0}");
  EXPECT_EQ(outcome->steps[0].state, StepState::kTimedOut);
  EXPECT_EQ(finished("a")->reason, "did not end within the 1.0 s that all its attempts may take");
  EXPECT_EQ(times_run(), 2u);
}

// As podman does with --memory, of which the step wants 2 MB.
constexpr std::string_view kContainers = R"(#!/bin/bash
[ "$1" = run ] || exit 0
while [ $# -gt 1 ]; do [ "$1" = --memory ] && memory=$2; shift; done
echo $memory >> "$(dirname "$0")/asked"
[ $memory -ge 2000000 ] || kill -KILL $$
exec bash -c "$1"
)";

TEST_F(Retrying, AStepThatRanOutOfMemoryGetsMoreOfIt) {
  add_step("a", "true");
  write("engine", kContainers);
  fs::permissions(dir_.path() / "engine", fs::perms::owner_all);
  projects::Environment contained;
  contained.container.emplace();
  contained.container->engine = dir_.path() / "engine";
  contained.container->takes_limits = true;
  options_.environments[fs::canonical(dir_.path() / "a")] = contained;
  options_.machine = Machine{.cpus = 1, .memory = 2'100'000};
  const std::string settings =
      "resources: {memory: 1000000}, retry: {times: 9, delay: 0, more_memory: 1.5}, cache: false";
  auto outcome = run_with(settings);
  EXPECT_EQ(outcome->status, RunStatus::kFinished);
  EXPECT_EQ(text_of("asked"), "1000000\n1500000\n2100000\n");  // and not beyond what there is
  EXPECT_EQ(failed_attempts()[0].kind, "memory");
  EXPECT_EQ(store_->run(outcome->steps[0].run_id)->tag("tidemill.reason"),
            "attempt 3: killed by SIGKILL: memory ran out; now with 2.1 MB of it");
  options_.machine->memory = 1'600'000;
  EXPECT_EQ(run_with(settings)->steps[0].state, StepState::kOutOfMemory);
  EXPECT_EQ(finished("a")->attempt, 3);
}

TEST_F(Retrying, AnUnsafeStepIsNeverRepeated) {
  add_flaky_step(kLosesItsProcess);
  EXPECT_EQ(run_with("retry: 0")->status, RunStatus::kFailed);
  EXPECT_TRUE(failed_attempts().empty());
  EXPECT_EQ(times_run(), 1u);
}

TEST_F(Retrying, NothingIsTriedAgainOnceAnotherStepHasFailed) {
  add_flaky_step("touch tried; exit 1");
  add_step("b", "until [ -e ../a/tried ]; do sleep 0.01; done; sleep 0.3; exit 2");
  options_.random = [] { return 0.999; };
  auto outcome = run("steps:\n  a: {project: a, retry: {times: 5, delay: 1000}}\n  b: {project: b}\n", 2);
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->status, RunStatus::kFailed);
  EXPECT_EQ(times_run(), 1u);
  EXPECT_DOUBLE_EQ(failed_attempts()[0].wait_seconds, 300 * 0.999);
  EXPECT_EQ(finished("a")->reason, "exit status 1; not tried again, as another step failed");
}

TEST(Judge, OnlyWhatTheMachineIsShortOfIsItsFault) {
  for (int error : {EAGAIN, ENOMEM, EMFILE, ENOSPC, EIO})
    EXPECT_EQ(kind_of_start_error(error), FailureKind::kInfrastructure) << error;
  for (int error : {E2BIG, ENOENT, EACCES, ENOEXEC, ENOTDIR, ELOOP})
    EXPECT_EQ(kind_of_start_error(error), FailureKind::kExit) << error;
  EXPECT_EQ(kind_of_start_error(errno_error("fork", EAGAIN)), FailureKind::kInfrastructure);
  EXPECT_EQ(kind_of_start_error(errno_error("fork", ENOMEM)), FailureKind::kInfrastructure);
  EXPECT_EQ(kind_of_start_error(errno_error("start bash", ENOENT)), FailureKind::kExit);
}

TEST(Judge, MemoryThatRanOutIsNoOrdinaryKill) {
  Ended ended{.step = 0, .end = MindedEnd{.exit = {.signal = SIGKILL}}, .out_of_memory = true};
  TempDir dir = TempDir::create().value();
  auto opened = tracking::Store::open({.uri = dir.path() / "t.db"}).value();
  Verdict verdict = judge(ended, {}, {}, "", false, opened).value();
  EXPECT_EQ(verdict.failure->kind, FailureKind::kMemory);
  EXPECT_EQ(verdict.state, StepState::kOutOfMemory);
  EXPECT_EQ(verdict.reason, "killed by SIGKILL: memory ran out");
}

}  // namespace
}  // namespace tidemill::engine
