// Databases of MLflow servers, older, newer and damaged, taken into a store.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "db/database.h"
#include "db/location.h"
#include "exchange/copy.h"
#include "exchange/mlflow_db_source.h"
#include "exchange/store_sink.h"
#include "test_database.h"

namespace tidemill::exchange {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;

const std::string kRunId = "4ad3002445f24c0e85eed8caf983ff67";
const std::string kModelId = "m-704715e2bd2048fe9f024d79efa1e530";

// The columns that matter, as MLflow 2.9 made them (alembic acf3f17fdcc7).
constexpr std::string_view kTables29 = R"(
CREATE TABLE experiments (experiment_id INTEGER PRIMARY KEY, name VARCHAR(256), artifact_location VARCHAR(256),
  lifecycle_stage VARCHAR(32), creation_time BIGINT, last_update_time BIGINT);
CREATE TABLE experiment_tags (key VARCHAR(250), value VARCHAR(5000), experiment_id INTEGER);
CREATE TABLE runs (run_uuid VARCHAR(32) PRIMARY KEY, name VARCHAR(250), source_type VARCHAR(20),
  source_name VARCHAR(500), entry_point_name VARCHAR(50), user_id VARCHAR(256), status VARCHAR(9),
  start_time BIGINT, end_time BIGINT, source_version VARCHAR(50), lifecycle_stage VARCHAR(20),
  artifact_uri VARCHAR(200), experiment_id INTEGER, deleted_time BIGINT);
CREATE TABLE params (key VARCHAR(250), value VARCHAR(8000), run_uuid VARCHAR(32));
CREATE TABLE tags (key VARCHAR(250), value VARCHAR(5000), run_uuid VARCHAR(32));
CREATE TABLE metrics (key VARCHAR(250), value DOUBLE PRECISION, timestamp BIGINT, run_uuid VARCHAR(32), step BIGINT,
  is_nan BOOLEAN);
CREATE TABLE datasets (dataset_uuid VARCHAR(36), experiment_id INTEGER, name VARCHAR(500), digest VARCHAR(36),
  dataset_source_type VARCHAR(36), dataset_source TEXT, dataset_schema TEXT, dataset_profile TEXT);
CREATE TABLE inputs (input_uuid VARCHAR(36), source_type VARCHAR(36), source_id VARCHAR(36),
  destination_type VARCHAR(36), destination_id VARCHAR(36));
CREATE TABLE input_tags (input_uuid VARCHAR(36), name VARCHAR(255), value VARCHAR(500));
CREATE TABLE registered_models (name VARCHAR(256), creation_time BIGINT, last_updated_time BIGINT,
  description VARCHAR(5000));
CREATE TABLE registered_model_tags (key VARCHAR(250), value VARCHAR(5000), name VARCHAR(256));
CREATE TABLE registered_model_aliases (alias VARCHAR(256), version INTEGER, name VARCHAR(256));
CREATE TABLE model_versions (name VARCHAR(256), version INTEGER, creation_time BIGINT, last_updated_time BIGINT,
  description VARCHAR(5000), user_id VARCHAR(256), current_stage VARCHAR(20), source VARCHAR(500),
  run_id VARCHAR(32), status VARCHAR(20), status_message VARCHAR(500), run_link VARCHAR(500),
  storage_location VARCHAR(500));
CREATE TABLE model_version_tags (key VARCHAR(250), value VARCHAR(5000), name VARCHAR(256), version INTEGER);
)";
// What MLflow 3.0 added (alembic 6953534de441).
constexpr std::string_view kTables30 = R"(
ALTER TABLE inputs ADD COLUMN step BIGINT DEFAULT 0 NOT NULL;
CREATE TABLE logged_models (model_id VARCHAR(36), experiment_id INTEGER, name VARCHAR(500),
  artifact_location VARCHAR(1000), creation_timestamp_ms BIGINT, last_updated_timestamp_ms BIGINT, status INTEGER,
  lifecycle_stage VARCHAR(32), model_type VARCHAR(500), source_run_id VARCHAR(32), status_message VARCHAR(1000));
CREATE TABLE logged_model_params (model_id VARCHAR(36), experiment_id INTEGER, param_key VARCHAR(255),
  param_value TEXT);
