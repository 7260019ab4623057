#include "sys/minded_process.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sys/process_fixture.h"

namespace tidemill {
namespace {

using namespace std::chrono_literals;

class Minded : public testing::Test {
 protected:
  fs::path file(const char* name) const { return dir_.path() / name; }
  ProcessOptions shell(const std::string& script) const {
    return {.argv = {"sh", "-c", script}, .working_dir = dir_.path(), .output_file = file("log")};
  }
  Minding minding(Minding::Survival survival = Minding::Survival::kOutlivesStarter) const {
    return {.record = file("record"),
            .survival = survival,
            .timeout = {},
            .keep_open = {},
            .secrets = {},
            .clean_up = {}};
  }
  pid_t pid_in(const char* name) const {
    pid_t pid = 0;
    wait_until([&] {
      auto text = read_file(file(name));
      if (text && text->ends_with("\n")) pid = std::atoi(text->c_str());
      return pid > 0;
    });
    return pid;
  }
  // Starts the script in a process of its own, and kills that as soon as it has.
  void start_and_die(const std::string& script, Minding minding) {
    pid_t starter = fork();
    if (starter == 0) {
      auto started = MindedProcess::start(shell(script), minding);
      kill(getpid(), started ? SIGKILL : SIGABRT);
    }
    int status = 0;
    waitpid(starter, &status, 0);
    ASSERT_EQ(WTERMSIG(status), SIGKILL);
  }
  TempDir dir_ = TempDir::create().value();
};

TEST_F(Minded, WhatItHasLeftElsewhereIsCleanedUpBeforeItCountsAsEnded) {
  Minding minded = minding();
  minded.grace = 50ms;
  minded.clean_up = {"sh", "-c", fmt::format("sleep 0.2; echo {} > {}", "$0", file("cleaned").string()),
                     "x y"};
  auto process =
      MindedProcess::start(shell("trap '' TERM; echo > ready; while :; do sleep 0.1; done"), minded);
  ASSERT_TRUE(process);
  wait_until([&] { return fs::exists(file("ready")); });
  process->stop();
  process->wait();
  EXPECT_EQ(read_file(file("cleaned")).value_or(""), "x y\n");
  EXPECT_EQ(read_end(file("record"))->stopped, StopCause::kAsked);
}

TEST_F(Minded, WhatEndsByItselfHasLeftNothing) {
  Minding minded = minding();
  minded.clean_up = {"touch", file("cleaned").string()};
  auto process = MindedProcess::start(shell("exit 3"), minded);
  ASSERT_TRUE(process);
  process->wait();
  EXPECT_FALSE(fs::exists(file("cleaned")));
  EXPECT_TRUE(read_end(file("record")));
}

TEST_F(Minded, WritesDownHowItEnded) {
  auto process = MindedProcess::start(
      shell("echo out; i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; exit 3"), minding());
  ASSERT_TRUE(process) << process.error().message;
  process->wait();
  EXPECT_FALSE(is_minded(file("record")));
  EXPECT_TRUE(was_minded(file("record")));
  EXPECT_FALSE(was_minded(file("none")));
  auto end = read_end(file("record"));
  ASSERT_TRUE(end);
  EXPECT_EQ(end->exit.status, 3);
  EXPECT_EQ(end->stopped, StopCause::kNone);
  EXPECT_GT(end->exit.user_seconds + end->exit.system_seconds, 0);
  EXPECT_GT(end->exit.max_resident_bytes, 100'000u);
  EXPECT_GT(end->seconds, 0);
  EXPECT_EQ(read_file(file("log")).value(), "out\n");
}

TEST_F(Minded, KeepsSecretsOutOfTheOutputAlsoWhenItsStarterIsKilled) {
  ASSERT_EQ(mkfifo(file("fifo").c_str(), 0600), 0);
  Minding masked = minding();
  masked.secrets = {"hunter22"};
  start_and_die("printf 'a hunter22 b hun'; read line < fifo; printf 'ter22\\n'; printf hunter", masked);
  auto found = MindedProcess::find(file("record"));
  ASSERT_TRUE(found && *found);
  [[maybe_unused]] int done = std::system(("echo go > " + file("fifo").string()).c_str());
  (*found)->wait();
  EXPECT_EQ(read_file(file("log")).value(), "a *** b ***\nhunter");
}

TEST_F(Minded, MoreOutputThanAPipeHoldsIsMaskedToItsEnd) {
  Minding masked = minding();
  masked.secrets = {"hunter22"};
  auto process = MindedProcess::start(
      shell("i=0; while [ $i -lt 20000 ]; do echo line $i hunter22; i=$((i+1)); done"), masked);
  ASSERT_TRUE(process) << process.error().message;
  process->wait();
  std::string log = read_file(file("log")).value();
  EXPECT_THAT(log, testing::StartsWith("line 0 ***\n"));
  EXPECT_THAT(log, testing::EndsWith("line 19999 ***\n"));
  EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 20000);
}

TEST_F(Minded, AProcessThatClosesItsMaskedOutputIsStillWaitedFor) {
  Minding masked = minding();
  masked.secrets = {"hunter22"};
  auto process = MindedProcess::start(shell("exec >&- 2>&-; sleep 0.05; exit 4"), masked);
  ASSERT_TRUE(process) << process.error().message;
  process->wait();
  EXPECT_EQ(read_end(file("record"))->exit.status, 4);
}

TEST_F(Minded, NamesWhatCannotBeStarted) {
  EXPECT_THAT(MindedProcess::start({.argv = {"no-such-program"}}, minding()).error().message,
              testing::HasSubstr("no-such-program"));
  auto absent = MindedProcess::start({.argv = {"true"}, .working_dir = file("absent")}, minding());
  ASSERT_FALSE(absent);
  EXPECT_THAT(absent.error().message, testing::HasSubstr("absent"));
  EXPECT_FALSE(fs::exists(file("record")));
}

TEST_F(Minded, SaysAtItsEndThatItsProgramCouldNotBeExecuted) {
  auto text = MindedProcess::start({.argv = {"/etc/passwd"}}, minding());
  ASSERT_TRUE(text) << text.error().message;
  text->wait();
  EXPECT_EQ(read_end(file("record"))->start_errno, EACCES);
  EXPECT_FALSE(was_minded(file("record")));
}

TEST_F(Minded, GoesOnWhenItsStarterIsKilledAndIsFoundByItsRecord) {
  ASSERT_EQ(mkfifo(file("fifo").c_str(), 0600), 0);
  start_and_die("read line < fifo; exit 7", minding());
  ASSERT_TRUE(is_minded(file("record")));
  auto found = MindedProcess::find(file("record"));
  ASSERT_TRUE(found) << found.error().message;
  ASSERT_TRUE(*found);
  EXPECT_FALSE((*found)->has_ended());
  EXPECT_FALSE(read_end(file("record")));
  [[maybe_unused]] int done = std::system(("echo go > " + file("fifo").string()).c_str());
  (*found)->wait();
  EXPECT_EQ(read_end(file("record"))->exit.status, 7);
  EXPECT_FALSE(MindedProcess::find(file("record")).value());
  EXPECT_FALSE(MindedProcess::find(file("none")).value());
}

TEST_F(Minded, AnAdoptedOneCanBeStopped) {
  start_and_die("sleep 1000 & echo $! > pid; wait", minding());
  pid_t grandchild = pid_in("pid");
  auto found = MindedProcess::find(file("record")).value();
  ASSERT_TRUE(found);
  found->stop();
  found->wait();
  EXPECT_FALSE(alive(grandchild));
  EXPECT_EQ(read_end(file("record"))->stopped, StopCause::kAsked);
}

TEST_F(Minded, EndsWithItsStarterWhenItShould) {
  start_and_die("sleep 1000 & echo $! > pid; wait", minding(Minding::Survival::kEndsWithStarter));
  wait_until([&] { return !is_minded(file("record")); });
  auto pid = read_file(file("pid"));
  if (pid && pid->ends_with("\n")) {
    EXPECT_FALSE(alive(std::atoi(pid->c_str())));
  }
}

TEST_F(Minded, StopReachesAllAndKillsWhoIgnoresIt) {
  Minding quick = minding();
  quick.grace = 20ms;
  auto process = MindedProcess::start(
      shell("trap '' TERM; (trap '' TERM; echo $$ > pid; while :; do sleep 0.01; done)"), quick);
  pid_t pid = pid_in("pid");
  process->stop();
  process->wait();
  EXPECT_FALSE(alive(pid));
  EXPECT_EQ(read_end(file("record"))->exit.signal, SIGKILL);
}

TEST_F(Minded, AStopIsCarriedOutThoughTheStarterEndsMeanwhile) {
  Minding quick = minding();
  quick.grace = 20ms;
  start_and_die("trap '' TERM; echo $$ > pid; while :; do sleep 0.01; done", quick);
  pid_t pid = pid_in("pid");
  pid_t stopper = fork();
  if (stopper == 0) {
    MindedProcess::find(file("record")).value()->stop();
    kill(getpid(), SIGKILL);
  }
  waitpid(stopper, nullptr, 0);
  wait_until([&] { return !alive(pid); });
}

TEST_F(Minded, ATimeoutHoldsWithoutAStarter) {
  Minding timed = minding();
  timed.timeout = 30ms;
  start_and_die("sleep 1000 & echo $! > pid; wait", timed);
  wait_until([&] { return !is_minded(file("record")); });
  EXPECT_EQ(read_end(file("record"))->stopped, StopCause::kTimeout);
  EXPECT_EQ(read_end(file("record"))->exit.signal, SIGTERM);
}

TEST_F(Minded, LeavesNoProcessThatHasLeftItsGroup) {
  auto process = MindedProcess::start(
      shell("setsid sh -c 'echo $$ > pid; exec sleep 1000' & until [ -s pid ]; do sleep 0.01; done"),
      minding());
  process->wait();
  EXPECT_TRUE(read_end(file("record"))->exit.ok());
  EXPECT_FALSE(alive(pid_in("pid")));
}

TEST_F(Minded, DestroyingKillsIt) {
  pid_t grandchild = 0;
  {
    auto process = MindedProcess::start(shell("sleep 1000 & echo $! > pid; wait"), minding()).value();
    grandchild = pid_in("pid");
  }
  EXPECT_FALSE(alive(grandchild));
}

TEST_F(Minded, AMinderThatWasKilledLeavesNoRecordAndNoProcess) {
  auto process = MindedProcess::start(shell("sleep 1000 & echo $! > pid; wait"), minding()).value();
  pid_t grandchild = pid_in("pid");
  pid_t minder = 0;
  wait_until([&] {
    auto text = read_file(file("record"));
    if (text && text->ends_with("\n")) minder = std::atoi(text->c_str() + std::string("running ").size());
    return minder > 0;
  });
  kill(minder, SIGKILL);
  process.wait();
  EXPECT_FALSE(read_end(file("record")));
  {
    auto gone = std::move(process);
  }
  wait_until([&] { return !alive(grandchild); });
}

TEST_F(Minded, HoldsALockThatItsStarterTook) {
  struct flock lock{};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  Fd other = open_file(file("lock"), O_RDWR | O_CREAT).value();
  {
    Fd locked = open_file(file("lock"), O_RDWR).value();
    ASSERT_EQ(fcntl(locked.get(), F_OFD_SETLK, &lock), 0);
    Minding holding = minding();
    holding.keep_open = {locked.get()};
    start_and_die("echo $$ > pid; while [ ! -e go ]; do sleep 0.01; done", holding);
  }
  EXPECT_NE(fcntl(other.get(), F_OFD_SETLK, &lock), 0);
  ASSERT_TRUE(write_file_atomic(file("go"), "", Durable::no));
  wait_until([&] { return !is_minded(file("record")); });
  wait_until([&] { return fcntl(other.get(), F_OFD_SETLK, &lock) == 0; });
}

}  // namespace
}  // namespace tidemill
