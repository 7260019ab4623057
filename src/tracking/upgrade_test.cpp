// Stores of every earlier schema, with data as a program of then has written them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "db/location.h"
#include "test_database.h"
#include "tracking/chunk.h"
#include "tracking/logged_models.h"
#include "tracking/metric_series.h"
#include "tracking/registry.h"
#include "tracking/schema.h"

namespace tidemill::tracking {
namespace {

using testing::ElementsAre;
using testing::Pair;

const std::string kRun(32, 'a');
constexpr int64_t kPoints = 2000;  // several full chunks and an open one

double value_at(int64_t step) { return static_cast<double>((step * 7919) % 1000) / 8; }

class Upgrade : public testing::TestWithParam<size_t> {
 protected:
  size_t schema() const { return GetParam(); }

  template <class... Values>
  void insert(std::string_view sql, const Values&... values) {
    auto done = connection_->run(sql, values...);
    ASSERT_TRUE(done) << sql << ": " << done.error().message;
  }

  void make_store() {
    const db::Schema& whole = store_schema();
    connection_ = db::open(db::parse_location(uri_).value()).value();
    ASSERT_TRUE(
        db::migrate(*connection_, {.application = whole.application, .steps = whole.steps.first(schema())}));
    auto transaction = db::Transaction::begin(*connection_, db::TransactionMode::kWrite).value();
    write_runs();
    write_metric();
    if (schema() >= 2) write_steps();
    if (schema() >= 3) write_logged_model();
    if (schema() >= 4) write_registry();
    ASSERT_TRUE(transaction.commit());
    connection_.reset();
  }

  void write_runs() {
    insert(
        "INSERT INTO experiments (id, name, artifact_location, lifecycle, created, updated) "
        "VALUES (0, 'Default', '/old/0', 0, 5, 6), (7, 'vision', '/old/7', 0, 7, 8)");
    insert("INSERT INTO experiment_tags (experiment, key, value) VALUES (7, 'team', 'a')");
    insert("INSERT INTO keys (id, name) VALUES (1, 'lr'), (2, 'mlflow.runName'), (3, 'loss')");
    insert(
        "INSERT INTO runs (id, uuid, experiment, lifecycle, status, start_time, end_time, name, user_id, "
        "artifact_uri) VALUES (1, ?, 7, 0, 3, 10, 20, 'first', 'ada', '/old/7/first')",
        kRun);
    insert(
        "INSERT INTO runs (id, uuid, experiment, lifecycle, status, start_time, end_time, name, user_id, "
        "artifact_uri) VALUES (2, ?, 7, 1, 4, 11, NULL, 'gone', 'ada', '/old/7/gone')",
        std::string(32, 'b'));
    insert("INSERT INTO params (run, key, value) VALUES (1, 1, '0.1')");
    insert("INSERT INTO tags (run, key, value) VALUES (1, 2, 'first')");
    insert("INSERT INTO artifacts (run, path, size, sha256) VALUES (1, 'model.bin', 4, 'abcd')");
  }

  void write_metric() {
    Chunk chunk;
    for (int64_t step = 0; step < kPoints; ++step) {
      Point point{1000 + step, step, value_at(step)};
      if (chunk.append(point)) continue;
      insert("INSERT INTO metric_chunks (run, key, data) VALUES (1, 3, ?)", db::Blob{chunk.bytes()});
      chunk = Chunk();
      chunk.append(point);
    }
    insert("INSERT INTO metric_tails (id, data) VALUES (1, ?)", db::Blob{chunk.bytes()});
    insert(
        "INSERT INTO metrics (run, key, step, timestamp, value, is_nan, tail) VALUES (1, 3, ?, ?, ?, 0, 1)",
        kPoints - 1, 1000 + kPoints - 1, value_at(kPoints - 1));
    if (schema() >= 12) insert("UPDATE metrics SET lowest = 0, highest = ?", 999 / 8.0);
  }

  void write_steps() {
    insert(
        "INSERT INTO steps (run, name, state, attempt, step_run, key, reason) "
        "VALUES (1, 'train', 'finished', 1, ?, 'k1', 'the first')",
        kRun);
    insert("INSERT INTO step_results (key, run, outputs) VALUES ('k1', ?, 'digest')", kRun);
  }

  void write_logged_model() {
    insert(
        "INSERT INTO logged_models (id, model_id, experiment, lifecycle, status, created, updated, name, "
        "model_type, source_run, artifact_uri) VALUES (1, 'm-1', 7, 0, 2, 30, 31, 'net', 'cnn', ?, '/old/m')",
        kRun);
    insert("INSERT INTO logged_model_params (model, key, value) VALUES (1, 'p', 'v')");
    insert(
        "INSERT INTO logged_model_metrics (model, key, timestamp, step, run, dataset_name, dataset_digest, "
        "value, is_nan) VALUES (1, 3, 40, 4, 1, '', '', 0.5, 0)");
  }