CREATE TABLE logged_model_tags (model_id VARCHAR(36), experiment_id INTEGER, tag_key VARCHAR(255), tag_value TEXT);
CREATE TABLE logged_model_metrics (model_id VARCHAR(36), metric_name VARCHAR(500), metric_timestamp_ms BIGINT,
  metric_step BIGINT, metric_value DOUBLE PRECISION, experiment_id INTEGER, run_id VARCHAR(32),
  dataset_uuid VARCHAR(36), dataset_name VARCHAR(500), dataset_digest VARCHAR(36));
CREATE TABLE trace_info (request_id VARCHAR(50), experiment_id INTEGER);
)";
// What MLflow 3.10 added (alembic 7d34483879f0).
constexpr std::string_view kTables310 = R"(
ALTER TABLE experiments ADD COLUMN workspace VARCHAR(63) DEFAULT 'default' NOT NULL;
ALTER TABLE registered_models ADD COLUMN workspace VARCHAR(63) DEFAULT 'default' NOT NULL;
ALTER TABLE registered_model_tags ADD COLUMN workspace VARCHAR(63) DEFAULT 'default' NOT NULL;
ALTER TABLE registered_model_aliases ADD COLUMN workspace VARCHAR(63) DEFAULT 'default' NOT NULL;
ALTER TABLE model_versions ADD COLUMN workspace VARCHAR(63) DEFAULT 'default' NOT NULL;
ALTER TABLE model_version_tags ADD COLUMN workspace VARCHAR(63) DEFAULT 'default' NOT NULL;
)";
constexpr std::string_view kRows29 = R"(
INSERT INTO experiments VALUES (0, 'Default', 'mlflow-artifacts:/0', 'active', 1, 1);
INSERT INTO experiments VALUES (3, 'vision', 'mlflow-artifacts:/3', 'active', 1795560350827, 1795560350900);
INSERT INTO experiment_tags VALUES ('team', 'a', 3);
INSERT INTO runs VALUES ('4ad3002445f24c0e85eed8caf983ff67', 'one', 'LOCAL', '', '', 'ann', 'FINISHED', 1795560350913,
  1795560353306, '', 'active', 'mlflow-artifacts:/3/4ad3002445f24c0e85eed8caf983ff67/artifacts', 3, NULL);
INSERT INTO runs VALUES ('ffffffffffffffffffffffffffffffff', NULL, 'LOCAL', '', '', NULL, 'KILLED', 5, NULL, '',
  'deleted', './mlruns/0/f/artifacts', 0, 77);
INSERT INTO params VALUES ('lr', '0.1', '4ad3002445f24c0e85eed8caf983ff67');
INSERT INTO tags VALUES ('mlflow.runName', 'one', '4ad3002445f24c0e85eed8caf983ff67');
INSERT INTO tags VALUES ('mlflow.runName', 'by tag', 'ffffffffffffffffffffffffffffffff');
INSERT INTO metrics VALUES ('loss', 0.5, 11, '4ad3002445f24c0e85eed8caf983ff67', 1, FALSE);
INSERT INTO metrics VALUES ('loss', 0, 12, '4ad3002445f24c0e85eed8caf983ff67', 2, TRUE);
INSERT INTO datasets VALUES ('d-uuid', 3, 'd1', '2981c147', 'code', 's', NULL, '{"rows": 2}');
INSERT INTO inputs (input_uuid, source_type, source_id, destination_type, destination_id)
  VALUES ('i-uuid', 'DATASET', 'd-uuid', 'RUN', '4ad3002445f24c0e85eed8caf983ff67');
INSERT INTO input_tags VALUES ('i-uuid', 'mlflow.data.context', 'training');
INSERT INTO registered_models (name, creation_time, last_updated_time, description) VALUES ('reg', 11, 12, NULL);
INSERT INTO registered_model_tags (key, value, name) VALUES ('k', 'v', 'reg');
INSERT INTO registered_model_aliases (alias, version, name) VALUES ('champion', 1, 'reg');
INSERT INTO model_versions (name, version, creation_time, last_updated_time, current_stage, source, run_id, status)
  VALUES ('reg', 1, 21, 22, 'Staging', 's3://b/1', '4ad3002445f24c0e85eed8caf983ff67', 'READY');
