#include "sys/memory_watch.h"

#include <gtest/gtest.h>

namespace tidemill {
namespace {

class MemoryWatchTest : public testing::Test {
 protected:
  void write(const fs::path& file, std::string_view text) {
    ASSERT_TRUE(make_dirs((dir_.path() / file).parent_path()));
    ASSERT_TRUE(write_file_atomic(dir_.path() / file, text, Durable::no));
  }
  TempDir dir_ = TempDir::create().value();
};

TEST_F(MemoryWatchTest, TellsOnceThatTheCounterHasGrown) {
  write("events", "low 0\noom 7\noom_kill 2\noom_group_kill 9\n");
  MemoryWatch watch(dir_.path() / "events");
  EXPECT_FALSE(watch.killed_something());
  write("events", "low 0\noom 9\noom_kill 3\noom_group_kill 9\n");
  EXPECT_TRUE(watch.killed_something());
  EXPECT_FALSE(watch.killed_something());
}

TEST_F(MemoryWatchTest, AFileThatCannotBeReadIsNoEvidence) {
  MemoryWatch watch(dir_.path() / "absent");
  EXPECT_FALSE(watch.killed_something());
  write("absent", "oom_kill 5\n");
  EXPECT_FALSE(watch.killed_something());
  write("absent", "oom_kill x\n");
  EXPECT_FALSE(watch.killed_something());
}

TEST_F(MemoryWatchTest, FindsTheCounterOfItsOwnControlGroup) {
  write("memory/jobs/1/memory.oom_control", "oom_kill 0\n");
  write("user.slice/memory.events", "oom_kill 0\n");
  const fs::path root = dir_.path();
  EXPECT_EQ(memory_events_file("9:cpu:/\n4:memory:/jobs/1\n0::/\n", root),
            root / "memory/jobs/1/memory.oom_control");
  EXPECT_EQ(memory_events_file("0::/user.slice\n", root), root / "user.slice/memory.events");
  EXPECT_EQ(memory_events_file("0::/elsewhere\nnonsense\n", root), fs::path());
}

}  // namespace
}  // namespace tidemill
