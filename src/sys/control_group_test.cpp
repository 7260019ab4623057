// Needs a cgroup v2 in which this process may make groups: as root of a virtual machine, or
// `systemd-run --user --scope -p Delegate=yes`. Skips elsewhere, but for what is to be said then.
#include "sys/control_group.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "sys/minded_process.h"

namespace tidemill {
namespace {

class ControlGroup : public testing::Test {
 protected:
  void SetUp() override {
    auto made = make_control_group("tidemill-test-trial", {.memory = 1 << 30, .cpus = 1});
    if (!made) GTEST_SKIP() << made.error().message;
    remove_control_group(*made);
  }
  MindedEnd run_in(const fs::path& group, const std::string& script) {
    const Minding minding{.record = dir_.path() / "record",
                          .survival = Minding::Survival::kOutlivesStarter,
                          .timeout = {},
                          .grace = std::chrono::milliseconds(100),
                          .keep_open = {},
                          .secrets = {},
                          .control_group = group,
                          .clean_up = {}};
    auto process = MindedProcess::start(
        {.argv = {"sh", "-c", script}, .working_dir = dir_.path(), .output_file = dir_.path() / "log"},
        minding);
    EXPECT_TRUE(process) << process.error().message;
    process->wait();
    return read_end(minding.record).value_or(MindedEnd{});
  }
  TempDir dir_ = TempDir::create().value();
};

TEST_F(ControlGroup, WhatTakesMoreMemoryThanItMayIsKilledAsAWholeAndSaysSo) {
  auto group = make_control_group("tidemill-test-memory", {.memory = 64 << 20, .cpus = 0});
  ASSERT_TRUE(group) << group.error().message;
  // Its child is the one that takes too much; no process may be left of it.
  MindedEnd end = run_in(*group, "sh -c 'x=xxxxxxxx; while :; do x=$x$x; done'; echo survived");
  EXPECT_TRUE(end.out_of_memory);
  EXPECT_EQ(end.exit.signal, SIGKILL);
  EXPECT_EQ(read_file(dir_.path() / "log").value().find("survived"), std::string::npos);
  EXPECT_FALSE(fs::exists(*group));
}

TEST_F(ControlGroup, WhatStaysWithinItsMemoryEndsAsItWants) {
  auto group = make_control_group("tidemill-test-modest", {.memory = 64 << 20, .cpus = 1});
  ASSERT_TRUE(group);
  MindedEnd end = run_in(*group, "cat /proc/self/cgroup; exit 3");
  EXPECT_FALSE(end.out_of_memory);
  EXPECT_EQ(end.exit.status, 3);
  EXPECT_THAT(read_file(dir_.path() / "log").value(), testing::HasSubstr("tidemill-test-modest"));
  EXPECT_FALSE(fs::exists(*group));
}

TEST_F(ControlGroup, TheProcessorIsSharedOutAsAskedFor) {
  auto group = make_control_group("tidemill-test-cpu", {.memory = 0, .cpus = 1});
  ASSERT_TRUE(group);
  EXPECT_EQ(read_file(*group / "cpu.max").value(), "100000 100000\n");
  remove_control_group(*group);
}

TEST_F(ControlGroup, WhatHasLeftItsSessionIsEndedWithIt) {
  auto group = make_control_group("tidemill-test-escape", {.memory = 64 << 20, .cpus = 0});
  ASSERT_TRUE(group);
  run_in(*group, "setsid sleep 600 & exit 0");
  EXPECT_FALSE(fs::exists(*group));
}

TEST(NoControlGroup, SaysWhatIsMissing) {
  auto dir = TempDir::create().value();
  auto made =
      make_control_group("x", {.memory = 1 << 20, .cpus = 1}, "1:name=systemd:/\n0::/a/b\n", dir.path());
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, Code::kUnavailable);
  EXPECT_THAT(made.error().message,
              testing::HasSubstr("a/b may have no groups of ours with limits for memory and cpu"));
}

struct RationTest : testing::Test {
  TempDir mount = TempDir::create().value();

  void write(const std::string& file, std::string_view quota) {
    fs::create_directories((mount.path() / file).parent_path());
    ASSERT_TRUE(write_file_atomic(mount.path() / file, quota, Durable::no));
  }
  bool rationed(std::string_view own_groups) { return is_rationed(own_groups, mount.path()); }
};

TEST_F(RationTest, AQuotaOfTheGroupOrOfOneAboveCounts) {
  write("outer/cpu.max", "50000 100000\n");
  write("outer/inner/cpu.max", "max 100000\n");
  write("beside/cpu.max", "max 100000\n");
  EXPECT_TRUE(rationed("0::/outer\n"));
  EXPECT_TRUE(rationed("0::/outer/inner\n"));
  EXPECT_FALSE(rationed("0::/beside\n"));
  EXPECT_FALSE(rationed("0::/beside/gone\n"));
  EXPECT_FALSE(rationed("0::/\n"));
}

// In a container its own group is the uppermost that it sees.
TEST_F(RationTest, AContainersQuotaIsAtTheMount) {
  write("cpu.max", "200000 100000\n");
  EXPECT_TRUE(rationed("0::/\n"));
  EXPECT_TRUE(rationed("0::/../elsewhere\n"));
}

TEST_F(RationTest, VersionOneHasAFolderForEachKind) {
  write("cpu,cpuacct/limited/cpu.cfs_quota_us", "50000\n");
  write("cpu,cpuacct/free/cpu.cfs_quota_us", "-1\n");
  EXPECT_TRUE(rationed("4:memory:/limited\n3:cpu,cpuacct:/limited\n0::/\n"));
  EXPECT_FALSE(rationed("4:memory:/limited\n3:cpu,cpuacct:/free\n0::/\n"));
}

TEST_F(RationTest, WhatIsNoListOfGroupsIsNoLimit) {
  for (std::string_view text : {"", "\n", ":", "0:", "a:b", "0::", "::::"})
    EXPECT_FALSE(rationed(text)) << text;
}

}  // namespace
}  // namespace tidemill