  void write_registry() {
    insert(
        "INSERT INTO registered_models (id, name, description, created, updated, last_version) "
        "VALUES (1, 'reg', 'about', 50, 51, 3)");
    insert("INSERT INTO registered_model_aliases (model, alias, version) VALUES (1, 'champion', 3)");
    insert(
        "INSERT INTO model_versions (id, model, version, stage, description, source, storage_location, "
        "run_id, run_link, model_id, created, updated) "
        "VALUES (1, 1, 3, 2, NULL, 's3://b/3', 's3://b/3', ?, '', '', 52, 53)",
        kRun);
  }

  TempDir folder_ = TempDir::create().value();
  std::string uri_ = test::new_database(folder_.path() / "old.db");
  std::unique_ptr<db::Connection> connection_;
};

INSTANTIATE_TEST_SUITE_P(FromSchema, Upgrade, testing::Range(size_t{1}, store_schema().steps.size()));

TEST_P(Upgrade, everything_that_was_written_is_read) {
  make_store();
  Store store = Store::open({.uri = uri_, .default_artifact_root = "mlflow-artifacts:"}).value();
  EXPECT_EQ(store.experiment("0")->artifact_location, "/old/0");
  EXPECT_THAT(store.experiment("7")->tags, ElementsAre(Pair("team", "a")));
  tracking::Run first = store.run(kRun).value();
  EXPECT_EQ(first.info.name, "first");
  EXPECT_EQ(first.info.end_time, 20);
  EXPECT_THAT(first.params, ElementsAre(Pair("lr", "0.1")));
  EXPECT_EQ(first.metric("loss"), value_at(kPoints - 1));
  EXPECT_EQ(store.run(std::string(32, 'b'))->info.lifecycle, Lifecycle::kDeleted);
  EXPECT_EQ(store.artifacts(kRun)->at(0).sha256, "abcd");
  if (schema() >= 2) {
    EXPECT_EQ(store.step_records(kRun)->at(0).reason, "the first");
    EXPECT_EQ(store.step_results({"k1"})->at(0)->outputs, "digest");
  }
  if (schema() >= 3) {
    LoggedModel model = LoggedModels(store).get("m-1").value();
    EXPECT_EQ(model.name, "net");
    EXPECT_EQ(model.metrics.at(0).metric.value, 0.5);
  }
  if (schema() >= 4) {
    EXPECT_EQ(Registry(store).version_by_alias("reg", "champion")->stage, Stage::kProduction);
  }
}

TEST_P(Upgrade, metrics_have_all_their_points_and_get_more) {
  make_store();
  Store store = Store::open({.uri = uri_, .default_artifact_root = "mlflow-artifacts:"}).value();
  ASSERT_TRUE(store.log_metric(kRun, {"loss", 1000, 9000, kPoints}));
  auto points = store.metric_history(kRun, "loss").value().items;
  ASSERT_EQ(points.size(), static_cast<size_t>(kPoints) + 1);
  for (int64_t step = 0; step < kPoints; ++step)
    ASSERT_EQ(points[static_cast<size_t>(step)].value, value_at(step)) << step;
  auto found = [&](const std::string& filter) {
    return store.search_runs({.experiment_ids = {"7"}, .filter = filter})->items.size();
  };
  EXPECT_EQ(found("min(metrics.loss) = 0 AND max(metrics.loss) = 1000"), 1u);
  EXPECT_EQ(found("metrics.loss < 1000"), 0u);
  auto series = read_series(store, {.run_ids = {kRun}, .keys = {"loss"}, .points = 10})->series;
  ASSERT_EQ(series.size(), 1u);
  EXPECT_EQ(series[0].count, static_cast<size_t>(kPoints) + 1);
  EXPECT_EQ(series[0].last.back(), 1000);
}

TEST_P(Upgrade, a_copy_of_what_was_there_is_kept) {
  if (test::on_postgres()) GTEST_SKIP() << "backups of servers are their administrators'";
  make_store();
  ASSERT_TRUE(Store::open({.uri = uri_, .default_artifact_root = ""}));
  fs::path copy = fmt::format("{}.schema-{}.backup", uri_, schema());
  auto kept = db::open({.file = copy});
  ASSERT_TRUE(kept) << kept.error().message;
  db::Statement row = (*kept)->prepare("SELECT count(*) FROM runs").value();
  ASSERT_TRUE(row.step().value());
  EXPECT_EQ(row.integer(0), 2);
}

}  // namespace
}  // namespace tidemill::tracking
