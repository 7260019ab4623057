#include "tracking/metric_history.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "base/files.h"
#include "db/location.h"
#include "test_database.h"

namespace tidemill::tracking {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

struct MetricHistoryTest : testing::Test {
  TempDir folder = TempDir::create().value();
  std::string uri = test::new_database(folder.path() / "t.db");
  Store store = Store::open({.uri = uri, .default_artifact_root = "a"}).value();
  std::string run = store.create_run({}).value().info.id;
  MetricHistory histories{store};

  void log(std::vector<Metric> points) {
    for (size_t at = 0; at < points.size(); at += 1000) {
      auto end = points.begin() + static_cast<ptrdiff_t>(std::min(points.size(), at + 1000));
      ASSERT_TRUE(store.log_batch(
          run, {.metrics = {points.begin() + static_cast<ptrdiff_t>(at), end}, .params = {}, .tags = {}}));
    }
  }
  // A noisy curve; the timestamp of step i is 1000 + i.
  static std::vector<Metric> curve(size_t count) {
    std::mt19937 random(7);
    std::vector<Metric> points;
    for (size_t i = 0; i < count; ++i)
      points.push_back({"m", static_cast<double>(random() % 1000) / 1000, 1000 + static_cast<int64_t>(i),
                        static_cast<int64_t>(i)});
    return points;
  }
  std::vector<Point> sampled(size_t max_points, std::optional<PointRange> range = {}) {
    auto found = histories.sampled({run}, "m", max_points, range);
    EXPECT_TRUE(found) << found.error().message;
    return found && !found->empty() ? found->front().points : std::vector<Point>();
  }
  std::vector<Metric> paged(int64_t page_size) {
    std::vector<Metric> all;
    std::string token;
    do {
      auto page = store.metric_history(run, "m", page_size, token).value();
      EXPECT_LE(page.items.size(), static_cast<size_t>(page_size));
      all.insert(all.end(), page.items.begin(), page.items.end());
      token = page.next_page_token;
    } while (!token.empty());
    return all;
  }
};

void expect_same(const std::vector<Metric>& a, const std::vector<Metric>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    ASSERT_EQ(a[i].step, b[i].step) << i;
    ASSERT_EQ(a[i].value, b[i].value) << i;
  }
}

TEST_F(MetricHistoryTest, pages_of_every_size_join_to_the_whole_history) {
  std::vector<Metric> points = curve(3000);
  log(points);
  for (int64_t size : {1000, 999, 337, 250, 3000, 4000}) expect_same(paged(size), points);
  EXPECT_TRUE(store.metric_history(run, "m", 10, "eyJvZmZzZXQiOiA5OTk5OX0=").value().items.empty());
}

TEST_F(MetricHistoryTest, points_that_come_late_are_paged_in_their_place) {
  std::vector<Metric> points = curve(2000);
  std::vector<Metric> shuffled = points;
  std::rotate(shuffled.begin(), shuffled.begin() + 1500, shuffled.end());  // chunks out of order
  log(shuffled);
  expect_same(paged(300), points);
  log({points[3], points[1999]});  // logged twice
  expect_same(paged(300), points);
}

TEST_F(MetricHistoryTest, a_late_point_in_the_open_chunk_is_paged_in_its_place) {
  std::vector<Metric> points = curve(1001);
  Metric late = points[5];
  points.erase(points.begin() + 5);
  log(points);
  log({late});
  points.insert(points.begin() + 5, late);
  expect_same(paged(100), points);
}

TEST_F(MetricHistoryTest, short_metrics_are_sampled_evenly_by_rank) {
  log(curve(10));
  EXPECT_EQ(sampled(10).size(), 10u);
  EXPECT_EQ(sampled(2500).size(), 10u);
  auto steps = [&](size_t max_points, std::optional<PointRange> range = {}) {
    std::vector<int64_t> all;
    for (const Point& point : sampled(max_points, range)) all.push_back(point.step);
    return all;
  };
  // SQL's NTILE(4) of ten rows: 3, 3, 2, 2; the last row takes the place of the last sample.
  EXPECT_THAT(steps(4), testing::ElementsAre(0, 3, 6, 9));
  EXPECT_THAT(steps(1), testing::ElementsAre(9));
  EXPECT_THAT(steps(2), testing::ElementsAre(0, 9));
  EXPECT_THAT(steps(3, PointRange{2, 7}), testing::ElementsAre(2, 4, 7));
  EXPECT_THAT(steps(3, PointRange{90, 99}), testing::IsEmpty());
}

TEST_F(MetricHistoryTest, points_of_one_step_do_not_crowd_out_the_others) {
  std::vector<Metric> points;
  for (int i = 0; i < 5000; ++i) points.push_back({"m", i * 1.0, i, 0});
  log(points);
  auto kept = sampled(100);
  EXPECT_EQ(kept.size(), 100u);
  EXPECT_EQ(kept.front().value, 0);
  EXPECT_EQ(kept.back().value, 4999);
}

