#include "tracking/metric_journal.h"

#include <gtest/gtest.h>

#include "base/files.h"
#include "db/location.h"
#include "test_database.h"
#include "tracking/garbage.h"
#include "tracking/store.h"

namespace tidemill::tracking {
namespace {

struct JournalTest : testing::Test {
  TempDir folder = TempDir::create().value();
  std::string uri = test::new_database(folder.path() / "tidemill.db");
  std::optional<Store> store = opened();

  Store opened() { return Store::open({.uri = uri, .default_artifact_root = "/artifacts"}).value(); }
  std::string new_run() { return store->create_run({}).value().info.id; }
  int64_t rows(std::string_view sql = "SELECT count(*) FROM metric_journal") {
    auto connection = db::open(db::parse_location(uri).value()).value();
    db::Statement row = connection->prepare(sql).value();
    return row.step().value() ? row.integer(0) : -1;
  }
};

TEST_F(JournalTest, small_calls_wait_in_one_row_for_each_commit_until_somebody_reads) {
  std::string run = new_run();
  ASSERT_TRUE(store->log_metric(run, {"loss", 0.5, 1, 0}));
  ASSERT_TRUE(store->log_batch(run, {.metrics = {{"loss", 0.4, 2, 1}, {"acc", 0.9, 2, 1}}}));
  EXPECT_EQ(rows(), 2);
  EXPECT_EQ(rows("SELECT count(*) FROM metrics"), 0);
  EXPECT_EQ(store->run(run).value().metrics.size(), 2u);
  EXPECT_EQ(rows(), 0);
}

TEST_F(JournalTest, another_program_sees_what_was_answered) {
  std::string run = new_run();
  ASSERT_TRUE(store->log_metric(run, {"loss", 0.5, 1, 0}));
  Store other = opened();
  EXPECT_EQ(other.metric_history(run, "loss").value().items.size(), 1u);
  ASSERT_TRUE(store->log_metric(run, {"loss", 0.4, 2, 1}));
  EXPECT_EQ(other.run(run).value().metrics.at(0).value, 0.4);
}

TEST_F(JournalTest, a_store_that_is_closed_leaves_nothing_waiting) {
  ASSERT_TRUE(store->log_metric(new_run(), {"loss", 0.5, 1, 0}));
  store.reset();
  EXPECT_EQ(rows(), 0);
  EXPECT_EQ(rows("SELECT count(*) FROM metrics"), 1);
}

TEST_F(JournalTest, it_is_settled_when_much_waits) {
  std::string run = new_run();
  for (int i = 0; i < 100; ++i) {
    Batch batch;
    for (int j = 0; j < 50; ++j) batch.metrics.push_back({"loss", 0.5, i, i * 50 + j});
    ASSERT_TRUE(store->log_batch(run, batch));
  }
  EXPECT_LT(rows(), 50);
  EXPECT_EQ(store->metric_history(run, "loss").value().items.size(), 5000u);
}

TEST_F(JournalTest, a_repeated_call_adds_no_point) {
  std::string run = new_run();
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(store->log_metric(run, {"loss", 0.5, 1, 0}));
  EXPECT_EQ(store->metric_history(run, "loss").value().items.size(), 1u);
  ASSERT_TRUE(store->log_metric(run, {"loss", 0.5, 1, 0}));
  EXPECT_EQ(store->metric_history(run, "loss").value().items.size(), 1u);
}

TEST_F(JournalTest, a_run_that_ends_takes_its_waiting_points_along) {
  std::string run = new_run();
  ASSERT_TRUE(store->log_metric(run, {"loss", 0.5, 1, 0}));
  ASSERT_TRUE(store->update_run({.run_id = run, .status = RunStatus::kFinished}));
  EXPECT_EQ(rows(), 0);
  EXPECT_EQ(rows("SELECT count(*) FROM metric_chunks"), 1);
  EXPECT_EQ(rows("SELECT count(*) FROM metric_tails"), 0);
}

TEST_F(JournalTest, a_run_that_is_erased_leaves_no_points_to_the_next_one) {
  std::string run = new_run();
  ASSERT_TRUE(store->log_metric(run, {"loss", 0.5, 1, 0}));
  ASSERT_TRUE(store->delete_run(run));
  ASSERT_TRUE(GarbageCollection(*store).erase_run(run));
  EXPECT_EQ(rows(), 0);
  EXPECT_EQ(rows("SELECT count(*) FROM metrics"), 0);
}

TEST_F(JournalTest, a_refused_call_of_a_group_leaves_the_points_of_the_others) {
  std::string run = new_run();
  ASSERT_TRUE(store->log_batch(run, {.metrics = {{"loss", 0.5, 1, 0}}, .params = {{"p", "1"}}}));
  EXPECT_FALSE(store->log_batch(run, {.metrics = {{"loss", 0.4, 2, 1}}, .params = {{"p", "2"}}}));
  EXPECT_FALSE(store->log_metric("00000000000000000000000000000000", {"loss", 0.3, 3, 2}));
  EXPECT_EQ(store->metric_history(run, "loss").value().items.size(), 1u);
}

}  // namespace
}  // namespace tidemill::tracking
