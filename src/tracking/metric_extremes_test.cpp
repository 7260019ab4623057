// min(), max() and last() of metrics in searches.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "base/files.h"
#include "db/location.h"
#include "test_database.h"
#include "tracking/schema.h"
#include "tracking/store.h"

namespace tidemill::tracking {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

struct MetricExtremesTest : testing::Test {
  TempDir folder = TempDir::create().value();
  std::string uri = test::new_database(folder.path() / "t.db");
  std::optional<Store> store;
  std::vector<std::string> ids;

  void SetUp() override { open(); }
  // As another process would see it.
  void open() {
    store.reset();
    store.emplace(Store::open({.uri = uri, .default_artifact_root = "a"}).value());
  }
  std::string add(const char* name, const std::vector<Metric>& metrics) {
    CreateRun create;
    create.name = name;
    create.start_time = 10'000 - static_cast<int64_t>(ids.size());  // in the order of their making
    ids.push_back(store->create_run(create).value().info.id);
    log(ids.back(), metrics);
    return ids.back();
  }
  void log(const std::string& run, const std::vector<Metric>& metrics) {
    ASSERT_TRUE(store->log_batch(run, {.metrics = metrics, .params = {}, .tags = {}}));
  }
  void end(const std::string& run) {
    ASSERT_TRUE(
        store->update_run({.run_id = run, .status = RunStatus::kFinished, .end_time = 1, .name = {}}));
  }
  Result<Page<tracking::Run>> search(const std::string& filter, std::vector<std::string> order_by = {}) {
    SearchRuns search;
    search.experiment_ids = {"0"};
    search.filter = filter;
    search.order_by = std::move(order_by);
    return store->search_runs(search);
  }
  std::vector<std::string> found(const std::string& filter, std::vector<std::string> order_by = {}) {
    auto page = search(filter, std::move(order_by));
    EXPECT_TRUE(page) << filter << ": " << page.error().message;
    std::vector<std::string> names;
    if (page)
      for (const auto& run : page->items) names.push_back(run.info.name);
    return names;
  }
  void refused(const std::string& filter, const std::string& message) {
    auto page = search(filter);
    ASSERT_FALSE(page) << filter;
    EXPECT_EQ(page.error().code, Code::kInvalid);
    EXPECT_EQ(page.error().message, message);
  }
};

TEST_F(MetricExtremesTest, runs_are_found_by_the_lowest_highest_and_latest_value) {
  add("falling", {{"m", 5, 1, 0}, {"m", 3, 2, 1}, {"m", 1, 3, 2}});
  add("rising", {{"m", 2, 1, 0}, {"m", 9, 2, 1}});
  add("without", {{"other", 1, 1, 0}});
  EXPECT_THAT(found("min(metrics.m) < 2"), ElementsAre("falling"));
  EXPECT_THAT(found("MAX(metrics.m) = 9"), ElementsAre("rising"));
  EXPECT_THAT(found("last(metrics.m) = 1 AND max(metrics.`m`) IN (5, 6)"), ElementsAre("falling"));
  EXPECT_THAT(found("min(metrics.m) >= 1 AND NOT max(metrics.m) > 5"), ElementsAre("falling"));
  EXPECT_THAT(found("min(metrics.m) IS NULL"), ElementsAre("without"));
  EXPECT_THAT(found("max(metrics.m) IS NOT NULL"), ElementsAre("falling", "rising"));
  EXPECT_THAT(found("min(metrics.nobody_has_it) IS NULL"), ElementsAre("falling", "rising", "without"));
  EXPECT_THAT(found("", {"max(metrics.m) DESC"}), ElementsAre("rising", "falling", "without"));
  EXPECT_THAT(found("", {"min(metrics.m)"}), ElementsAre("falling", "rising", "without"));
  EXPECT_THAT(found("", {"Min(metrics.m) desc", "last(metrics.m)"}),
              ElementsAre("rising", "falling", "without"));
}

TEST_F(MetricExtremesTest, nan_is_neither_lowest_nor_highest) {
  add("nan first", {{"m", kNan, 1, 0}, {"m", 4, 2, 1}, {"m", kNan, 3, 2}});
  add("nan only", {{"m", kNan, 1, 0}});
  add("infinite", {{"m", std::numeric_limits<double>::infinity(), 1, 0}});
  EXPECT_THAT(found("min(metrics.m) = 4 AND max(metrics.m) = 4"), ElementsAre("nan first"));
  EXPECT_THAT(found("max(metrics.m) IS NULL"), ElementsAre("nan only"));
  EXPECT_THAT(found("min(metrics.m) != 7"), ElementsAre("nan first", "infinite"));
  EXPECT_THAT(found("max(metrics.m) > 1e300"), ElementsAre("infinite"));
  EXPECT_THAT(found("", {"min(metrics.m)"}), ElementsAre("nan first", "infinite", "nan only"));
}

TEST_F(MetricExtremesTest, late_and_repeated_points_count_wherever_they_were_written) {
  std::string run = add("late", {{"m", 5, 50, 50}});
  log(run, {{"m", 2, 10, 10}});  // an older step: the latest stays
  EXPECT_THAT(found("min(metrics.m) = 2 AND last(metrics.m) = 5 AND max(metrics.m) = 5"),
              ElementsAre("late"));
  log(run, {{"m", 2, 10, 10}});
  open();
  log(run, {{"m", 8, 20, 20}});
  EXPECT_THAT(found("min(metrics.m) = 2 AND last(metrics.m) = 5 AND max(metrics.m) = 8"),
              ElementsAre("late"));
  end(run);
  log(run, {{"m", 1, 60, 60}});
  EXPECT_THAT(found("min(metrics.m) = 1 AND last(metrics.m) = 1 AND max(metrics.m) = 8"),
              ElementsAre("late"));
}

TEST_F(MetricExtremesTest, long_metrics_agree_with_all_their_points) {
  std::mt19937 random(5);
  std::string run = add("long", {});
  double lowest = 1e9, highest = -1e9;
  for (int64_t batch = 0; batch < 12; ++batch) {
    std::vector<Metric> points;
    for (int64_t i = 0; i < 500; ++i) {
      double value = static_cast<double>(random()) / 1000 - 2e6;
      lowest = std::min(lowest, value);
      highest = std::max(highest, value);
      points.push_back({"m", value, 1000 * batch + i, static_cast<int64_t>(random() % 6000)});
    }
    log(run, points);
    if (batch % 5 == 4) open();
    EXPECT_THAT(found(fmt::format("min(metrics.m) = {} AND max(metrics.m) = {}", lowest, highest)),
                ElementsAre("long"))
        << batch;
  }
}

TEST_F(MetricExtremesTest, a_store_from_before_gets_them_from_its_points) {
  std::vector<Metric> points;
  for (int i = 0; i < 5000; ++i) points.push_back({"m", std::sin(i) * i, i, i});
  std::string run = add("long", {});
  for (size_t at = 0; at < points.size(); at += 1000)
    log(run,
        {points.begin() + static_cast<ptrdiff_t>(at), points.begin() + static_cast<ptrdiff_t>(at) + 1000});
  double lowest = 0, highest = 0;
  for (const Metric& point : points) {
    lowest = std::min(lowest, point.value);
    highest = std::max(highest, point.value);
  }
  end(add("ended", {{"m", 7, 1, 0}, {"m", 5, 2, 1}, {"m", 6, 3, 2}}));
  add("nan", {{"m", kNan, 1, 0}});
  store.reset();
  {
    auto connection = db::open(db::parse_location(uri).value()).value();
    ASSERT_TRUE(
        connection->execute("DROP INDEX metrics_by_lowest; DROP INDEX metrics_by_highest; "
                            "ALTER TABLE metrics DROP COLUMN lowest; "
                            "ALTER TABLE metrics DROP COLUMN highest; DROP TABLE experiment_ids"));
    ASSERT_TRUE(connection->set_schema_mark(store_schema().application, 11));
  }
  open();
  EXPECT_THAT(found(fmt::format("min(metrics.m) = {} AND max(metrics.m) = {}", lowest, highest)),
              ElementsAre("long"));
  EXPECT_THAT(found("min(metrics.m) = 5 AND max(metrics.m) = 7"), ElementsAre("ended"));
  EXPECT_THAT(found("min(metrics.m) IS NULL AND last(metrics.m) IS NOT NULL"), ElementsAre("nan"));
}

TEST_F(MetricExtremesTest, a_wrong_function_is_shown_by_its_column) {
  refused(
      "metrics.m > 1 AND avg(metrics.m) > 1",
      "Unknown function 'avg'. Valid functions are min, max and last, of a metric (column 19 of the filter)");
  refused("min(params.p) > 1",
          "min() takes a metric, as in min(metrics.loss). Got 'params.p' (column 5 of the filter)");
  refused("min(m) > 1",
          "Invalid attribute key 'm' specified. Valid keys are "
          "'{'run_id', 'run_name', 'run name', 'Run name', 'Run Name', 'status', 'user_id', "
          "'artifact_uri', 'start_time', 'end_time', 'created', 'Created'}' (column 5 of the filter)");
  refused("min(metrics.m > 1", "Invalid clause(s) in filter string: '>' (column 15 of the filter)");
  refused("min(", "Invalid clause(s) in filter string: '(' (column 4 of the filter)");
  refused("min(metrics.m) LIKE 'a'",
          "Invalid comparator 'LIKE' not one of '{'=', '!=', '>', '>=', '<', '<=', "
          "'IN', 'NOT IN', 'IS NULL', 'IS NOT NULL'} (column 16 of the filter)");
  auto order = [&](std::string clause) { return search("", {std::move(clause)}).error().message; };
  EXPECT_EQ(order("median(metrics.m) DESC"),
            "Unknown function 'median'. Valid functions are min, max and last, of a metric (column 1 of the "
            "order_by clause)");
  EXPECT_EQ(order("max(tags.t)"),
            "max() takes a metric, as in max(metrics.loss). Got 'tags.t' (column 5 of the order_by clause)");
  EXPECT_EQ(
      order("max(metrics.m"),
      "Invalid order_by clause 'max(metrics.m'. Could not be parsed. (column 4 of the order_by clause)");
  EXPECT_THAT(search("", {"last(metrics.m)", "metrics.m"}).error().message, HasSubstr("duplicate fields"));
  EXPECT_THAT(found("", {"min(metrics.m)", "max(metrics.m)"}), IsEmpty());
  SearchExperiments experiments;
  experiments.filter = "min(metrics.m) > 1";
  EXPECT_EQ(store->search_experiments(experiments).error().message,
            "Only the metrics of runs have a min() (column 5 of the filter)");
}

}  // namespace
}  // namespace tidemill::tracking
