// How fast the tracking store takes points and answers searches, beside a plain table with a row for every
// point and a commit for every batch, on the same disk.
#include <sqlite3.h>

#include <cmath>
#include <cstdlib>
#include <random>
#include <thread>

#include "arguments.h"
#include "base/files.h"
#include "base/time.h"
#include "tracking/store.h"

using namespace tidemill;
using namespace tidemill::tracking;

namespace {

constexpr int kThreads = 4;
constexpr size_t kBatch = 500;
constexpr int kKeys = 5;
constexpr int kRuns = 1000;

[[noreturn]] void give_up(std::string_view what, std::string_view why) {
  fmt::print(stderr, "{}: {}\n", what, why);
  std::exit(1);
}

template <class T>
T need(Result<T> result) {
  if (!result) give_up("store", result.error().message);
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

// Batches of a training loop: five metrics a step, single-precision values, a step every 20 to 26 ms.
std::vector<std::vector<Metric>> batches(size_t points, unsigned seed) {
  std::mt19937_64 random(seed);
  std::vector<std::vector<Metric>> out;
  int64_t timestamp = 1'700'000'000'000;
  for (size_t i = 0; i < points; ++i) {
    if (i % kBatch == 0) out.emplace_back();
    auto step = static_cast<int64_t>(i / kKeys);
    if (i % kKeys == 0) timestamp += 20 + static_cast<int64_t>(random() % 7);
    float noise = static_cast<float>(random() % 100'000) / 100'000.0F;
    float value = 2.3F / (1 + 0.001F * static_cast<float>(step)) + 0.1F * noise;
    out.back().push_back({"metric_" + std::to_string(i % kKeys), value, timestamp, step});
  }
  return out;
}

uint64_t bytes_of(const fs::path& file) {
  uint64_t bytes = 0;
  for (const char* suffix : {"", "-wal"})
    if (fs::exists(file.string() + suffix)) bytes += fs::file_size(file.string() + suffix);
  return bytes;
}

struct Figures {
  double points_per_second = 0;
  double bytes_per_point = 0;
};

// Calls write(thread, batch) for all batches, a thread for each run.
template <class Write>
double seconds_to_write(const std::vector<std::vector<std::vector<Metric>>>& work, Write write) {
  Stopwatch watch;
  std::vector<std::thread> threads;
  for (size_t t = 0; t < work.size(); ++t)
    threads.emplace_back([&, t] {
      for (const auto& batch : work[t]) write(t, batch);
    });
  for (auto& thread : threads) thread.join();
  return watch.seconds();
}

Figures bench_store(const fs::path& file, const std::vector<std::vector<std::vector<Metric>>>& work,
                    double points) {
  double seconds;
  {
    Store store = need(Store::open({.uri = file, .default_artifact_root = ""}));
    std::vector<std::string> runs;
    for (int t = 0; t < kThreads; ++t) runs.push_back(need(store.create_run({})).info.id);
    seconds = seconds_to_write(work, [&](size_t t, const std::vector<Metric>& batch) {
      need(store.log_batch(runs[t], {.metrics = batch, .params = {}, .tags = {}}));
    });
    for (const auto& run : runs)
      need(store.update_run({.run_id = run, .status = RunStatus::kFinished, .end_time = {}, .name = {}}));
  }
  return {points / seconds, static_cast<double>(bytes_of(file)) / points};
}

// The rival: as good as one table can be made. Write-ahead log, full durability, prepared statements.
class RowPerPoint {
 public:
  explicit RowPerPoint(const fs::path& file) {
    if (sqlite3_open(file.c_str(), &handle_) != SQLITE_OK) give_up(file.string(), sqlite3_errmsg(handle_));
    execute(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
        "CREATE TABLE metrics (key TEXT NOT NULL, value REAL NOT NULL, timestamp INTEGER NOT NULL, run TEXT "
        "NOT NULL,"
        "step INTEGER NOT NULL, is_nan INTEGER NOT NULL, PRIMARY KEY (key, timestamp, step, run, value, "
        "is_nan));"
        "CREATE INDEX metrics_by_run ON metrics (run, key, step);"
        "CREATE TABLE latest_metrics (key TEXT NOT NULL, value REAL, timestamp INTEGER, step INTEGER, is_nan "
        "INTEGER,"
        "run TEXT NOT NULL, PRIMARY KEY (key, run))");
    insert_ = prepare("INSERT OR IGNORE INTO metrics VALUES (?1, ?2, ?3, ?4, ?5, 0)");
    latest_ = prepare(
        "INSERT INTO latest_metrics VALUES (?1, ?2, ?3, ?5, 0, ?4) ON CONFLICT (key, run) DO UPDATE SET "
        "value = excluded.value, timestamp = excluded.timestamp, step = excluded.step "
        "WHERE excluded.step >= step");
  }
  ~RowPerPoint() {
    sqlite3_finalize(insert_);
    sqlite3_finalize(latest_);
    sqlite3_close(handle_);
  }
  RowPerPoint(const RowPerPoint&) = delete;
  RowPerPoint& operator=(const RowPerPoint&) = delete;

  void write(const std::string& run, const std::vector<Metric>& batch) {
    std::lock_guard lock(mutex_);
    execute("BEGIN IMMEDIATE");
    for (const Metric& metric : batch) step(insert_, run, metric);
    for (size_t i = batch.size() - kKeys; i < batch.size(); ++i) step(latest_, run, batch[i]);
    execute("COMMIT");
  }

 private:
  void execute(const char* sql) {
    if (sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr) != SQLITE_OK)
      give_up(sql, sqlite3_errmsg(handle_));
  }
  sqlite3_stmt* prepare(const char* sql) {
    sqlite3_stmt* statement = nullptr;
    if (sqlite3_prepare_v2(handle_, sql, -1, &statement, nullptr) != SQLITE_OK)
      give_up(sql, sqlite3_errmsg(handle_));
    return statement;
  }
  void step(sqlite3_stmt* statement, const std::string& run, const Metric& metric) {
    sqlite3_bind_text(statement, 1, metric.key.data(), static_cast<int>(metric.key.size()), SQLITE_STATIC);
    sqlite3_bind_double(statement, 2, metric.value);
    sqlite3_bind_int64(statement, 3, metric.timestamp);
    sqlite3_bind_text(statement, 4, run.data(), static_cast<int>(run.size()), SQLITE_STATIC);
    sqlite3_bind_int64(statement, 5, metric.step);
    if (sqlite3_step(statement) != SQLITE_DONE) give_up("insert", sqlite3_errmsg(handle_));
    sqlite3_reset(statement);
  }

  sqlite3* handle_ = nullptr;
  sqlite3_stmt* insert_ = nullptr;
  sqlite3_stmt* latest_ = nullptr;
  std::mutex mutex_;
};

Figures bench_rows(const fs::path& file, const std::vector<std::vector<std::vector<Metric>>>& work,
                   double points) {
  double seconds;
  {
    RowPerPoint rival(file);
    seconds = seconds_to_write(work, [&](size_t t, const std::vector<Metric>& batch) {
      rival.write("0123456789abcdef0123456789abcde" + std::to_string(t), batch);
    });
  }
  return {points / seconds, static_cast<double>(bytes_of(file)) / points};
}

template <class Work>
double median_ms(int rounds, Work work) {
  std::vector<double> times;
  for (int i = 0; i < rounds; ++i) {
    Stopwatch watch;
    work();
    times.push_back(watch.seconds() * 1000);
  }
  std::nth_element(times.begin(), times.begin() + rounds / 2, times.end());
  return times[static_cast<size_t>(rounds / 2)];
}

// Runs with ten metrics, parameters and tags each.
void fill_runs(Store& store, int count) {
  std::mt19937_64 random(3);
  for (int i = 0; i < count; ++i) {
    CreateRun create;
    create.start_time = 1'700'000'000'000 + i;
    std::string id = need(store.create_run(create)).info.id;
    Batch batch;
    for (int k = 0; k < 10; ++k) {
      batch.metrics.push_back({"metric_" + std::to_string(k), static_cast<double>(random() % 1000), i, k});
      batch.params.emplace_back("param_" + std::to_string(k), std::to_string(random() % 10));
      if (k > 0) batch.tags.emplace_back("tag_" + std::to_string(k), std::to_string(random() % 10));
    }
    need(store.log_batch(id, batch));
  }
}

void bench_search(const fs::path& file) {
  Store store = need(Store::open({.uri = file, .default_artifact_root = ""}));
  Stopwatch watch;
  fill_runs(store, kRuns);
  fmt::print("create a run + log 29 entries, one client          {:10.0f} runs/s\n", kRuns / watch.seconds());
  SearchRuns all;
  all.experiment_ids = {"0"};
  fmt::print("search: all {} runs with their data             {:10.2f} ms\n", kRuns,
             median_ms(21, [&] { need(store.search_runs(all)); }));
  SearchRuns best = all;
  best.filter = "metrics.metric_3 > 200 AND params.param_1 != '4'";
  best.order_by = {"metrics.metric_3 DESC"};
  best.max_results = 100;
  fmt::print("search: filter and order by a metric, best 100     {:10.2f} ms\n",
             median_ms(21, [&] { need(store.search_runs(best)); }));
}

}  // namespace

int main(int argc, char** argv) {
  std::string parent;
  size_t per_thread = 500'000;
  bench::read_arguments(
      argc, argv,
      {.measures =
           "How fast the tracking store takes points and answers searches, and what a point takes on disk,\n"
           "beside a plain table with a row for every point.",
       .arguments = {{"FOLDER", &parent, "Whose disk is measured (default: the folder for temporary files)"},
                     {"POINTS", &per_thread, fmt::format("Points of each of the {} threads", kThreads),
                      kBatch}},
       .examples = {"store_bench", "store_bench . 200000"}});
  per_thread -= per_thread % kBatch;
  TempDir folder = need(TempDir::create(parent));
  std::vector<std::vector<std::vector<Metric>>> work;
  for (unsigned t = 0; t < kThreads; ++t) work.push_back(batches(per_thread, t));
  double points = static_cast<double>(per_thread) * kThreads;
  fmt::print("{} threads, batches of {} points, {} points, every batch on disk before its call returns\n\n",
             kThreads, kBatch, points);
  Figures ours = bench_store(folder.path() / "tidemill.db", work, points);
  Figures rows = bench_rows(folder.path() / "rows.db", work, points);
  fmt::print("{:38}{:>12}{:>16}{:>9}\n", "", "Tidemill", "row per point", "ratio");
  fmt::print("{:38}{:12.0f}{:16.0f}{:8.1f}x\n", "durable points/s", ours.points_per_second,
             rows.points_per_second, ours.points_per_second / rows.points_per_second);
  fmt::print("{:38}{:12.2f}{:16.2f}{:8.1f}x\n\n", "bytes a point on disk", ours.bytes_per_point,
             rows.bytes_per_point, rows.bytes_per_point / ours.bytes_per_point);
  bench_search(folder.path() / "search.db");
}
