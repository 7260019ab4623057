// A store whose process is killed while it writes must open clean and hold every write that was acknowledged.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <random>

#include "base/files.h"
#include "db/sqlite.h"
#include "tracking/store.h"

namespace tidemill::tracking {
namespace {

struct Report {
  int64_t step;
};

// The child: logs points one batch after the other and says so after each.
[[noreturn]] void write_until_killed(const fs::path& file, const std::string& run_id, int64_t first_step,
                                     int out) {
  auto store = Store::open({.uri = file, .default_artifact_root = ""});
  if (!store) _exit(1);
  for (int64_t step = first_step;; ++step) {
    Batch batch;
    for (int key = 0; key < 5; ++key)
      batch.metrics.push_back({"m" + std::to_string(key), 0.1 * static_cast<double>(step), step, step});
    batch.tags = {{"last", std::to_string(step)}};
    if (!store->log_batch(run_id, batch)) _exit(1);
    Report report{step};
    if (write(out, &report, sizeof report) != sizeof report) _exit(1);
  }
}

TEST(SqliteCrash, every_acknowledged_write_survives_kill_9) {
  TempDir folder = TempDir::create().value();
  fs::path file = folder.path() / "tidemill.db";
  std::string id;
  {
    Store store = Store::open({.uri = file, .default_artifact_root = ""}).value();
    id = store.create_run({}).value().info.id;
  }
  std::mt19937 random(std::random_device{}());
  int64_t acknowledged = -1;
  for (int round = 0; round < 20; ++round) {
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      close(ends[0]);
      write_until_killed(file, id, acknowledged + 1, ends[1]);
    }
    close(ends[1]);
    // Killed after a number of reports that nobody chose, at whatever it does then.
    int64_t until = static_cast<int64_t>(random() % 60);
    Report report{};
    bool killed = false;
    while (read(ends[0], &report, sizeof report) == sizeof report) {
      acknowledged = report.step;
      if (!killed && --until <= 0) {
        usleep(static_cast<useconds_t>(random() % 500));
        kill(child, SIGKILL);
        killed = true;
      }
    }
    close(ends[0]);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the child failed by itself";

    auto store = Store::open({.uri = file, .default_artifact_root = ""});
    ASSERT_TRUE(store) << store.error().message;
    auto points = store->metric_history(id, "m3").value().items;
    // All that was acknowledged, and perhaps the one that was on its way.
    ASSERT_GE(static_cast<int64_t>(points.size()), acknowledged + 1);
    ASSERT_LE(static_cast<int64_t>(points.size()), acknowledged + 2);
    for (size_t i = 0; i < points.size(); ++i) ASSERT_EQ(points[i].value, 0.1 * static_cast<double>(i));
    ASSERT_EQ(store->run(id).value().tag("last"), std::to_string(points.size() - 1));
    acknowledged = static_cast<int64_t>(points.size()) - 1;
  }
  auto check = db::open_sqlite({.file = file}).value();
  auto integrity = check->prepare("PRAGMA integrity_check").value();
  ASSERT_TRUE(integrity.step().value());
  EXPECT_EQ(integrity.text(0), "ok");
}

struct SmallDisk {
  fs::path path;
  bool mounted;
  explicit SmallDisk(const fs::path& at) : path(at) {
    fs::create_directory(at);
    mounted = ::mount("tmpfs", at.c_str(), "tmpfs", 0, "size=1m") == 0;
  }
  ~SmallDisk() {
    if (mounted) ::umount2(path.c_str(), MNT_DETACH);
  }
};

TEST(SqliteDiskFull, the_refused_batch_is_named_and_all_before_it_is_there) {
  TempDir folder = TempDir::create().value();
  SmallDisk disk(folder.path() / "small");
  if (!disk.mounted) GTEST_SKIP() << "mounting a small tmpfs needs root";
  Store store = Store::open({.uri = disk.path / "tidemill.db", .default_artifact_root = ""}).value();
  std::string id = store.create_run({}).value().info.id;
  std::mt19937_64 random(1);
  int64_t stored = 0;
  Result<> result;
  while (stored < 1'000'000) {
    Batch batch;
    for (int64_t i = 0; i < 500; ++i)
      batch.metrics.push_back({"m", static_cast<double>(random()) / 3, stored + i, stored + i});
    result = store.log_batch(id, batch);
    if (!result) break;
    stored += 500;
  }
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Code::kUnavailable);
  EXPECT_NE(result.error().message.find("tidemill.db"), std::string::npos) << result.error().message;
  EXPECT_GT(stored, 0);
  EXPECT_EQ(static_cast<int64_t>(store.metric_history(id, "m").value().items.size()), stored);
}

}  // namespace
}  // namespace tidemill::tracking
