#include "tracking/garbage.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/files.h"
#include "db/location.h"
#include "test_database.h"
#include "tracking/lineage.h"
#include "tracking/logged_models.h"

namespace tidemill::tracking {
namespace {

struct GarbageTest : testing::Test {
  TempDir folder = TempDir::create().value();
  std::string uri = test::new_database(folder.path() / "t.db");
  Store store = Store::open({.uri = uri, .default_artifact_root = "mlflow-artifacts:"}).value();
  GarbageCollection collection{store};
  std::string experiment = store.create_experiment("e").value();

  // A run that has something in every table.
  std::string full_run() {
    CreateRun create;
    create.experiment_id = experiment;
    std::string id = store.create_run(create).value().info.id;
    std::string model = LoggedModels(store).create({.experiment_id = experiment, .name = "m"}).value().id;
    Batch batch{.metrics = {}, .params = {{"p", "1"}}, .tags = {{"t", "1"}}};
    for (int i = 0; i < 900; ++i) batch.metrics.push_back({"m", i * 0.37, i, i});
    batch.of_models.push_back({.metric = 0, .model_id = model});
    EXPECT_TRUE(store.log_batch(id, batch));
    EXPECT_TRUE(store.record_artifacts(id, {{"a", 1, "x"}}));
    Dataset dataset{.name = "d", .digest = "1", .source_type = "s", .source = "x"};
    EXPECT_TRUE(Lineage(store).log_inputs(id, {{dataset, {{"k", "v"}}}}, {model}));
    return id;
  }
  int64_t rows(const std::string& table) {
    auto connection = db::open(db::parse_location(uri).value()).value();
    auto count = connection->prepare("SELECT count(*) FROM " + table).value();
    EXPECT_TRUE(count.step());
    return count.integer(0);
  }
};

TEST_F(GarbageTest, nothing_of_a_collected_experiment_is_left) {
  full_run();
  full_run();
  ASSERT_TRUE(store.delete_experiment(experiment));
  Garbage garbage = collection.find({}).value();
  ASSERT_EQ(garbage.runs.size(), 2u);
  ASSERT_EQ(garbage.models.size(), 2u) << "models go with their experiment";
  ASSERT_EQ(garbage.experiments.size(), 1u);
  EXPECT_EQ(collection.erase_experiment(experiment).error().code, Code::kInvalid) << "it has runs";
  for (const auto& run : garbage.runs) ASSERT_TRUE(collection.erase_run(run.id));
  for (const auto& model : garbage.models) ASSERT_TRUE(collection.erase_model(model.id));
  ASSERT_TRUE(collection.erase_experiment(experiment));
  for (const char* table : {"runs", "params", "tags", "metrics", "metric_tails", "metric_chunks",
                            "metric_summaries", "artifacts", "logged_models", "logged_model_metrics",
                            "datasets", "run_datasets", "run_dataset_tags", "run_models"})
    EXPECT_EQ(rows(table), 0) << table;
  auto next = store.create_experiment("e");
  ASSERT_TRUE(next) << "its name is free again";
  EXPECT_NE(*next, experiment) << "its number is not: files may lie there";
  EXPECT_EQ(store.run(garbage.runs[0].id).error().code, Code::kNotFound);
}

TEST_F(GarbageTest, a_new_run_gets_nothing_of_the_one_before) {
  std::string old = full_run();
  ASSERT_TRUE(store.delete_run(old));
  ASSERT_TRUE(collection.erase_run(old));
  CreateRun create;
  create.experiment_id = experiment;
  std::string fresh = store.create_run(create).value().info.id;
  ASSERT_TRUE(store.log_metric(fresh, {"m", 7, 1, 0}));
  EXPECT_EQ(store.metric_history(fresh, "m").value().items.size(), 1u);
  EXPECT_TRUE(store.run(fresh).value().params.empty());
}

TEST_F(GarbageTest, only_what_was_deleted_long_enough_ago_goes) {
  std::string id = full_run();
  EXPECT_TRUE(collection.find({}).value().runs.empty());
  ASSERT_TRUE(store.delete_run(id));
  EXPECT_EQ(collection.find({}).value().runs.size(), 1u);
  EXPECT_TRUE(collection.find({.older_than_ms = 3'600'000}).value().runs.empty());
  GarbageSelection picked{.older_than_ms = 3'600'000, .run_ids = std::vector<std::string>{id}};
  EXPECT_THAT(collection.find(picked).error().message, testing::HasSubstr("too short a time ago"));
  ASSERT_TRUE(store.restore_run(id));
  EXPECT_TRUE(collection.find({}).value().runs.empty());
  EXPECT_EQ(collection.erase_run(id).error().code, Code::kInvalid) << "restored meanwhile";
  EXPECT_EQ(store.run(id).value().param("p"), "1");
}

TEST_F(GarbageTest, what_is_picked_must_be_deleted) {
  std::string id = full_run();
  using Ids = std::vector<std::string>;
  EXPECT_THAT(collection.find({.run_ids = Ids{id}}).error().message, testing::HasSubstr("is not deleted"));
  EXPECT_THAT(collection.find({.experiment_ids = Ids{experiment}}).error().message,
              testing::HasSubstr("is not deleted"));
  EXPECT_EQ(collection.find({.run_ids = Ids{"none"}}).error().code, Code::kNotFound);
  EXPECT_EQ(collection.find({.experiment_ids = Ids{"99"}}).error().code, Code::kNotFound);
  EXPECT_EQ(collection.find({.model_ids = Ids{"m-x"}}).error().code, Code::kNotFound);
  ASSERT_TRUE(store.delete_run(id));
  Garbage none = collection.find({.run_ids = Ids{}, .experiment_ids = Ids{}, .model_ids = Ids{}}).value();
  EXPECT_TRUE(none.runs.empty());
}

}  // namespace
}  // namespace tidemill::tracking
