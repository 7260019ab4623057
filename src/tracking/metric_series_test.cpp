#include "tracking/metric_series.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "base/files.h"
#include "test_database.h"

namespace tidemill::tracking {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

struct MetricSeriesTest : testing::Test {
  TempDir folder = TempDir::create().value();
  Store store =
      Store::open({.uri = test::new_database(folder.path() / "t.db"), .default_artifact_root = "a"}).value();
  std::string run = add_run();

  std::string add_run() {
    CreateRun create;
    create.start_time = 1000;
    return store.create_run(create).value().info.id;
  }
  void log(const std::vector<Metric>& points) {
    for (size_t at = 0; at < points.size(); at += 1000) {
      auto end = points.begin() + static_cast<ptrdiff_t>(std::min(points.size(), at + 1000));
      ASSERT_TRUE(store.log_batch(
          run, {.metrics = {points.begin() + static_cast<ptrdiff_t>(at), end}, .params = {}, .tags = {}}));
    }
  }
  // Noise; the timestamp of step i is 1000 + 10 i.
  static std::vector<Metric> noise(size_t count) {
    std::mt19937 random(3);
    std::vector<Metric> points;
    for (size_t i = 0; i < count; ++i)
      points.push_back({"m", static_cast<double>(random() % 100'000), 1000 + 10 * static_cast<int64_t>(i),
                        static_cast<int64_t>(i)});
    return points;
  }
  Series series(size_t points, Axis axis = Axis::kStep, std::optional<PointRange> range = {}) {
    auto all =
        read_series(store, {.run_ids = {run}, .keys = {"m"}, .points = points, .axis = axis, .range = range});
    EXPECT_TRUE(all) << all.error().message;
    return all && !all->series.empty() ? std::move(all->series.front()) : Series();
  }
  // Each stretch must say of its points, those up to its x, what they say themselves.
  static void expect_right(const Series& series, const std::vector<Metric>& points, size_t first = 0) {
    size_t at = first;
    for (size_t i = 0; i < series.x.size(); ++i) {
      double lowest = points[at].value, highest = points[at].value;
      for (; at < points.size() && points[at].step <= series.x[i]; ++at) {
        lowest = std::min(lowest, points[at].value);
        highest = std::max(highest, points[at].value);
      }
      ASSERT_EQ(series.lowest[i], lowest) << i;
      ASSERT_EQ(series.highest[i], highest) << i;
      ASSERT_EQ(series.last[i], points[at - 1].value) << i;
    }
    EXPECT_EQ(series.count, at - first) << "each point in one stretch";
  }
};

TEST_F(MetricSeriesTest, short_lines_come_point_by_point) {
  log({{"m", 5, 1010, 0}, {"m", kNan, 1020, 1}, {"m", 7, 1030, 7}});
  Series found = series(3);
  EXPECT_EQ(found.run_id, run);
  EXPECT_EQ(found.key, "m");
  EXPECT_EQ(found.count, 3u);
  EXPECT_THAT(found.x, ElementsAre(0, 1, 7));
  EXPECT_THAT(found.last, ElementsAre(5, testing::IsNan(), 7));
  EXPECT_THAT(found.lowest, IsEmpty());
  EXPECT_THAT(found.highest, IsEmpty());
}

TEST_F(MetricSeriesTest, time_and_relative_time_are_axes_too) {
  log({{"m", 5, 3000, 9}, {"m", 6, 2000, 10}});
  EXPECT_THAT(series(10).last, ElementsAre(5, 6));
  EXPECT_THAT(series(10, Axis::kTime).x, ElementsAre(2000, 3000));
  EXPECT_THAT(series(10, Axis::kTime).last, ElementsAre(6, 5));
  EXPECT_THAT(series(10, Axis::kRelative).x, ElementsAre(1000, 2000));
  EXPECT_THAT(series(10, Axis::kRelative, PointRange{1500, 2500}).x, ElementsAre(2000));
  EXPECT_THAT(series(10, Axis::kRelative, PointRange{1500, std::numeric_limits<int64_t>::max()}).x,
              ElementsAre(2000));
}

TEST_F(MetricSeriesTest, more_points_than_asked_for_become_stretches_of_equal_width) {
  log({{"m", 5, 1, 0}, {"m", 1, 2, 1}, {"m", 3, 3, 2}, {"m", 8, 4, 3}, {"m", 2, 5, 99}});
  Series found = series(2);
  EXPECT_THAT(found.x, ElementsAre(3, 99));
  EXPECT_THAT(found.lowest, ElementsAre(1, 2));
  EXPECT_THAT(found.highest, ElementsAre(8, 2));
  EXPECT_THAT(found.last, ElementsAre(8, 2));
  EXPECT_THAT(series(1).x, ElementsAre(99));
  EXPECT_THAT(series(4).x, ElementsAre(3, 99)) << "stretches without points are left out";
}

TEST_F(MetricSeriesTest, nan_is_no_extreme_unless_there_is_nothing_else) {
  log({{"m", kNan, 1, 0}, {"m", kNan, 2, 1}, {"m", 4, 3, 10}, {"m", kNan, 4, 11}});
  Series found = series(2);
  EXPECT_THAT(found.lowest, ElementsAre(testing::IsNan(), 4));
  EXPECT_THAT(found.highest, ElementsAre(testing::IsNan(), 4));
  EXPECT_THAT(found.last, ElementsAre(testing::IsNan(), testing::IsNan()));
}

TEST_F(MetricSeriesTest, stretches_of_long_lines_miss_no_point) {
  std::vector<Metric> points = noise(60'000);
  log(points);
  for (size_t count : {size_t{1}, size_t{10}, size_t{100}, size_t{777}, size_t{10'000}}) {
    Series found = series(count);
    EXPECT_LE(found.x.size(), count);
    EXPECT_EQ(found.x.back(), 59'999);
    expect_right(found, points);
  }
  EXPECT_GT(series(100).x.size(), 90u);
  Series by_time = series(100, Axis::kTime);
  EXPECT_EQ(by_time.x.back(), 1000 + 10 * 59'999);
  EXPECT_EQ(by_time.count, 60'000u);
}

TEST_F(MetricSeriesTest, a_zoom_shows_its_range_and_nothing_else) {
  std::vector<Metric> points = noise(60'000);
  log(points);
  for (PointRange range :
       {PointRange{5000, 50'000}, PointRange{12'345, 12'355}, PointRange{30'000, 90'000}}) {
    Series found = series(50, Axis::kStep, range);
    if (!found.lowest.empty()) expect_right(found, points, static_cast<size_t>(range.first));
    EXPECT_EQ(found.x.back(), std::min<int64_t>(range.last, 59'999));
    EXPECT_EQ(found.count, static_cast<size_t>(std::min<int64_t>(range.last, 59'999) - range.first + 1));
  }
  EXPECT_TRUE(series(50, Axis::kStep, PointRange{70'000, 80'000}).x.empty());
}

TEST_F(MetricSeriesTest, points_out_of_order_are_put_in_order) {
  std::vector<Metric> points = noise(30'000);
  std::vector<Metric> reversed(points.rbegin(), points.rend());
  log(reversed);
  expect_right(series(100), points);
}

TEST_F(MetricSeriesTest, many_lines_come_in_one_answer_without_those_that_are_empty) {
  std::string first = run;
  log({{"m", 1, 1, 0}, {"n", 2, 1, 0}});
  run = add_run();
  log({{"n", 3, 1, 0}});
  auto found = read_series(store, {.run_ids = {run, first}, .keys = {"n", "m", "none"}})->series;
  ASSERT_EQ(found.size(), 3u);
  EXPECT_EQ(found[0].run_id, run);
  EXPECT_EQ(found[1].run_id, first);
  EXPECT_EQ(found[1].key, "n");
  EXPECT_EQ(found[2].key, "m");
}

TEST_F(MetricSeriesTest, what_one_answer_cannot_hold_is_refused) {
  auto error = [&](const SeriesQuery& query) { return read_series(store, query).error().message; };
  EXPECT_EQ(error({.run_ids = {run}, .keys = {"m"}, .points = 0}),
            "A line has from 1 to 10000 points, and 0 were asked for");
  std::vector<std::string> many(101, "x");
  EXPECT_EQ(error({.run_ids = many, .keys = many}),
            "101 metrics of 101 runs are more than the 10000 lines that one answer holds");
  EXPECT_TRUE(read_series(store, {.run_ids = many, .keys = {"m"}, .points = 10'000}));
  many.assign(300, "x");
  EXPECT_EQ(
      error({.run_ids = many, .keys = {"m"}, .points = 10'000}),
      "10000 points for each of 300 lines are more than the 2000000 that one answer holds: ask for fewer "
      "points");
  EXPECT_EQ(error({.run_ids = {run}, .keys = {"m"}, .range = PointRange{5, 4}}),
            "The range ends at 4 before it begins at 5");
}

}  // namespace
}  // namespace tidemill::tracking