INSERT INTO model_versions (name, version, creation_time, last_updated_time, current_stage, source, run_id, status)
  VALUES ('reg', 2, 21, 22, 'Deleted_Internal', 's3://b/2', '', 'READY');
INSERT INTO model_version_tags (key, value, name, version) VALUES ('q', 'w', 'reg', 1);
)";
constexpr std::string_view kRows30 = R"(
INSERT INTO logged_models VALUES ('m-704715e2bd2048fe9f024d79efa1e530', 3, 'net',
  'mlflow-artifacts:/3/models/m-704715e2bd2048fe9f024d79efa1e530/artifacts', 21, 22, 2, 'active', NULL,
  '4ad3002445f24c0e85eed8caf983ff67', NULL);
INSERT INTO logged_model_params VALUES ('m-704715e2bd2048fe9f024d79efa1e530', 3, 'lr', '0.1');
INSERT INTO logged_model_metrics VALUES ('m-704715e2bd2048fe9f024d79efa1e530', 'acc', 31, 5, NULL, 3,
  '4ad3002445f24c0e85eed8caf983ff67', NULL, 'd1', '2981c147');
INSERT INTO inputs VALUES ('o-uuid', 'RUN_OUTPUT', '4ad3002445f24c0e85eed8caf983ff67', 'MODEL_OUTPUT',
  'm-704715e2bd2048fe9f024d79efa1e530', 7);
INSERT INTO inputs VALUES ('j-uuid', 'RUN_INPUT', 'ffffffffffffffffffffffffffffffff', 'MODEL_INPUT',
  'm-704715e2bd2048fe9f024d79efa1e530', 0);
INSERT INTO trace_info VALUES ('t', 3);
)";

class MlflowDb : public testing::Test {
 protected:
  // A database with these scripts run, in the kind of database that the test is for.
  db::Location make(std::initializer_list<std::string_view> scripts) const {
    auto location = db::parse_location(test::new_database(dir_.path() / "mlflow.db")).value();
    auto connection = db::open(location).value();
    for (std::string_view script : scripts) {
      auto ran = connection->execute(std::string(script));
      EXPECT_TRUE(ran) << ran.error().message;
    }
    return location;
  }
  tracking::Store open() const {
    return tracking::Store::open({.uri = database_, .default_artifact_root = "mlflow-artifacts:"}).value();
  }
  Report take(const db::Location& from, tracking::Store& store) const {
    auto source = MlflowDbSource::open(from);
    EXPECT_TRUE(source) << source.error().message;
    StoreSink sink(store);
    Report report;
    auto copied = copy(*source, sink, {}, report);
    EXPECT_TRUE(copied) << copied.error().message;
    return report;
  }
  static std::vector<std::string> reasons(const Report& report) {
    std::vector<std::string> all;
    for (const Problem& problem : report.problems()) all.push_back(problem.where + ": " + problem.reason);
    return all;
  }
  void expect_what_2_9_had(tracking::Store& store) const {
    auto experiment = store.experiment("3").value();
    EXPECT_EQ(experiment.name, "vision");
    EXPECT_EQ(experiment.updated, 1795560350900);
    EXPECT_THAT(experiment.tags, ElementsAre(Pair("team", "a")));
    auto run = store.run(kRunId).value();
    EXPECT_EQ(run.info.user, "ann");
    EXPECT_EQ(run.info.end_time, 1795560353306);
    EXPECT_THAT(run.params, ElementsAre(Pair("lr", "0.1")));
    auto loss = store.metric_history(kRunId, "loss").value().items;
    ASSERT_EQ(loss.size(), 2u);
    EXPECT_TRUE(std::isnan(loss[1].value));
    ASSERT_EQ(run.datasets.size(), 1u);
    EXPECT_THAT(run.datasets[0].tags, ElementsAre(Pair("mlflow.data.context", "training")));
    auto deleted = store.run("ffffffffffffffffffffffffffffffff").value();
    EXPECT_EQ(deleted.info.lifecycle, tracking::Lifecycle::kDeleted);
    EXPECT_EQ(deleted.info.status, tracking::RunStatus::kKilled);
    EXPECT_EQ(deleted.info.name, "by tag");
    tracking::Registry registry(store);
    auto version = registry.version_by_alias("reg", "champion").value();
    EXPECT_EQ(version.stage, tracking::Stage::kStaging);
    EXPECT_EQ(version.created, 21);
    EXPECT_THAT(version.tags, ElementsAre(Pair("q", "w")));
    EXPECT_FALSE(registry.version("reg", 2));
  }