TEST_F(MetricHistoryTest, the_outline_of_a_long_metric_loses_no_peak) {
  std::vector<Metric> points = curve(60'000);
  points[31'234].value = 1e6;
  points[45'678].value = -1e6;
  points[12'345].value = kNan;
  log(points);
  auto kept = sampled(100);
  EXPECT_LE(kept.size(), 100u);
  EXPECT_GE(kept.size(), 90u);
  EXPECT_EQ(kept.front().step, 0);
  EXPECT_EQ(kept.back().step, 59'999);
  auto [low, high] = std::minmax_element(kept.begin(), kept.end(),
                                         [](const Point& a, const Point& b) { return a.value < b.value; });
  EXPECT_EQ(low->step, 45'678);
  EXPECT_EQ(high->step, 31'234);
  EXPECT_TRUE(std::is_sorted(kept.begin(), kept.end(),
                             [](const Point& a, const Point& b) { return a.step < b.step; }));
  for (const Point& point : kept) EXPECT_EQ(points[static_cast<size_t>(point.step)].value, point.value);
  ASSERT_TRUE(store.update_run({.run_id = run, .status = RunStatus::kFinished, .end_time = {}, .name = {}}));
  EXPECT_EQ(sampled(100).back().step, 59'999) << "the end of the run moved its newest points";
}

TEST_F(MetricHistoryTest, a_window_of_a_long_metric_has_nothing_from_outside) {
  log(curve(60'000));
  for (PointRange range :
       {PointRange{100, 58'000}, PointRange{5000, 30'011}, PointRange{77, 78}, PointRange{0, 59'999}}) {
    auto kept = sampled(50, range);
    ASSERT_FALSE(kept.empty());
    EXPECT_LE(kept.size(), 50u);
    EXPECT_EQ(kept.front().step, range.first);
    EXPECT_EQ(kept.back().step, range.last);
  }
}

TEST_F(MetricHistoryTest, a_long_metric_out_of_order_is_sampled_too) {
  std::vector<Metric> points = curve(30'000);
  std::reverse(points.begin(), points.end());
  log(points);
  auto kept = sampled(10);
  ASSERT_EQ(kept.size(), 10u);
  EXPECT_EQ(kept.front().step, 0);
  EXPECT_EQ(kept[1].step, 3000);
  EXPECT_EQ(kept.back().step, 29'999);
}

TEST_F(MetricHistoryTest, chunks_of_an_older_program_are_read_without_summaries) {
  std::vector<Metric> points = curve(30'000);
  log({points.begin(), points.begin() + 15'000});
  {
    auto connection = db::open(db::parse_location(uri).value()).value();
    auto transaction = db::Transaction::begin(*connection, db::TransactionMode::kWrite).value();
    ASSERT_TRUE(connection->run("DELETE FROM metric_summaries"));
    ASSERT_TRUE(transaction.commit());
  }
  log({points.begin() + 15'000, points.end()});
  expect_same(paged(25'000), points);
  EXPECT_EQ(sampled(10)[1].step, 3000);
}

TEST_F(MetricHistoryTest, damaged_summaries_are_named) {
  log(curve(3000));
  {
    auto connection = db::open(db::parse_location(uri).value()).value();
    ASSERT_TRUE(connection->run("UPDATE metric_summaries SET data = ?", db::Blob{"\x01\x02"}));
  }
  auto found = histories.sampled({run}, "m", 10, {});
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, Code::kInternal);
  EXPECT_THAT(found.error().message, testing::HasSubstr("damaged metric summaries"));
}

TEST_F(MetricHistoryTest, histories_of_many_runs_share_the_limit) {
  log(curve(10));
  std::string other = store.create_run({}).value().info.id;
  ASSERT_TRUE(store.log_metric(other, {"m", 5, 1, 0}));
  auto found = histories.of_runs({run, other, run, "none"}, "m", 100).value();
  ASSERT_EQ(found.size(), 2u);
  EXPECT_LT(found[0].run_id, found[1].run_id);
  EXPECT_EQ(found[0].points.size() + found[1].points.size(), 11u);
  auto limited = histories.of_runs({run, other}, "m", 4).value();
  size_t kept = 0;
  for (const auto& history : limited) kept += history.points.size();
  EXPECT_EQ(kept, 4u);
  EXPECT_TRUE(histories.of_runs({run}, "no such metric", 4).value().empty());
  EXPECT_EQ(histories.sampled({"none"}, "m", 10, {}).error().code, Code::kNotFound);
}

}  // namespace
}  // namespace tidemill::tracking
