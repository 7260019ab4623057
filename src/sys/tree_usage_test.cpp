#include "sys/tree_usage.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <thread>

#include "sys/process.h"

namespace tidemill {
namespace {

TEST(TreeUsage, CountsWhatAProcessHasStarted) {
  // A shell with a child that holds 50 MB and uses the processor.
  auto process = Process::start(
      {.argv = {"sh", "-c",
                "sh -c 'x=$(head -c 50000000 /dev/zero | tr \"\\\\0\" x); while :; do :; done' & wait"},
       .discard_output = true});
  ASSERT_TRUE(process);
  TreeUsage usage;
  while (usage.memory_bytes < 50'000'000 || usage.cpu_seconds < 0.1) {
    auto now = tree_usage(process->pid());
    ASSERT_TRUE(now);
    usage = *now;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  EXPECT_GE(usage.processes, 2);
  EXPECT_LT(usage.memory_bytes, 1'000'000'000u);
}

TEST(TreeUsage, OfNoProcessIsNone) { EXPECT_FALSE(tree_usage(0x7ffffff0)); }

}  // namespace
}  // namespace tidemill