  TempDir dir_ = TempDir::create().value();
  std::string database_ = test::new_database(dir_.path() / "tidemill.db");
};

TEST_F(MlflowDb, the_oldest_layout_comes_over) {
  db::Location old = make({kTables29, kRows29});
  auto store = open();
  EXPECT_THAT(reasons(take(old, store)), IsEmpty());
  expect_what_2_9_had(store);
  Report again = take(old, store);
  EXPECT_EQ(again.runs.same, 2u);
  EXPECT_EQ(again.points, 0u);
}

TEST_F(MlflowDb, the_layout_of_3_0_comes_over_with_logged_models) {
  db::Location old = make({kTables29, kTables30, kRows29, kRows30});
  auto store = open();
  Report report = take(old, store);
  EXPECT_THAT(reasons(report), IsEmpty());
  EXPECT_THAT(report.notes, ElementsAre("experiment vision: 1 traces are not taken; Tidemill keeps none"));
  expect_what_2_9_had(store);
  auto model = tracking::LoggedModels(store).get(kModelId).value();
  EXPECT_EQ(model.name, "net");
  EXPECT_EQ(model.status, tracking::ModelStatus::kReady);
  ASSERT_EQ(model.metrics.size(), 1u);
  EXPECT_TRUE(std::isnan(model.metrics[0].metric.value));
  EXPECT_EQ(store.run(kRunId)->model_outputs[0].step, 7);
  EXPECT_THAT(store.run("ffffffffffffffffffffffffffffffff")->model_inputs, ElementsAre(kModelId));
}

