#include <gmock/gmock.h>
#include <poll.h>
#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>

#include "base/text.h"
#include "sys/guardian.h"
#include "sys/process.h"
#include "sys/terminal.h"

namespace tidemill {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

bool is_alive(pid_t pid) {
  // A zombie that nobody has reaped yet is dead for our purposes.
  auto stat = read_file(fmt::format("/proc/{}/stat", pid));
  return stat && stat->find(") Z") == std::string::npos;
}

template <class Condition>
bool eventually(Condition condition) {
  for (int i = 0; i < 500; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(milliseconds(10));
  }
  return false;
}

TEST(Process, ReportsExitStatusAndOutput) {
  auto run = run_command({"sh", "-c", "echo out; echo err >&2; exit 3"}, seconds(10));
  ASSERT_TRUE(run);
  EXPECT_EQ(run->exit.status, 3);
  EXPECT_EQ(run->exit.describe(), "exit status 3");
  EXPECT_EQ(run->output, "out\n");
  EXPECT_EQ(run->errors, "err\n");
}

TEST(Process, NamesAProgramThatDoesNotExist) {
  auto run = run_command({"no-such-program-here"}, seconds(1));
  ASSERT_FALSE(run);
  EXPECT_EQ(run.error().code, Code::kNotFound);
  EXPECT_THAT(run.error().message, testing::HasSubstr("no-such-program-here"));
  EXPECT_EQ(Process::start({.argv = {"/etc/passwd"}}).error().code, Code::kDenied);
  EXPECT_EQ(Process::start({.argv = {"true"}, .working_dir = "/no/such/folder"}).error().code, Code::kNotFound);
}

TEST(Process, CutsOutputOffAtTheLimit) {
  auto run = run_command({"sh", "-c", "head -c 100000 /dev/zero"}, seconds(10), 1000);
  ASSERT_TRUE(run);
  EXPECT_EQ(run->output.size(), 1000u);
  EXPECT_TRUE(run->exit.ok());
}

TEST(Process, KillsACommandThatDoesNotEndInTime) {
  auto run = run_command({"sleep", "60"}, milliseconds(100));
  ASSERT_FALSE(run);
  EXPECT_EQ(run.error().code, Code::kTimeout);
}

TEST(Process, PassesEnvironmentAndFolder) {
  TempDir dir = TempDir::create().value();
  setenv("TIDEMILL_TEST_GONE", "1", 1);
  auto process = Process::start({.argv = {"sh", "-c", "echo $A-$TIDEMILL_TEST_GONE-; pwd"},
                                 .working_dir = dir.path(),
                                 .extra_env = {{"A", "x y"}},
                                 .unset_env = {"TIDEMILL_TEST_GONE"},
                                 .output_file = dir.path() / "log"});
  ASSERT_TRUE(process);
  EXPECT_TRUE(process->wait().ok());
  EXPECT_EQ(read_file(dir.path() / "log").value(), fmt::format("x y--\n{}\n", dir.path().string()));
}

TEST(Process, StopEndsGrandchildrenToo) {
  TempDir dir = TempDir::create().value();
  auto process = Process::start({.argv = {"sh", "-c", "trap '' TERM; sleep 1000 & echo $! > pid; wait; sleep 1000"},
                                 .working_dir = dir.path()});
  ASSERT_TRUE(process);
  pid_t grandchild = 0;
  ASSERT_TRUE(eventually([&] { return bool(std::ifstream(dir.path() / "pid") >> grandchild); }));
  Exit exit = process->stop(milliseconds(200));
  EXPECT_EQ(exit.describe(), "killed by SIGKILL");
  EXPECT_TRUE(eventually([&] { return !is_alive(grandchild); }));
}

TEST(Process, DestructionLeavesNothingBehind) {
  TempDir dir = TempDir::create().value();
  pid_t grandchild = 0;
  {
    auto process = Process::start({.argv = {"sh", "-c", "sleep 1000 & echo $! > pid; wait"}, .working_dir = dir.path()});
    ASSERT_TRUE(process);
    ASSERT_TRUE(eventually([&] { return bool(std::ifstream(dir.path() / "pid") >> grandchild); }));
  }
  EXPECT_TRUE(eventually([&] { return !is_alive(grandchild); }));
}

TEST(Guardian, EndsGroupsOfARunnerThatWasKilled) {
  TempDir dir = TempDir::create().value();
  pid_t runner = fork();
  if (runner == 0) {
    auto guardian = Guardian::start();
    auto process = Process::start({.argv = {"sh", "-c", "sleep 1000 & echo $! > pid; wait"}, .working_dir = dir.path()});
    guardian->watch(process->pid());
    pause();
    _exit(1);
  }
  pid_t grandchild = 0;
  ASSERT_TRUE(eventually([&] { return bool(std::ifstream(dir.path() / "pid") >> grandchild); }));
  kill(runner, SIGKILL);
  waitpid(runner, nullptr, 0);
  EXPECT_TRUE(eventually([&] { return !is_alive(grandchild); }));
}

TEST(Guardian, LeavesReleasedGroupsAlone) {
  auto process = Process::start({.argv = {"sleep", "1000"}});
  ASSERT_TRUE(process);
  {
    auto guardian = Guardian::start();
    ASSERT_TRUE(guardian);
    guardian->watch(process->pid());
    guardian->release(process->pid());
  }
  EXPECT_FALSE(process->wait_for(milliseconds(50)));
}

TEST(Table, AlignsNumbersRightAndTextLeft) {
  Table table({"STEP", "TIME", "N"});
  table.add({"train", "1.5 s", "10"});
  table.add({"über", "20 s", "5"});
  EXPECT_EQ(table.to_string(), "STEP   TIME    N\ntrain  1.5 s  10\nüber   20 s    5\n");
  EXPECT_EQ(Table({"A"}).to_string(), "");
}

// Runs `body` in a child whose stderr is a terminal of 100 columns, and returns what it printed.
template <class Body>
std::string printed_on_terminal(Body body) {
  winsize size{.ws_row = 24, .ws_col = 100, .ws_xpixel = 0, .ws_ypixel = 0};
  int terminal = -1;
  pid_t pid = forkpty(&terminal, nullptr, nullptr, &size);
  if (pid == 0) {
    setenv("TERM", "xterm", 1);
    unsetenv("TIDEMILL_PROGRESS");
    body();
    _exit(0);
  }
  std::string text;
  char buffer[4096];
  for (ssize_t got; (got = read(terminal, buffer, sizeof buffer)) > 0;) text.append(buffer, got);
  close(terminal);
  waitpid(pid, nullptr, 0);
  return text;
}

TEST(Progress, ShowsABarWithTimeLeftOnATerminalThatFits) {
  std::string text = printed_on_terminal([] {
    Progress progress("train", 1000, "images");
    progress.note("loss 1.25");
    progress.advance(500);
  });
  EXPECT_THAT(text, testing::HasSubstr("50 %"));
  EXPECT_THAT(text, testing::HasSubstr("left"));
  EXPECT_THAT(text, testing::EndsWith("\r\n"));
  EXPECT_THAT(text, testing::HasSubstr("500 images"));
}

TEST(Progress, PrintsJsonLinesForARunner) {
  std::string text = printed_on_terminal([] {
    setenv("TIDEMILL_PROGRESS", "json", 1);
    Progress progress("train", 10, "images");
    progress.set(10);
  });
  EXPECT_THAT(text, testing::HasSubstr(R"({"progress":"train","done":10,"total":10)"));
}

}  // namespace
}  // namespace tidemill
