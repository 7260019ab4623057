// kill -9 of the runner before and after each thing that it does to the outside: each write and flush of its
// store, each process that it starts, each file that it removes. However it goes, resuming loses no step and
// runs none twice. This program takes the place of the C library's functions to know when to strike. It tries
// some of these points; TIDEMILL_CRASH_POINTS=all tries every one, which takes minutes.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>

#include "base/text.h"
#include "engine/earlier.h"
#include "engine/engine_fixture.h"

namespace {

// In the runner: how many more points it may pass. Negative: these are not counted.
int points_left = -1;
// Passed by the latest runner, which shares this with the test.
int* points_passed = nullptr;

void strike() {
  if (points_left < 0) return;
  if (points_left-- == 0) ::kill(::getpid(), SIGKILL);
  ++*points_passed;
}

template <class Call>
auto between_strikes(Call call) {
  strike();
  auto result = call();
  strike();
  return result;
}

}  // namespace

extern "C" {
ssize_t pwrite64(int fd, const void* bytes, size_t size, off64_t offset) {
  return between_strikes([&] { return syscall(SYS_pwrite64, fd, bytes, size, offset); });
}
ssize_t pwrite(int fd, const void* bytes, size_t size, off_t offset) {
  return pwrite64(fd, bytes, size, offset);
}
int fdatasync(int fd) {
  return static_cast<int>(between_strikes([&] { return syscall(SYS_fdatasync, fd); }));
}
int unlink(const char* path) noexcept {
  return static_cast<int>(between_strikes([&] { return syscall(SYS_unlinkat, AT_FDCWD, path, 0); }));
}
int remove(const char* path) noexcept {
  int removed = unlink(path);
  return removed != 0 && errno == EISDIR ? rmdir(path) : removed;
}
pid_t fork() noexcept {
  static auto* real = reinterpret_cast<pid_t (*)()>(dlsym(RTLD_NEXT, "fork"));
  strike();
  pid_t pid = real();
  if (pid == 0) points_left = -1;  // only the runner is killed
  strike();
  return pid;
}
}

namespace tidemill::engine {
namespace {

using tracking::RunStatus;

constexpr int kEnough = 1'000'000;  // points: none of these runs passes as many
constexpr int kTried = 60;

constexpr const char* kPipeline = R"(name: p
steps:
  a: {project: a}
  b: {project: b, needs: [a], retry: {times: 1, delay: 0}}
  c: {project: c, needs: [a], cache: false}
  d: {project: d, needs: [b, c]}
)";

class Crash : public EngineTest {
 protected:
  void SetUp() override {
    EngineTest::SetUp();
    const std::string out = "echo 1 > $TIDEMILL_OUTPUT_DIR/out";
    add_step("a", "echo a >> ../ran; " + out);
    add_step("b", "echo b >> ../ran; if [ ! -e ../tried ]; then touch ../tried; exit 1; fi; " + out);
    add_step("c", "echo c >> ../ran; " + out);
    add_step("d", "echo d >> ../ran; " + out);
  }

  static void SetUpTestSuite() {
    points_passed = static_cast<int*>(
        mmap(nullptr, sizeof(int), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  }

  // The runner passes that many points and is killed, unless it comes to its end before.
  void run_up_to(int points, const std::string& earlier_run) {
    store_.reset();
    *points_passed = 0;
    pid_t runner = run_in_child([&] {
      open_store();
      set_up_options();
      pipeline::Plan made = plan(kPipeline);
      auto ignore = [](const Event&) {};
      points_left = points;
      auto outcome = earlier_run.empty() ? execute(made, *store_, options_, ignore)
                                         : resume(earlier_run, made, *store_, options_, ignore);
      points_left = -1;
      if (!outcome) fmt::print(stderr, "{}\n", outcome.error().message);
      return outcome && outcome->status == RunStatus::kFinished ? 0 : 1;
    });
    int status = 0;
    waitpid(runner, &status, 0);
    open_store();
    EXPECT_TRUE(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
  }
  void start_anew() {
    dir_ = TempDir::create().value();
    SetUp();
  }

  std::string pipeline_run() {
    auto experiment = store_->experiment_by_name("p");
    if (!experiment) return "";
    auto runs = store_->search_runs({.experiment_ids = {experiment->id}});
    for (const auto& run : runs->items)
      if (run.tag("mlflow.parentRunId").empty()) return run.info.id;
    return "";
  }

  void finish(const std::string& id) {
    if (store_->run(id)->info.status == RunStatus::kFinished) return;
    auto outcome = go_on(id, kPipeline);
    ASSERT_TRUE(outcome) << outcome.error().message;
    ASSERT_EQ(outcome->status, RunStatus::kFinished);
  }

  void expect_all_done_once(const std::string& id) {
    std::vector<std::string> ran = split(text_of("ran"), '\n');
    std::sort(ran.begin(), ran.end());
    EXPECT_THAT(ran, testing::ElementsAre("", "a", "b", "b", "c", "d"));
    const auto records = store_->step_records(id).value();
    for (const auto& record : records) EXPECT_EQ(record.state, "finished") << record.step;
    auto runs = store_->search_runs({.experiment_ids = {store_->run(id)->info.experiment_id}});
    for (const auto& run : runs->items) EXPECT_NE(run.info.status, RunStatus::kRunning) << run.info.name;
  }
};

TEST_F(Crash, WhereverTheRunnerIsKilledNoStepIsLostAndNoneRunsTwice) {
  run_up_to(kEnough, "");
  expect_all_done_once(pipeline_run());
  const int all = *points_passed;
  EXPECT_GT(all, 100);
  const char* wanted = std::getenv("TIDEMILL_CRASH_POINTS");
  const int tried = wanted != nullptr && std::string_view(wanted) == "all" ? all : kTried;
  for (int i = 0; i < tried && !HasFailure(); ++i) {
    const int points = i * all / tried;
    SCOPED_TRACE(fmt::format("killed after {} of {} points", points, all));
    start_anew();
    run_up_to(points, "");
    std::string id = pipeline_run();
    if (id.empty()) {
      EXPECT_EQ(text_of("ran"), "(missing)");
      continue;
    }
    // The one who goes on is killed, too.
    if (store_->run(id)->info.status != RunStatus::kFinished) run_up_to(points, id);
    finish(id);
    expect_all_done_once(id);
  }
}

}  // namespace
}  // namespace tidemill::engine