TEST_F(MlflowDb, workspaces_are_told_apart_by_name) {
  db::Location from = make({kTables29, kTables30, kTables310, R"(
      INSERT INTO experiments VALUES (3, 'vision', 'mlflow-artifacts:/3', 'active', 1, 1, 'default');
      INSERT INTO experiments VALUES (4, 'vision', 'mlflow-artifacts:/4', 'active', 2, 2, 'team-b');
      INSERT INTO registered_models VALUES ('reg', 1, 1, NULL, 'default');
      INSERT INTO registered_models VALUES ('other', 1, 1, NULL, 'team-b');)"});
  auto store = open();
  EXPECT_THAT(
      reasons(take(from, store)),
      ElementsAre("registered model other: is of the workspace team-b; there is one name space here"));
  EXPECT_EQ(store.experiment("3")->name, "vision");
  EXPECT_EQ(store.experiment("4")->name, "team-b/vision");
}

TEST_F(MlflowDb, the_default_experiment_comes_over_to_a_store_that_has_not_used_its_own) {
  db::Location from = make({kTables29, kRows29, R"(
      UPDATE experiments SET name = 'first', artifact_location = 's3://bucket/0', lifecycle_stage = 'deleted',
        creation_time = 5, last_update_time = 6 WHERE experiment_id = 0)"});
  auto store = open();
  for (size_t is_new : {1, 0}) {
    EXPECT_EQ(take(from, store).experiments.added, is_new + is_new);  // and vision
    auto first = store.experiment("0").value();
    EXPECT_EQ(first.name, "first");
    EXPECT_EQ(first.artifact_location, "s3://bucket/0");
    EXPECT_EQ(first.lifecycle, tracking::Lifecycle::kDeleted);
    EXPECT_EQ(std::pair(first.created, first.updated), std::pair(int64_t{5}, int64_t{6}));
  }
}

TEST_F(MlflowDb, a_default_experiment_that_is_in_use_stays_as_it_is) {
  db::Location from = make({kTables29, kRows29, R"(
      UPDATE experiments SET artifact_location = 's3://bucket/0', creation_time = 5 WHERE experiment_id = 0)"});
  auto store = open();
  ASSERT_TRUE(store.create_run({}));
  take(from, store);
  EXPECT_EQ(store.experiment("0")->artifact_location, "mlflow-artifacts:/0");
  EXPECT_NE(store.experiment("0")->created, 5);
}

TEST_F(MlflowDb, long_metrics_come_in_pages) {
  db::Location from = make({kTables29, kRows29});
  {
    auto connection = db::open(from).value();
    ASSERT_TRUE(connection->run(
        "INSERT INTO metrics SELECT 'acc', value, timestamp, run_uuid, step, is_nan FROM metrics "
        "WHERE run_uuid = ?",
        kRunId));
    for (int doubled = 0; doubled < 18; ++doubled)
      ASSERT_TRUE(
          connection->run("INSERT INTO metrics SELECT 'acc', value, timestamp + ?, run_uuid, step + ?, "
                          "is_nan FROM metrics WHERE "
                          "key = 'acc'",
                          int64_t{2} << doubled, int64_t{2} << doubled));
  }
  auto store = open();
  EXPECT_EQ(take(from, store).points, (2u << 18) + 2);
  EXPECT_EQ(store.metric_history(kRunId, "acc")->items.size(), 2u << 18);
  EXPECT_EQ(take(from, store).points, 0u);
}

using SqliteMlflowDb = MlflowDb;

TEST_F(SqliteMlflowDb, nothing_is_written_to_the_source) {
  db::Location from = make({kTables29, kRows29});
  std::string before = read_file(from.file).value();
  auto store = open();
  take(from, store);
  EXPECT_EQ(read_file(from.file).value(), before);
}

TEST_F(SqliteMlflowDb, damage_is_named_and_the_rest_is_taken) {
  db::Location from = make({kTables29, kRows29, R"(
      UPDATE params SET value = CAST(x'fffe' AS TEXT);
      INSERT INTO runs SELECT '00000000000000000000000000000000', name, '', '', '', '', 'ODD', 1, 2, '', 'active', '', 3,
        NULL FROM runs WHERE user_id = 'ann';
      INSERT INTO runs SELECT '11111111111111111111111111111111', CAST(x'ff' AS TEXT), '', '', '', '', 'FAILED', 1, 2, '',
        'active', '', 3, NULL FROM runs WHERE user_id = 'ann';)"});
  auto store = open();
  EXPECT_THAT(reasons(take(from, store)),
              testing::UnorderedElementsAre(HasSubstr("parameters of run"), HasSubstr("its status is 'ODD'"),
                                            HasSubstr("is not UTF-8 text")));
  EXPECT_TRUE(store.run(kRunId));
}

TEST_F(SqliteMlflowDb, truncated_files_and_other_files_are_refused_by_name) {
  db::Location from = make({kTables29, kRows29});
  std::string whole = read_file(from.file).value();
  fs::path file = dir_.path() / "cut.db";
  for (size_t size : {whole.size() / 2, whole.size() / 4, size_t{5000}, size_t{1000}, size_t{10}}) {
    ASSERT_TRUE(write_file_atomic(file, whole.substr(0, size), Durable::no));
    auto source = MlflowDbSource::open({.file = file});
    if (!source) {
      EXPECT_THAT(source.error().message, HasSubstr("cut.db")) << size;
      continue;
    }
    auto store = tracking::Store::open({.uri = dir_.path() / fmt::format("{}.db", size)}).value();
    StoreSink sink(store);
    Report report;
    auto copied = copy(*source, sink, {}, report);
    EXPECT_TRUE(!copied || report.problem_count() > 0) << size;
  }
  ASSERT_TRUE(write_file_atomic(file, "", Durable::no));
  EXPECT_THAT(MlflowDbSource::open({.file = file}).error().message,
              HasSubstr("no database of an MLflow server"));
  ASSERT_TRUE(write_file_atomic(file, std::string(5000, 'x'), Durable::no));
  EXPECT_THAT(MlflowDbSource::open({.file = file}).error().message, HasSubstr("not a database"));
  EXPECT_THAT(MlflowDbSource::open({.file = dir_.path() / "none.db"}).error().message,
              HasSubstr("there is no file"));
}

TEST_F(MlflowDb, a_store_of_tidemills_is_told_how_it_is_merged) {
  auto file = dir_.path() / "other.db";
  {
    auto other = tracking::Store::open({.uri = file}).value();
  }
  EXPECT_THAT(MlflowDbSource::open({.file = file}).error().message,
              HasSubstr("other.db is a Tidemill store, no database of an MLflow server"));
}

}  // namespace
}  // namespace tidemill::exchange
