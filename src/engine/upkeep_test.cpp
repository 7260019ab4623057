// Looking after the results that are kept.
#include "engine/upkeep.h"

#include <fstream>

#include "engine/engine_fixture.h"

namespace tidemill::engine {
namespace {

using testing::ElementsAre;

class Upkeep : public EngineTest {
 protected:
  void SetUp() override {
    EngineTest::SetUp();
    add_step("make", "echo ran >> ../count; head -c {bytes} /dev/zero > $TIDEMILL_OUTPUT_DIR/data",
             "{bytes: string}");
    options_.artifact_root = dir_.path() / "artifacts";
  }
  // A run whose only step makes so many bytes.
  Outcome make(int bytes, const std::string& pipeline = "p") {
    auto outcome = run(plan(fmt::format(
        "name: {}\nsteps:\n  make: {{project: make, params: {{bytes: {}}}}}\n", pipeline, bytes)));
    EXPECT_TRUE(outcome) << outcome.error().message;
    return *outcome;
  }
  fs::path data_of(const Outcome& outcome) {
    return fs::path(store_->run(outcome.steps[0].run_id)->info.artifact_uri) / "data";
  }
  Collected collect(const Limits& limits, DryRun dry_run = DryRun::kNo) {
    auto collected = collect_results(*store_, options_, limits, dry_run);
    EXPECT_TRUE(collected) << collected.error().message;
    return collected.value_or(Collected{});
  }
  std::vector<Damage> verify() {
    auto damaged = verify_results(*store_, options_, [](uint64_t) {});
    EXPECT_TRUE(damaged) << damaged.error().message;
    return damaged.value_or(std::vector<Damage>{});
  }
};

TEST_F(Upkeep, RoomIsMadeByRemovingWhatWasOfUseLongestAgo) {
  Outcome first = make(1000), second = make(2000), third = make(3000), latest = make(4000);
  make(1000, "q");  // reused: the first is of use again, by the latest run of q
  Collected would = collect({.bytes = 8000, .unused_ms = {}}, DryRun::kYes);
  ASSERT_EQ(would.removed.size(), 1u);
  EXPECT_EQ(would.removed[0].run_id, second.steps[0].run_id);
  EXPECT_TRUE(fs::exists(data_of(second)));
  Collected done = collect({.bytes = 8000, .unused_ms = {}});
  EXPECT_EQ(done.removed_bytes, 2000u);
  EXPECT_EQ(done.left_bytes, 8000u);
  EXPECT_FALSE(fs::exists(data_of(second)));
  EXPECT_TRUE(fs::exists(data_of(third)));
  EXPECT_EQ(collect({.bytes = 1, .unused_ms = {}}).removed.size(), 1u) << "what is needed stays";
  EXPECT_TRUE(fs::exists(data_of(first)));
  EXPECT_TRUE(fs::exists(data_of(latest)));
  EXPECT_EQ(make(2000).steps[0].state, StepState::kFinished) << "it is made again";
}

TEST_F(Upkeep, WhatWasNotOfUseForLongIsRemoved) {
  make(10);
  make(20);
  EXPECT_TRUE(collect({.bytes = {}, .unused_ms = 3'600'000}).removed.empty());
  EXPECT_EQ(collect({.bytes = {}, .unused_ms = 0}).removed.size(), 1u);
}

TEST_F(Upkeep, FilesThatAreNotInAFolderOfTheRunsOwnStay) {
  make(10);
  make(20);
  options_.artifact_root = dir_.path() / "another";
  EXPECT_TRUE(collect({.bytes = 1, .unused_ms = {}}).removed.empty());
}

TEST_F(Upkeep, DamagedAndMissingFilesAreNamedAndTheStepRunsAgain) {
  Outcome good = make(10), bad = make(20);
  EXPECT_TRUE(verify().empty());
  std::ofstream(data_of(bad)) << "other";
  std::ofstream(data_of(bad).parent_path() / "more") << "x";
  auto damaged = verify();
  ASSERT_EQ(damaged.size(), 1u);
  EXPECT_EQ(damaged[0].result.run_id, bad.steps[0].run_id);
  EXPECT_THAT(damaged[0].files, ElementsAre("data: changed or damaged", "more: was not made by the step"));
  EXPECT_TRUE(verify().empty()) << "it is known no more";
  EXPECT_EQ(make(20).steps[0].state, StepState::kFinished);
  fs::remove(data_of(good));
  EXPECT_THAT(verify().at(0).files, ElementsAre("data: missing"));
}

// A byte that rots changes neither size nor times: only reading finds it.
TEST_F(Upkeep, ADamageThatLeavesNoTraceIsFound) {
  Outcome made = make(10);
  fs::path file = data_of(made);
  auto time = fs::last_write_time(file);
  std::ofstream(file) << std::string(9, '\0') + 'x';
  fs::last_write_time(file, time);
  EXPECT_EQ(verify().size(), 1u);
}

TEST_F(Upkeep, ARunThatDecidesKeepsOthersFromTakingResultsAway) {
  fs::path state = dir_.path() / "state";
  auto use = ResultsLock::take(state, ResultsLock::Mode::kUse);
  ASSERT_TRUE(use);
  ASSERT_TRUE(ResultsLock::take(state, ResultsLock::Mode::kUse)) << "many may";
  std::atomic<bool> taken = false;
  std::jthread other([&] {
    auto lock = ResultsLock::take(state, ResultsLock::Mode::kTakeAway);
    taken = true;
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_FALSE(taken);
  use = tl::unexpected<Error>(Error{});
  other.join();
  EXPECT_TRUE(taken);
}

}  // namespace
}  // namespace tidemill::engine
