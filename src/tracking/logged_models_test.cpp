#include "tracking/logged_models.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/files.h"
#include "test_database.h"
#include "tracking/lineage.h"

namespace tidemill::tracking {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

struct LoggedModelsTest : testing::Test {
  TempDir folder = TempDir::create().value();
  Store store = Store::open({.uri = test::new_database(folder.path() / "t.db"),
                             .default_artifact_root = "mlflow-artifacts:"})
                    .value();
  LoggedModels models{store};
  Lineage lineage{store};

  std::string new_run() { return store.create_run({}).value().info.id; }
  std::string new_model(std::string name, std::vector<KeyValue> params = {},
                        std::vector<KeyValue> tags = {}) {
    return models
        .create({.experiment_id = "0",
                 .name = std::move(name),
                 .model_type = "",
                 .source_run_id = "",
                 .params = std::move(params),
                 .tags = std::move(tags)})
        .value()
        .id;
  }
  void measure(const std::string& run, const std::string& model, std::string key, double value,
               int64_t timestamp, std::string dataset = "", std::string digest = "") {
    ASSERT_TRUE(store.log_metric(run, {std::move(key), value, timestamp, 0},
                                 MetricOfModel{.metric = 0,
                                               .model_id = model,
                                               .dataset_name = std::move(dataset),
                                               .dataset_digest = std::move(digest)}));
  }
  std::vector<std::string> found(std::string filter, std::vector<ModelOrder> order = {},
                                 std::vector<DatasetFilter> datasets = {}) {
    auto page = models.search({.experiment_ids = {"0"},
                               .filter = std::move(filter),
                               .datasets = std::move(datasets),
                               .order_by = std::move(order),
                               .page_token = {}});
    EXPECT_TRUE(page) << page.error().message;
    std::vector<std::string> names;
    if (page)
      for (const LoggedModel& model : page->items) names.push_back(model.name);
    return names;
  }
  std::string refusal(std::string filter) {
    auto page = models.search({.experiment_ids = {"0"}, .filter = std::move(filter)});
    return page ? "accepted" : page.error().message;
  }
};

TEST_F(LoggedModelsTest, a_model_comes_back_as_it_was_created) {
  auto made = models.create({.experiment_id = "0",
                             .name = "net",
                             .model_type = "classifier",
                             .source_run_id = "abc",
                             .params = {{"lr", "0.1"}},
                             .tags = {{"t", "1"}}});
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_EQ(made->id.size(), 34u);
  EXPECT_TRUE(made->id.starts_with("m-"));
  EXPECT_EQ(made->artifact_uri, "mlflow-artifacts:/0/models/" + made->id + "/artifacts");
  auto read = models.get(made->id).value();
  EXPECT_EQ(read.name, "net");
  EXPECT_EQ(read.model_type, "classifier");
  EXPECT_EQ(read.source_run_id, "abc");
  EXPECT_EQ(read.status, ModelStatus::kPending);
  EXPECT_EQ(read.params, (std::vector<KeyValue>{{"lr", "0.1"}}));
  EXPECT_EQ(read.tags, (std::vector<KeyValue>{{"t", "1"}}));
  EXPECT_EQ(read.created, made->created);
}

TEST_F(LoggedModelsTest, a_model_without_a_name_gets_one) {
  EXPECT_NE(models.get(new_model("")).value().name, "");
}

TEST_F(LoggedModelsTest, names_that_break_uris_are_refused) {
  for (const char* name : {"a/b", "a:b", "a.b", "a%b", "a\"b", "a'b"})
    EXPECT_EQ(models.create({.experiment_id = "0", .name = name}).error().code, Code::kInvalid) << name;
}

TEST_F(LoggedModelsTest, a_model_needs_an_active_experiment) {
  EXPECT_EQ(models.create({.experiment_id = "77", .name = "m"}).error().message,
            "No Experiment with id=77 exists");
  std::string id = store.create_experiment("gone").value();
  ASSERT_TRUE(store.delete_experiment(id));
  EXPECT_THAT(models.create({.experiment_id = id, .name = "m"}).error().message, HasSubstr("'active' state"));
}

TEST_F(LoggedModelsTest, a_finished_model_is_ready) {
  std::string id = new_model("m");
  EXPECT_EQ(models.finalize(id, ModelStatus::kReady).value().status, ModelStatus::kReady);
  EXPECT_EQ(models.get(id).value().status, ModelStatus::kReady);
  EXPECT_EQ(models.finalize("m-none", ModelStatus::kReady).error().message,
            "Logged model with ID 'm-none' not found.");
}

TEST_F(LoggedModelsTest, a_deleted_model_is_hidden) {
  std::string id = new_model("m");
  ASSERT_TRUE(models.remove(id));
  ASSERT_TRUE(models.remove(id));
  EXPECT_EQ(models.get(id).error().code, Code::kNotFound);
  EXPECT_EQ(models.get(id, LoggedModels::Deleted::kShown).value().lifecycle, Lifecycle::kDeleted);
  EXPECT_TRUE(found("").empty());
}

TEST_F(LoggedModelsTest, tags_are_replaced_and_deleted) {
  std::string id = new_model("m", {}, {{"a", "1"}});
  ASSERT_TRUE(models.set_tags(id, {{"a", "2"}, {"b", "3"}, {"b", "4"}}));
  EXPECT_EQ(models.get(id).value().tags, (std::vector<KeyValue>{{"a", "2"}, {"b", "4"}}));
  ASSERT_TRUE(models.delete_tag(id, "a"));
  EXPECT_EQ(models.delete_tag(id, "a").error().message,
            "No tag with key 'a' found for model with ID '" + id + "'.");
}

TEST_F(LoggedModelsTest, parameters_cannot_change) {
  std::string id = new_model("m", {{"a", "1"}});
  ASSERT_TRUE(models.log_params(id, {{"a", "1"}, {"b", "2"}}));
  EXPECT_THAT(models.log_params(id, {{"c", "1"}, {"a", "2"}}).error().message,
              HasSubstr("Changing param values is not allowed"));
  EXPECT_EQ(models.get(id).value().params, (std::vector<KeyValue>{{"a", "1"}, {"b", "2"}}))
      << "a refused call left something behind";
}

TEST_F(LoggedModelsTest, metrics_belong_to_the_run_and_to_the_model) {
  std::string run = new_run(), id = new_model("m");
  measure(run, id, "acc", 0.5, 10, "train", "d1");
  measure(run, id, "acc", 0.5, 10, "train", "d1");  // a repeated request
  measure(run, id, "acc", 0.7, 10, "test", "d2");
  measure(run, id, "nan", std::numeric_limits<double>::quiet_NaN(), 11);
  measure(run, id, "inf", std::numeric_limits<double>::infinity(), 11);
  auto metrics = models.get(id).value().metrics;
  ASSERT_EQ(metrics.size(), 4u);
  EXPECT_EQ(metrics[0].dataset_name, "test");
  EXPECT_EQ(metrics[0].metric.value, 0.7);
  EXPECT_EQ(metrics[0].run_id, run);
  EXPECT_EQ(metrics[1].dataset_digest, "d1");
  EXPECT_EQ(metrics[2].metric.value, std::numeric_limits<double>::max());
  EXPECT_TRUE(std::isnan(metrics[3].metric.value));
  EXPECT_EQ(store.run(run).value().metric("acc"), 0.7);
}

TEST_F(LoggedModelsTest, a_metric_of_an_unknown_model_is_refused_whole) {
  std::string run = new_run();
  auto logged = store.log_metric(run, {"acc", 1, 1, 0}, MetricOfModel{.metric = 0, .model_id = "m-none"});
  EXPECT_EQ(logged.error().message, "Logged model with ID 'm-none' not found.");
  EXPECT_FALSE(store.run(run).value().metric("acc"));
}

TEST_F(LoggedModelsTest, search_filters_by_everything) {
  std::string run = new_run();
  std::string a = new_model("alpha", {{"lr", "0.1"}}, {{"team", "vision"}});
  std::string b = new_model("beta", {{"lr", "0.2"}});
  measure(run, a, "acc", 0.9, 1, "train", "d1");
  measure(run, a, "acc", 0.5, 2, "test", "d2");
  measure(run, b, "acc", 0.7, 1, "test", "d2");
  ASSERT_TRUE(models.finalize(a, ModelStatus::kReady));
  EXPECT_THAT(found("name = 'alpha'"), ElementsAre("alpha"));
  EXPECT_THAT(found("name LIKE 'be%'"), ElementsAre("beta"));
  EXPECT_THAT(found("name IN ('alpha', 'Beta')"), ElementsAre("alpha"));
  EXPECT_THAT(found("model_id = '" + b + "'"), ElementsAre("beta"));
  EXPECT_THAT(found("status = 'READY'"), ElementsAre("alpha"));
  EXPECT_THAT(found("params.lr = '0.2'"), ElementsAre("beta"));
  EXPECT_THAT(found("tags.team = 'vision' AND creation_timestamp > 0"), ElementsAre("alpha"));
  EXPECT_THAT(found("metrics.acc > 0.8"), ElementsAre("alpha"));
  EXPECT_THAT(found("metrics.acc > 0.6", {}, {{.name = "test", .digest = ""}}), ElementsAre("beta"));
  EXPECT_THAT(found("", {}, {{.name = "train", .digest = "d1"}}), ElementsAre("alpha"));
  EXPECT_THAT(found("", {}, {{.name = "train", .digest = "d9"}}), ElementsAre());
  EXPECT_THAT(found("metrics.none = 1"), ElementsAre());
}

TEST_F(LoggedModelsTest, search_orders_by_the_latest_metric_of_a_data_set) {
  std::string run = new_run();
  std::string a = new_model("alpha"), b = new_model("beta");
  new_model("gamma");
  measure(run, a, "acc", 0.9, 1, "train");
  measure(run, a, "acc", 0.5, 2, "test");
  measure(run, b, "acc", 0.7, 1, "test");
  EXPECT_THAT(found("", {{.field = "metrics.acc"}}), ElementsAre("alpha", "beta", "gamma"));
  EXPECT_THAT(found("", {{.field = "metrics.acc", .ascending = false}}),
              ElementsAre("beta", "alpha", "gamma"));
  EXPECT_THAT(
      found("", {{.field = "metrics.acc", .ascending = false, .dataset = {.name = "train", .digest = ""}}})
          .front(),
      "alpha");
  EXPECT_THAT(found("", {{.field = "name", .ascending = false}}), ElementsAre("gamma", "beta", "alpha"));
}

TEST_F(LoggedModelsTest, hostile_filters_are_values_or_errors) {
  new_model("m");
  EXPECT_THAT(found("name = '''; DROP TABLE logged_models; --'"), ElementsAre());
  EXPECT_THAT(refusal("zzz = 'x'"), HasSubstr("Invalid attribute key 'zzz'"));
  EXPECT_NE(refusal("metrics.a = 'x'"), "accepted");
  EXPECT_NE(refusal("dataset.name = 'x'"), "accepted");
  EXPECT_THAT(found(""), ElementsAre("m"));
  EXPECT_EQ(models.search({.experiment_ids = {"0"}, .order_by = {{.field = "params.x"}}}).error().code,
            Code::kInvalid);
  EXPECT_EQ(models.search({.experiment_ids = {"0"}, .datasets = {{.name = ""}}}).error().code,
            Code::kInvalid);
  EXPECT_EQ(models.search({.experiment_ids = {"0"}, .max_results = -1}).error().message,
            "Invalid value -1 for parameter 'max_results' supplied. It must be from 1 to 50000");
}

TEST_F(LoggedModelsTest, pages_follow_each_other) {
  for (int i = 0; i < 5; ++i) new_model("m" + std::to_string(i));
  SearchLoggedModels search{.experiment_ids = {"0"}, .max_results = 2, .order_by = {{.field = "name"}}};
  std::vector<std::string> names;
  do {
    auto page = models.search(search).value();
    for (const LoggedModel& model : page.items) names.push_back(model.name);
    search.page_token = page.next_page_token;
  } while (!search.page_token.empty());
  EXPECT_THAT(names, ElementsAre("m0", "m1", "m2", "m3", "m4"));
}

TEST_F(LoggedModelsTest, a_run_knows_what_it_read_and_made) {
  std::string run = new_run(), other = new_run();
  Dataset train{.name = "train", .digest = "d1", .source_type = "local", .source = "{}"};
  train.profile = "{\"rows\": 3}";
  ASSERT_TRUE(lineage.log_inputs(run, {{train, {{"mlflow.data.context", "training"}, {"x", "y"}}}}, {"m-1"}));
  // The same data set once more: the first source and tags stay.
  Dataset again = train;
  again.source = "changed";
  ASSERT_TRUE(lineage.log_inputs(run, {{again, {{"mlflow.data.context", "eval"}}}}, {"m-1"}));
  ASSERT_TRUE(lineage.log_inputs(other, {{train, {}}}, {}));
  ASSERT_TRUE(lineage.log_outputs(run, {{"m-2", 7}, {"m-2", 7}, {"m-3", 8}}));
  tracking::Run read = store.run(run).value();
  ASSERT_EQ(read.datasets.size(), 1u);
  EXPECT_EQ(read.datasets[0].dataset.source, "{}");
  EXPECT_EQ(read.datasets[0].dataset.profile, train.profile);
  EXPECT_FALSE(read.datasets[0].dataset.schema);
  EXPECT_EQ(read.datasets[0].tags, (std::vector<KeyValue>{{"mlflow.data.context", "training"}, {"x", "y"}}));
  EXPECT_THAT(read.model_inputs, ElementsAre("m-1"));
  ASSERT_EQ(read.model_outputs.size(), 2u);
  EXPECT_EQ(read.model_outputs[1].model_id, "m-3");
  EXPECT_EQ(read.model_outputs[1].step, 8);
  SearchRuns search;
  search.experiment_ids = {"0"};
  auto page = store.search_runs(search).value();
  for (const tracking::Run& one : page.items) EXPECT_EQ(one.datasets.size(), 1u);
  auto summaries = lineage.datasets({"0"}).value();
  ASSERT_EQ(summaries.size(), 2u);
  EXPECT_FALSE(summaries[0].context);
  EXPECT_EQ(summaries[1].context, "training");
}

TEST_F(LoggedModelsTest, inputs_have_limits) {
  std::string run = new_run();
  Dataset dataset{.name = std::string(501, 'n'), .digest = "d", .source_type = "s", .source = "x"};
  EXPECT_EQ(lineage.log_inputs(run, {{dataset, {}}}, {}).error().message,
            "'name' exceeds the maximum length of 500 characters");
  dataset.name = "n";
  EXPECT_EQ(lineage.log_inputs(run, {{dataset, {{"k", std::string(501, 'v')}}}}, {}).error().code,
            Code::kInvalid);
  EXPECT_EQ(lineage.log_inputs(std::string(32, 'f'), {}, {}).error().code, Code::kNotFound);
  ASSERT_TRUE(store.delete_run(run));
  EXPECT_THAT(lineage.log_outputs(run, {{"m-1", 0}}).error().message, HasSubstr("'active' state"));
}

}  // namespace
}  // namespace tidemill::tracking
