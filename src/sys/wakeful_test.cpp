#include "sys/wakeful.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <filesystem>
#include <functional>
#include <optional>
#include <set>
#include <sstream>
#include <thread>
#include <vector>

#include "base/files.h"

namespace tidemill {
namespace {

constexpr int kIdleClass = 5;  // SCHED_IDLE
constexpr const char* kNoThread = "no thread of the class SCHED_IDLE may be had here";

std::set<std::string> threads() {
  std::set<std::string> all;
  for (const auto& entry : fs::directory_iterator("/proc/self/task")) all.insert(entry.path().filename());
  return all;
}

struct ThreadState {
  char state = '?';
  int scheduling_class = -1;
};

// proc(5), /proc/pid/stat: the fields 3 and 41. Nothing when it has ended.
std::optional<ThreadState> state_of(const std::string& thread) {
  auto text = read_file("/proc/self/task/" + thread + "/stat");
  if (!text) return std::nullopt;
  std::istringstream rest(text->substr(text->rfind(')') + 2));
  ThreadState found;
  std::string field;
  for (int number = 3; number <= 41 && rest >> field; ++number) {
    if (number == 3) found.state = field[0];
    if (number == 41) found.scheduling_class = std::stoi(field);
  }
  return found;
}

bool comes_true(const std::function<bool()>& condition) {
  auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

struct WakefulTest : testing::Test {
  std::set<std::string> before = threads();
  std::optional<Wakeful> wakeful{std::in_place, Wakeful::Clock::duration{}};

  std::string its_thread() {
    for (const std::string& thread : threads())
      if (!before.contains(thread)) return thread;
    return "";
  }
  bool sleeps() {
    return comes_true([&] {
      auto found = state_of(its_thread());
      return !found || (found->state == 'S' && found->scheduling_class == kIdleClass);
    });
  }
  bool may_have_thread() {
    {
      Wakeful::Wait first(*wakeful);
    }
    return sleeps() && !its_thread().empty();
  }
};

TEST_F(WakefulTest, NoThreadIsStartedBeforeTheFirstWait) { EXPECT_EQ(its_thread(), ""); }

// It would hold up the end of a short program.
TEST_F(WakefulTest, NoThreadIsStartedForAFewWaits) {
  wakeful.emplace(std::chrono::hours(1));
  for (int i = 0; i < 3; ++i) Wakeful::Wait wait(*wakeful);
  EXPECT_EQ(its_thread(), "");
}

TEST_F(WakefulTest, AThreadIsStartedOnceEnoughWasWaitedFor) {
  if (!may_have_thread()) GTEST_SKIP() << kNoThread;
  wakeful.reset();
  ASSERT_TRUE(comes_true([&] { return its_thread().empty(); }));
  wakeful.emplace(std::chrono::microseconds(100));
  EXPECT_TRUE(comes_true([&] {
    Wakeful::Wait wait(*wakeful);
    return !its_thread().empty();
  }));
}

TEST_F(WakefulTest, ItsThreadTakesOnlyIdleTimeAndSleepsBetweenWaits) {
  for (int i = 0; i < 100; ++i) Wakeful::Wait wait(*wakeful);
  EXPECT_TRUE(sleeps());
}

TEST_F(WakefulTest, ItsThreadGoesWhereOneWaits) {
  if (!may_have_thread()) GTEST_SKIP() << kNoThread;
  const pid_t thread = std::stoi(its_thread());
  EXPECT_TRUE(comes_true([&] {  // not with the first one when the machine is slow
    {
      Wakeful::Wait wait(*wakeful);
    }
    cpu_set_t where;
    return sched_getaffinity(thread, sizeof where, &where) == 0 && CPU_COUNT(&where) == 1;
  }));
}

TEST_F(WakefulTest, ALongWaitIsNotAccompaniedToItsEnd) {
  Wakeful::Wait wait(*wakeful);
  EXPECT_TRUE(sleeps());
}

TEST_F(WakefulTest, NothingIsLeftOfIt) {
  for (int i = 0; i < 50; ++i) {
    wakeful.emplace(Wakeful::Clock::duration{});
    Wakeful::Wait wait(*wakeful);
  }
  wakeful.reset();
  EXPECT_TRUE(comes_true([&] { return its_thread().empty(); }));
}

TEST_F(WakefulTest, OnABusyMachineItsOwnerEndsAtOnce) {
  std::atomic<bool> stop = false;
  std::vector<std::jthread> busy;
  for (unsigned i = 0; i < 2 * std::thread::hardware_concurrency(); ++i)
    busy.emplace_back([&stop] {
      while (!stop) {
      }
    });
  std::chrono::steady_clock::duration spent{};
  for (int i = 0; i < 10; ++i) {
    wakeful.emplace(Wakeful::Clock::duration{});
    {
      Wakeful::Wait wait(*wakeful);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    auto start = std::chrono::steady_clock::now();
    wakeful.reset();
    spent += std::chrono::steady_clock::now() - start;
  }
  stop = true;
  EXPECT_LT(spent, std::chrono::seconds(1));
}

}  // namespace
}  // namespace tidemill
