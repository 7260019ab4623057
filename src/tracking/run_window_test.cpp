#include "tracking/run_window.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/files.h"
#include "test_database.h"

namespace tidemill::tracking {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// Runs "0" to "9", each newer than the one before, with gaps between their row ids.
struct RunWindowTest : testing::Test {
  TempDir folder = TempDir::create().value();
  Store store =
      Store::open({.uri = test::new_database(folder.path() / "t.db"), .default_artifact_root = "a"}).value();
  std::string experiment = store.create_experiment("e").value();
  std::vector<std::string> ids;

  void SetUp() override {
    std::string other = store.create_experiment("other").value();
    for (int i = 0; i < 10; ++i) {
      for (int k = 0; k < (i == 5 ? 9 : 1); ++k) add(other, "stranger", 1);
      ids.push_back(add(experiment, std::to_string(i), 1000 + i));
      Batch batch{.metrics = {{"m", 1.0 * i, 1, 0}, {"m", 10.0 - i, 2, 1}},
                  .params = {{"p", "v" + std::to_string(i)}},
                  .tags = {}};
      if (i == 3) batch.metrics.push_back({"odd name.x", kNan, 1, 0});
      if (i % 2 == 0) batch.tags.emplace_back("even", "yes");
      EXPECT_TRUE(store.log_batch(ids.back(), batch));
    }
    EXPECT_TRUE(
        store.update_run({.run_id = ids[9], .status = RunStatus::kFinished, .end_time = 2000, .name = {}}));
  }
  std::string add(const std::string& in, const std::string& name, int64_t start) {
    CreateRun create;
    create.experiment_id = in;
    create.name = name;
    create.start_time = start;
    create.user = "me";
    std::string id = store.create_run(create).value().info.id;
    if (in != experiment)
      EXPECT_TRUE(
          store.log_batch(id, {.metrics = {{"m", -1, 1, 0}}, .params = {}, .tags = {{"own", "tag"}}}));
    return id;
  }
  WindowQuery query(std::vector<std::string> columns, int64_t offset = 0, int64_t limit = 1000) const {
    WindowQuery query;
    query.runs.experiment_ids = {experiment};
    query.runs.max_results = limit;
    query.offset = offset;
    query.columns = std::move(columns);
    return query;
  }
  RunWindow window(const WindowQuery& query) {
    auto window = run_window(store, query);
    EXPECT_TRUE(window) << window.error().message;
    return window ? std::move(*window) : RunWindow();
  }
  std::string error(const WindowQuery& query) { return run_window(store, query).error().message; }
  template <class T>
  static RunColumn::Cells<T> cells(const RunWindow& window, size_t column) {
    return std::get<RunColumn::Cells<T>>(window.columns.at(column).cells);
  }
};

TEST_F(RunWindowTest, a_window_shows_the_chosen_columns_of_its_runs_and_the_number_of_all) {
  RunWindow found = window(query({"attributes.run_name", "last(metrics.m)", "min(metrics.m)", "params.p",
                                  "tags.even", "attributes.start_time", "attributes.end_time"},
                                 2, 3));
  EXPECT_EQ(found.total, 10);
  EXPECT_THAT(found.run_ids, ElementsAre(ids[7], ids[6], ids[5]));
  ASSERT_EQ(found.columns.size(), 7u);
  EXPECT_EQ(found.columns[1].name, "last(metrics.m)");
  EXPECT_THAT(cells<std::string>(found, 0), ElementsAre("7", "6", "5"));
  EXPECT_THAT(cells<double>(found, 1), ElementsAre(3, 4, 5));
  EXPECT_THAT(cells<double>(found, 2), ElementsAre(3, 4, 5));
  EXPECT_THAT(cells<std::string>(found, 3), ElementsAre("v7", "v6", "v5"));
  EXPECT_THAT(cells<std::string>(found, 4), ElementsAre(std::nullopt, "yes", std::nullopt));
  EXPECT_THAT(cells<int64_t>(found, 5), ElementsAre(1007, 1006, 1005));
  EXPECT_THAT(cells<int64_t>(found, 6), ElementsAre(std::nullopt, std::nullopt, std::nullopt));
}

TEST_F(RunWindowTest, what_a_run_lacks_is_missing_and_nan_is_a_value) {
  RunWindow found = window(query(
      {"metrics.odd name.x", "max(metrics.odd name.x)", "metrics.nobody", "tags.`even`", "attributes.status",
       "attributes.experiment_id", "attributes.lifecycle_stage", "attributes.user_id"},
      6, 2));
  EXPECT_THAT(found.run_ids, ElementsAre(ids[3], ids[2]));
  EXPECT_TRUE(std::isnan(cells<double>(found, 0)[0].value()));
  EXPECT_EQ(cells<double>(found, 0)[1], std::nullopt);
  EXPECT_THAT(cells<double>(found, 1), ElementsAre(std::nullopt, std::nullopt));
  EXPECT_THAT(cells<double>(found, 2), ElementsAre(std::nullopt, std::nullopt));
  EXPECT_THAT(cells<std::string>(found, 3), ElementsAre(std::nullopt, "yes"));
  EXPECT_THAT(cells<std::string>(found, 4), ElementsAre("RUNNING", "RUNNING"));
  EXPECT_THAT(cells<std::string>(found, 5), ElementsAre(experiment, experiment));
  EXPECT_THAT(cells<std::string>(found, 6), ElementsAre("active", "active"));
  EXPECT_THAT(cells<std::string>(found, 7), ElementsAre("me", "me"));
}

TEST_F(RunWindowTest, a_star_stands_for_all_that_the_windows_runs_have) {
  RunWindow found = window(query({"metrics.*", "max(metrics.*)", "tags.*", "params.*"}, 6, 2));
  std::vector<std::string> names;
  for (const RunColumn& column : found.columns) names.push_back(column.name);
  EXPECT_THAT(names, ElementsAre("metrics.m", "metrics.odd name.x", "max(metrics.m)",
                                 "max(metrics.odd name.x)", "tags.even", "tags.mlflow.runName", "params.p"))
      << "no strangers' tags";
  EXPECT_THAT(cells<double>(found, 2), ElementsAre(7, 8));
}

TEST_F(RunWindowTest, filters_orders_and_counts_are_those_of_a_search) {
  WindowQuery best = query({"max(metrics.m)"}, 1, 2);
  best.runs.filter = "min(metrics.m) < 3 AND tags.even = 'yes'";
  best.runs.order_by = {"max(metrics.m) DESC"};
  RunWindow found = window(best);
  EXPECT_EQ(found.total, 3) << "runs 0, 2 and 8";
  EXPECT_THAT(found.run_ids, ElementsAre(ids[8], ids[2]));
  best.offset = 3;
  EXPECT_THAT(window(best).run_ids, IsEmpty());
  EXPECT_EQ(window(best).total, 3);
  best.count = false;
  EXPECT_EQ(window(best).total, std::nullopt);
  best.runs.experiment_ids = {};
  best.count = true;
  EXPECT_EQ(window(best).total, 0);
}

TEST_F(RunWindowTest, a_bad_window_is_refused) {
  EXPECT_EQ(error(query({}, 0, 10'001)), "A window holds at most 10000 runs, and 10001 were asked for");
  EXPECT_EQ(error(query({}, -1)), "The offset must not be negative: -1");
  EXPECT_THAT(error(query({"metrics.m", "foo.m"})), HasSubstr("Invalid entity type 'foo'"));
  EXPECT_THAT(error(query({"attributes.nope"})), HasSubstr("Invalid attribute key 'nope'"));
  EXPECT_THAT(error(query({"avg(metrics.m)"})), HasSubstr("Unknown function 'avg'"));
  EXPECT_EQ(error(query({"datasets.name"})), "A data set is no column: 'datasets.name'");
  EXPECT_EQ(error(query(std::vector<std::string>(10'001, "metrics.m"))),
            "10001 columns of 10 runs are too much for one answer: name the columns, or ask for fewer runs");
}

}  // namespace
}  // namespace tidemill::tracking
