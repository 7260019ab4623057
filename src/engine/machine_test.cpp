// Steps hold what they ask for of the machine, and no more of it is given away than there is.
#include "engine/machine.h"

#include "base/text.h"
#include "engine/engine_fixture.h"

namespace tidemill::engine {
namespace {

using testing::HasSubstr;
using tracking::RunStatus;

TEST(MachineShare, GivesAllThatIsWantedOrNothing) {
  TempDir dir = TempDir::create().value();
  Machine machine{.cpus = 4, .memory = 1 << 30, .gpus = {"0", "1"}};
  auto share = MachineShare::open(machine, dir.path() / "machine");
  auto other = MachineShare::open(machine, dir.path() / "machine");
  ASSERT_TRUE(share && other);
  auto first = share->try_take({.cpus = 3, .gpus = 1, .locks = {"a"}});
  ASSERT_TRUE(first);
  EXPECT_EQ(first->gpus, std::vector<std::string>{"0"});
  // As another process would: the same file, another descriptor.
  EXPECT_FALSE(other->try_take({.cpus = 2}));
  EXPECT_FALSE(other->try_take({.cpus = 1, .locks = {"a"}}));
  EXPECT_FALSE(other->try_take({.gpus = 2}));
  auto second = other->try_take({.cpus = 1, .gpus = 1, .locks = {"b"}});
  ASSERT_TRUE(second) << "what was refused has not kept anything";
  EXPECT_EQ(second->gpus, std::vector<std::string>{"1"});
  first.reset();
  EXPECT_TRUE(other->try_take({.cpus = 3, .gpus = 1, .locks = {"a"}}));
}

TEST(MachineShare, CountsMemoryInShares) {
  TempDir dir = TempDir::create().value();
  auto share = MachineShare::open({.cpus = 1, .memory = 1000 << 20}, dir.path() / "machine").value();
  auto half = share.try_take({.memory = 500 << 20});
  ASSERT_TRUE(half);
  EXPECT_FALSE(share.try_take({.memory = 600 << 20}));
  EXPECT_TRUE(share.try_take({.memory = 400 << 20}));
}

class Held : public EngineTest {
 protected:
  void SetUp() override {
    EngineTest::SetUp();
    // Fails when another step is inside at the same time.
    add_step("alone", "echo {n} >> ../order; mkdir ../inside && sleep 0.02 && rmdir ../inside", "{n: int}");
    options_.machine = Machine{.cpus = 4, .memory = 1 << 30, .gpus = {"7", "9"}};
  }
  RunStatus status_of_run(const std::string& resources) {
    std::string yaml = "steps:\n";
    for (int i = 0; i < 6; ++i)
      yaml += fmt::format("  s{}: {{project: alone, params: {{n: {}}}, resources: {}}}\n", i, i, resources);
    auto outcome = run(yaml, 6);
    EXPECT_TRUE(outcome) << outcome.error().message;
    return outcome->status;
  }
};

TEST_F(Held, ALockIsHeldByOneStepAtATime) { EXPECT_EQ(status_of_run("{locks: [x]}"), RunStatus::kFinished); }

TEST_F(Held, StepsThatNeedMostOfTheMachineRunOneByOne) {
  EXPECT_EQ(status_of_run("{cpus: 3}"), RunStatus::kFinished);
}

TEST_F(Held, GpusAreGivenOnlyToStepsThatAskForThem) {
  add_step("gpu", "echo {n} $CUDA_VISIBLE_DEVICES > ../seen.{n}", "{n: int}");
  auto outcome =
      run("steps:\n  s1: {project: gpu, params: {n: 1}, resources: {gpus: 2}}\n"
          "  s2: {project: gpu, params: {n: 2}}\n",
          1);
  ASSERT_TRUE(outcome) << outcome.error().message;
  EXPECT_EQ(text_of("seen.1"), "1 7,9\n");
  EXPECT_EQ(text_of("seen.2"), "2\n");
}

TEST_F(Held, MoreThanTheMachineHasIsRefusedBeforeAnythingRuns) {
  auto error = [&](const std::string& resources) {
    auto outcome = run("steps: {s: {project: alone, params: {n: 1}, resources: " + resources + "}}\n");
    return outcome ? "" : outcome.error().message;
  };
  EXPECT_THAT(error("{cpus: 5}"),
              HasSubstr("pipeline.yaml:1:56: step 's': asks for 5 cpus, and this machine has 4"));
  EXPECT_THAT(error("{gpus: 3}"), HasSubstr("asks for 3 gpus"));
  EXPECT_THAT(error("{memory: 2G}"), HasSubstr("asks for 2.0 GB of memory"));
}

TEST_F(Held, WhatAStepAsksForIsNotPartOfItsKey) {
  ASSERT_EQ(status_of_run("{cpus: 3}"), RunStatus::kFinished);
  ASSERT_EQ(status_of_run("{cpus: 4, locks: [y]}"), RunStatus::kFinished);
  EXPECT_EQ(finished("s3")->state, StepState::kReused);
}

}  // namespace
}  // namespace tidemill::engine
