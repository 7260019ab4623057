#include "sys/process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/text.h"
#include "sys/process_fixture.h"
#include "sys/process_guard.h"

namespace tidemill {
namespace {

using namespace std::chrono_literals;

pid_t read_pid(const fs::path& file) {
  pid_t pid = 0;
  wait_until([&] {
    auto text = read_file(file);
    if (text && text->ends_with("\n")) pid = std::atoi(text->c_str());
    return pid > 0;
  });
  return pid;
}

class ProcessTest : public testing::Test {
 protected:
  TempDir dir_ = TempDir::create().value();
  fs::path file(const char* name) const { return dir_.path() / name; }
};

TEST_F(ProcessTest, ReportsExitStatusAndOutputOfAProgram) {
  auto process =
      Process::start({.argv = {"sh", "-c", "echo out; echo err >&2; exit 3"}, .output_file = file("log")});
  ASSERT_TRUE(process) << process.error().message;
  Exit exit = process->wait();
  EXPECT_EQ(exit.status, 3);
  EXPECT_EQ(exit.describe(), "exit status 3");
  EXPECT_EQ(read_file(file("log")).value(), "out\nerr\n");
}

TEST_F(ProcessTest, CountsWhatAProgramUsed) {
  auto process =
      Process::start({.argv = {"sh", "-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done"}}).value();
  Exit exit = process.wait();
  EXPECT_GT(exit.user_seconds + exit.system_seconds, 0);
  EXPECT_GT(exit.max_resident_bytes, 100'000u);
}

TEST_F(ProcessTest, NamesAProgramThatDoesNotExist) {
  auto process = Process::start({.argv = {"no-such-program-here"}});
  ASSERT_FALSE(process);
  EXPECT_EQ(process.error().code, Code::kNotFound);
  EXPECT_THAT(process.error().message, testing::HasSubstr("no-such-program-here"));
  EXPECT_EQ(Process::start({.argv = {"/no/such/program"}}).error().code, Code::kNotFound);
}

TEST_F(ProcessTest, NamesAFolderThatDoesNotExist) {
  auto process = Process::start({.argv = {"true"}, .working_dir = file("absent")});
  ASSERT_FALSE(process);
  EXPECT_THAT(process.error().message, testing::HasSubstr("absent"));
}

TEST_F(ProcessTest, SetsAndRemovesVariables) {
  setenv("TIDEMILL_TEST_REMOVED", "1", 1);
  auto process = Process::start({.argv = {"sh", "-c", "echo $ADDED-$TIDEMILL_TEST_REMOVED-$HOME"},
                                 .extra_env = {{"ADDED", "a b"}, {"HOME", "/nowhere"}},
                                 .unset_env = {"TIDEMILL_TEST_REMOVED"},
                                 .output_file = file("log")});
  process->wait();
  EXPECT_EQ(read_file(file("log")).value(), "a b--/nowhere\n");
}

TEST_F(ProcessTest, StopReachesGrandchildren) {
  std::string script = fmt::format("sleep 1000 & echo $! > {}; wait", file("pid").string());
  auto process = Process::start({.argv = {"sh", "-c", script}}).value();
  pid_t grandchild = read_pid(file("pid"));
  Exit exit = process.stop(10s);
  EXPECT_EQ(exit.signal, SIGTERM);
  EXPECT_EQ(exit.describe(), "killed by SIGTERM");
  wait_until([&] { return !alive(grandchild); });
}

TEST_F(ProcessTest, StopKillsWhoIgnoresSigterm) {
  std::string script =
      fmt::format("trap '' TERM; echo $$ > {}; while :; do sleep 0.01; done", file("pid").string());
  auto process = Process::start({.argv = {"sh", "-c", script}}).value();
  read_pid(file("pid"));
  EXPECT_EQ(process.stop(20ms).signal, SIGKILL);
}

TEST_F(ProcessTest, PidfdBecomesReadableAtTheEnd) {
  auto process = Process::start({.argv = {"true"}}).value();
  pollfd ended{process.pidfd(), POLLIN, 0};
  EXPECT_EQ(poll(&ended, 1, -1), 1);
  EXPECT_TRUE(process.wait().ok());
}

TEST_F(ProcessTest, DestroyingKillsTheGroup) {
  pid_t grandchild = 0;
  {
    std::string script = fmt::format("sleep 1000 & echo $! > {}; wait", file("pid").string());
    auto process = Process::start({.argv = {"sh", "-c", script}}).value();
    grandchild = read_pid(file("pid"));
  }
  wait_until([&] { return !alive(grandchild); });
}

TEST_F(ProcessTest, RunCommandSeparatesStreamsAndBoundsThem) {
  auto captured = run_command({"sh", "-c", "head -c 100000 /dev/zero; echo oops >&2"}, 60s, 1000).value();
  EXPECT_EQ(captured.output.size(), 1000u);
  EXPECT_EQ(captured.errors, "oops\n");
  EXPECT_TRUE(captured.exit.ok());
}

TEST_F(ProcessTest, RunCommandEndsWhatTakesTooLong) {
  auto captured = run_command({"sleep", "1000"}, 30ms);
  ASSERT_FALSE(captured);
  EXPECT_EQ(captured.error().code, Code::kTimeout);
}

// A runner in a process of its own, so that it can be killed.
pid_t fork_runner(const std::function<void()>& body) {
  pid_t pid = fork();
  if (pid == 0) {
    body();
    for (;;) pause();
  }
  return pid;
}

TEST_F(ProcessTest, NothingSurvivesARunnerKilledHard) {
  std::string script = fmt::format("sleep 1000 & echo $! > {}; wait; true", file("pid").string());
  pid_t runner = fork_runner([&] {
    auto guard = std::make_unique<ProcessGuard>(ProcessGuard::start().value());
    auto process = std::make_unique<Process>(Process::start({.argv = {"sh", "-c", script}}).value());
    guard->add(process->pid());
    [[maybe_unused]] auto* kept = guard.release();
    [[maybe_unused]] auto* kept_too = process.release();
  });
  pid_t grandchild = read_pid(file("pid"));
  EXPECT_TRUE(alive(grandchild));
  kill(runner, SIGKILL);
  waitpid(runner, nullptr, 0);
  wait_until([&] { return !alive(grandchild); });
}

TEST_F(ProcessTest, GuardLeavesAloneWhatWasTakenBack) {
  auto process = Process::start({.argv = {"sleep", "1000"}}).value();
  {
    auto guard = ProcessGuard::start().value();
    guard.add(process.pid());
    guard.remove(process.pid());
  }
  EXPECT_TRUE(alive(process.pid()));
}

}  // namespace
}  // namespace tidemill
