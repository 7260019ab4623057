#include "tracking/store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <thread>

#include "base/files.h"
#include "db/location.h"
#include "test_database.h"

namespace tidemill::tracking {
namespace {

using testing::HasSubstr;

struct StoreTest : testing::Test {
  TempDir folder = TempDir::create().value();
  std::string uri = test::new_database(folder.path() / "tidemill.db");
  Store store = opened();

  Store opened() { return Store::open({.uri = uri, .default_artifact_root = "mlflow-artifacts:/"}).value(); }

  std::string new_run(std::string name = "", std::string experiment = "0") {
    CreateRun create;
    create.name = std::move(name);
    create.experiment_id = std::move(experiment);
    auto run = store.create_run(create);
    EXPECT_TRUE(run) << run.error().message;
    return run->info.id;
  }
  std::vector<Metric> history(std::string_view id, std::string_view key) {
    return store.metric_history(id, key).value().items;
  }
};

template <class T>
void expect_error(const Result<T>& result, Code code, std::string_view message) {
  ASSERT_FALSE(result) << "expected: " << message;
  EXPECT_EQ(result.error().code, code) << to_string(result.error().code);
  EXPECT_EQ(result.error().message, message);
}

TEST_F(StoreTest, a_new_store_has_the_default_experiment) {
  auto experiment = store.experiment("0").value();
  EXPECT_EQ(experiment.name, "Default");
  EXPECT_EQ(experiment.artifact_location, "mlflow-artifacts:/0");
  EXPECT_EQ(experiment.lifecycle, Lifecycle::kActive);
}

TEST_F(StoreTest, a_relative_artifact_location_goes_on_from_the_current_folder) {
  std::string id = store.create_experiment("e", "./some/place", {}).value();
  EXPECT_EQ(store.experiment(id)->artifact_location, fs::current_path() / "some/place");
  auto other =
      Store::open({.uri = test::new_database(folder.path() / "other.db"), .default_artifact_root = "root"});
  EXPECT_EQ(other->experiment("0")->artifact_location, fs::current_path() / "root/0");
}

TEST_F(StoreTest, an_experiment_comes_back_with_its_tags) {
  std::string id = store.create_experiment("e", "", {{"k", "v"}}).value();
  EXPECT_EQ(id, "1");
  ASSERT_TRUE(store.set_experiment_tag(id, "k", "w"));
  auto experiment = store.experiment_by_name("e").value();
  EXPECT_EQ(experiment.id, id);
  EXPECT_EQ(experiment.artifact_location, "mlflow-artifacts:/1");
  EXPECT_EQ(experiment.tags, (std::vector<KeyValue>{{"k", "w"}}));
}

TEST_F(StoreTest, experiment_errors_have_mlflows_words) {
  std::string id = store.create_experiment("e").value();
  expect_error(store.create_experiment("e"), Code::kConflict, "Experiment(name=e) already exists.");
  expect_error(store.experiment("99"), Code::kNotFound, "No Experiment with id=99 exists");
  expect_error(store.experiment("abc"), Code::kInvalid,
               "Invalid experiment ID 'abc'. Experiment ID must be a valid integer.");
  expect_error(store.experiment_by_name("zz"), Code::kNotFound, "Could not find experiment with name 'zz'");
  expect_error(store.create_experiment(std::string(501, 'a')), Code::kInvalid,
               "'name' exceeds the maximum length of 500 characters");
  expect_error(store.create_experiment("f", "runs:/x"), Code::kInvalid,
               "Artifact location cannot be a runs:/ URI. Given: 'runs:/x'");
  expect_error(store.create_experiment("f", "s3://b/x#frag"), Code::kInvalid,
               "'artifact_location' URL can't include fragments or params.");
  expect_error(store.restore_experiment(id), Code::kNotFound, "No Experiment with id=1 exists");
  expect_error(store.delete_experiment("999999"), Code::kNotFound, "No Experiment with id=999999 exists");
  std::string other = store.create_experiment("other").value();
  expect_error(store.rename_experiment(other, "e"), Code::kConflict, "Experiment(name=e) already exists.");
}

TEST_F(StoreTest, the_name_of_a_deleted_experiment_stays_taken_and_its_runs_go_with_it) {
  std::string id = store.create_experiment("e").value();
  std::string run = new_run("r", id);
  ASSERT_TRUE(store.delete_experiment(id));
  expect_error(store.create_experiment("e"), Code::kConflict, "Experiment(name=e) already exists.");
  EXPECT_EQ(store.experiment(id)->lifecycle, Lifecycle::kDeleted);
  EXPECT_EQ(store.run(run)->info.lifecycle, Lifecycle::kDeleted);
  CreateRun create;
  create.experiment_id = id;
  expect_error(store.create_run(create), Code::kInvalid,
               "The experiment 1 must be in the 'active' state. Current state is deleted.");
  expect_error(store.set_tag(run, "a", "b"), Code::kInvalid,
               "The run " + run + " must be in the 'active' state. Current state is deleted.");
  ASSERT_TRUE(store.restore_experiment(id));
  EXPECT_TRUE(store.set_tag(run, "a", "b"));
}

TEST_F(StoreTest, ensuring_an_experiment_creates_it_once) {
  std::string id = store.ensure_experiment("e").value();
  EXPECT_EQ(store.ensure_experiment("e").value(), id);
  ASSERT_TRUE(store.delete_experiment(id));
  EXPECT_FALSE(store.ensure_experiment("e"));
}

TEST_F(StoreTest, a_new_run_is_running_and_named) {
  CreateRun create;
  create.name = "nm";
  create.user = "u";
  create.start_time = 1'700'000'000'000;
  create.tags = {{"mlflow.user", "u"}};
  auto created = store.create_run(create).value();
  auto run = store.run(created.info.id).value();
  EXPECT_EQ(run.info.id.size(), 32u);
  EXPECT_EQ(run.info.status, RunStatus::kRunning);
  EXPECT_EQ(run.info.start_time, 1'700'000'000'000);
  EXPECT_EQ(run.info.end_time, std::nullopt);
  EXPECT_EQ(run.info.user, "u");
  EXPECT_EQ(run.info.artifact_uri, "mlflow-artifacts:/0/" + run.info.id + "/artifacts");
  EXPECT_EQ(run.tag("mlflow.runName"), "nm");
  EXPECT_EQ(run.tag("mlflow.user"), "u");
}

TEST_F(StoreTest, run_names_come_from_argument_tag_or_are_made_up) {
  EXPECT_FALSE(store.run(new_run())->info.name.empty());
  CreateRun create;
  create.tags = {{"mlflow.runName", "b"}};
  EXPECT_EQ(store.create_run(create)->info.name, "b");
  create.name = "a";
  expect_error(store.create_run(create), Code::kInvalid,
               "Both 'run_name' argument and 'mlflow.runName' tag are specified, but with different values "
               "(run_name='a', mlflow.runName='b').");
}

TEST_F(StoreTest, updating_a_run_changes_status_end_and_name) {
  std::string id = new_run("nm");
  auto info =
      store.update_run({.run_id = id, .status = RunStatus::kFinished, .end_time = 7, .name = "nm2"}).value();
  EXPECT_EQ(info.status, RunStatus::kFinished);
  EXPECT_EQ(info.end_time, 7);
  auto run = store.run(id).value();
  EXPECT_EQ(run.info.name, "nm2");
  EXPECT_EQ(run.tag("mlflow.runName"), "nm2");
  ASSERT_TRUE(store.set_tag(id, "mlflow.runName", "nm3"));
  EXPECT_EQ(store.run(id)->info.name, "nm3");
}

TEST_F(StoreTest, deleting_and_restoring_a_run_can_be_repeated) {
  std::string id = new_run();
  EXPECT_TRUE(store.delete_run(id));
  EXPECT_TRUE(store.delete_run(id));
  expect_error(store.log_metric(id, {"m", 1, 1, 0}), Code::kInvalid,
               "The run " + id + " must be in the 'active' state. Current state is deleted.");
  EXPECT_TRUE(store.restore_run(id));
  EXPECT_TRUE(store.restore_run(id));
  EXPECT_TRUE(store.log_metric(id, {"m", 1, 1, 0}));
}

TEST_F(StoreTest, an_unknown_run_is_not_found) {
  std::string id(32, 'f');
  std::string message = "Run with id=" + id + " not found";
  expect_error(store.run(id), Code::kNotFound, message);
  expect_error(store.log_metric(id, {"m", 1, 1, 0}), Code::kNotFound, message);
  expect_error(store.metric_history(id, "m"), Code::kNotFound, message);
  expect_error(store.update_run({.run_id = id, .status = {}, .end_time = {}, .name = {}}), Code::kNotFound,
               message);
}

TEST_F(StoreTest, latest_metric_is_by_step_then_time_then_value) {
  std::string id = new_run();
  Batch batch;
  batch.metrics = {{"m", 1, 10, 5}, {"m", 9, 99, 4}, {"m", 2, 10, 5}, {"m", 1, 11, 5}, {"m", 0, 11, 5}};
  ASSERT_TRUE(store.log_batch(id, batch));
  auto run = store.run(id).value();
  ASSERT_EQ(run.metrics.size(), 1u);
  EXPECT_EQ(run.metrics[0].value, 1);
  EXPECT_EQ(run.metrics[0].timestamp, 11);
  EXPECT_EQ(run.metrics[0].step, 5);
}

TEST_F(StoreTest, identical_points_are_stored_once) {
  std::string id = new_run();
  Batch batch;
  for (int i = 0; i < 900; ++i) batch.metrics.push_back({"m", std::sin(i), 1000 + i, i});
  batch.metrics.push_back({"n", std::nan(""), 1, 0});
  batch.metrics.push_back({"n", std::nan(""), 1, 0});
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(store.log_batch(id, batch));
  EXPECT_EQ(history(id, "m").size(), 900u);
  EXPECT_EQ(history(id, "n").size(), 1u);
}

TEST_F(StoreTest, infinities_become_the_largest_numbers_and_nan_stays) {
  std::string id = new_run();
  constexpr double kInf = std::numeric_limits<double>::infinity();
  Batch batch;
  batch.metrics = {{"inf", kInf, 1, 0}, {"ninf", -kInf, 1, 0}, {"nan", std::nan(""), 1, 0}};
  ASSERT_TRUE(store.log_batch(id, batch));
  auto run = store.run(id).value();
  EXPECT_EQ(run.metric("inf"), 1.7976931348623157e308);
  EXPECT_EQ(run.metric("ninf"), -1.7976931348623157e308);
  EXPECT_TRUE(std::isnan(run.metric("nan").value()));
  EXPECT_TRUE(std::isnan(history(id, "nan")[0].value));
}

TEST_F(StoreTest, history_is_ordered_by_time_and_paged) {
  std::string id = new_run();
  Batch batch;
  batch.metrics = {{"m", 3, 3, 0}, {"m", 1, 1, 9}, {"m", 2, 2, 0}};
  ASSERT_TRUE(store.log_batch(id, batch));
  auto page = store.metric_history(id, "m", 2).value();
  ASSERT_EQ(page.items.size(), 2u);
  EXPECT_EQ(page.items[0].value, 1);
  EXPECT_EQ(page.items[1].value, 2);
  EXPECT_EQ(page.next_page_token, "eyJvZmZzZXQiOiAyfQ==");
  auto rest = store.metric_history(id, "m", 2, page.next_page_token).value();
  ASSERT_EQ(rest.items.size(), 1u);
  EXPECT_EQ(rest.items[0].value, 3);
  EXPECT_EQ(rest.next_page_token, "");
  EXPECT_TRUE(history(id, "never").empty());
}

TEST_F(StoreTest, a_clock_that_goes_backwards_loses_nothing) {
  std::string id = store.create_run({.name = "first", .start_time = 10'000}).value().info.id;
  std::string earlier = store.create_run({.name = "second", .start_time = 5'000}).value().info.id;
  constexpr int64_t kPoints = 3000;
  for (int64_t step = 0; step < kPoints; step += 500) {
    Batch batch;
    for (int64_t i = step; i < step + 500; ++i)
      batch.metrics.push_back({"m", static_cast<double>(i), 9'000 - i, i});
    ASSERT_TRUE(store.log_batch(id, batch));
  }
  ASSERT_TRUE(store.log_metric(id, {"m", -1, 0, kPoints}));
  auto points = history(id, "m");
  ASSERT_EQ(points.size(), static_cast<size_t>(kPoints) + 1);
  EXPECT_EQ(points.front().step, kPoints) << "a history is by time";
  EXPECT_EQ(points.back().step, 0);
  EXPECT_TRUE(std::is_sorted(points.begin(), points.end(),
                             [](const Metric& a, const Metric& b) { return a.timestamp < b.timestamp; }));
  EXPECT_EQ(store.run(id)->metric("m"), -1) << "the latest is by step";
  ASSERT_TRUE(
      store.update_run({.run_id = id, .status = RunStatus::kFinished, .end_time = 4'000, .name = {}}));
  EXPECT_EQ(store.run(id)->info.end_time, 4'000);
  auto runs = store.search_runs({.experiment_ids = {"0"}})->items;
  ASSERT_EQ(runs.size(), 2u);
  EXPECT_EQ(runs[0].info.id, id) << "by the time that they say, not the order in which they came";
  ASSERT_TRUE(store.delete_run(earlier));
  ASSERT_TRUE(store.restore_run(earlier));
}

TEST_F(StoreTest, long_histories_survive_chunk_borders_the_end_of_the_run_and_reopening) {
  std::string id = new_run();
  std::vector<Metric> expected;
  for (int batch_number = 0; batch_number < 7; ++batch_number) {
    Batch batch;
    for (int i = 0; i < 500; ++i) {
      int step = batch_number * 500 + i;
      for (const char* key : {"a", "b"}) batch.metrics.push_back({key, std::sin(step), 1000 + step, step});
      expected.push_back({"a", std::sin(step), 1000 + step, step});
    }
    ASSERT_TRUE(store.log_batch(id, batch));
    if (batch_number == 2) store = opened();
    if (batch_number == 4) {
      ASSERT_TRUE(
          store.update_run({.run_id = id, .status = RunStatus::kFinished, .end_time = {}, .name = {}}));
    }
  }
  for (const char* key : {"a", "b"}) {
    auto points = history(id, key);
    ASSERT_EQ(points.size(), expected.size());
    for (size_t i = 0; i < points.size(); ++i) {
      ASSERT_EQ(points[i].value, expected[i].value);
      ASSERT_EQ(points[i].step, expected[i].step);
      ASSERT_EQ(points[i].timestamp, expected[i].timestamp);
    }
  }
  EXPECT_EQ(store.run(id)->metric("a"), std::sin(3499));
}

TEST_F(StoreTest, a_parameter_cannot_change) {
  std::string id = new_run();
  ASSERT_TRUE(store.log_param(id, "p", "1"));
  ASSERT_TRUE(store.log_param(id, "p", "1"));
  expect_error(
      store.log_param(id, "p", "2"), Code::kInvalid,
      "Changing param values is not allowed. Param with key='p' was already logged with value='1' for run "
      "ID='" +
          id + "'. Attempted logging new value '2'.");
  Batch batch;
  batch.params = {{"new", "3"}, {"p", "3"}};
  batch.metrics = {{"m", 1, 1, 0}};
  expect_error(
      store.log_batch(id, batch), Code::kInvalid,
      "Changing param values is not allowed. Params were already logged='[{'key': 'p', 'old_value': '1', "
      "'new_value': '3'}]' for run ID='" +
          id + "'.");
  auto run = store.run(id).value();
  EXPECT_EQ(run.params, (std::vector<KeyValue>{{"p", "1"}}));
  EXPECT_TRUE(run.metrics.empty());
  EXPECT_TRUE(store.log_batch(id, {.metrics = {{"m", 1, 1, 0}}, .params = {{"new", "3"}}, .tags = {}}));
}

TEST_F(StoreTest, batch_limits_have_mlflows_words) {
  std::string id = new_run();
  Batch metrics;
  for (int i = 0; i < 1001; ++i) metrics.metrics.push_back({"b", 2, i, 0});
  expect_error(
      store.log_batch(id, metrics), Code::kInvalid,
      "A batch logging request can contain at most 1000 metrics. Got 1001 metrics. Please split up metrics "
      "across multiple requests and try again.");
  metrics.metrics.pop_back();
  metrics.params = {{"q", "1"}};
  expect_error(
      store.log_batch(id, metrics), Code::kInvalid,
      "A batch logging request can contain at most 1000 metrics, params, and tags. Got 1001 metrics, params, "
      "and tags. Please split up metrics, params, and tags across multiple requests and try again.");
  Batch params;
  for (int i = 0; i < 101; ++i) params.params.emplace_back("q" + std::to_string(i), "1");
  expect_error(
      store.log_batch(id, params), Code::kInvalid,
      "A batch logging request can contain at most 100 params. Got 101 params. Please split up params across "
      "multiple requests and try again.");
  Batch twice;
  twice.params = {{"d", "1"}, {"d", "1"}};
  expect_error(store.log_batch(id, twice), Code::kInvalid,
               "Duplicate parameter keys have been submitted: ['d']. Please ensure the request contains only "
               "one param "
               "value per param key.");
  EXPECT_TRUE(store.log_batch(id, {}));
}

TEST_F(StoreTest, bad_names_have_mlflows_words) {
  std::string id = new_run();
  constexpr std::string_view kCharacters =
      " supplied: Names may only contain alphanumerics, underscores (_), dashes (-), periods (.), spaces ( "
      "), "
      "colon(:) and slashes (/).";
  expect_error(store.log_metric(id, {"a*b", 1, 2, 0}), Code::kInvalid,
               fmt::format("Invalid value \"a*b\" for parameter 'name'{}", kCharacters));
  Batch batch;
  batch.metrics = {{"ok", 1, 1, 0}, {"a*", 2, 1, 0}};
  expect_error(store.log_batch(id, batch), Code::kInvalid,
               fmt::format("Invalid value \"a*\" for parameter 'metrics[1].name'{}", kCharacters));
  expect_error(
      store.log_metric(id, {"../b", 1, 2, 0}), Code::kInvalid,
      "Invalid value \"../b\" for parameter 'name' supplied: Names may be treated as files in certain cases, "
      "and must not resolve to other names when treated as such. This name would resolve to '../b'");
  expect_error(store.log_metric(id, {std::string(251, 'k'), 1, 2, 0}), Code::kInvalid,
               "'Metric name' exceeds the maximum length of 250 characters");
  expect_error(
      store.log_metric(id, {"m", 1, -2, 0}), Code::kInvalid,
      "Invalid value -2 for parameter 'timestamp' supplied: metric 'm' (value=1.0). Timestamp must be a "
      "nonnegative long (64-bit integer) ");
  for (const char* bad :
       {"", ".", "/a", "a//b", "a/", "./a", "a/../b", "..a", "a\n", "a\xFF", "\xF0\x9F\x98\x80"})
    EXPECT_FALSE(store.set_tag(id, bad, "v")) << bad;
  for (const char* good : {"a", "a.b", "a/b", "a b", "train:loss", "\xC3\xA9t\xC3\xA9", ".a", "_"})
    EXPECT_TRUE(store.log_metric(id, {good, 1, 1, 0})) << good;
}

TEST_F(StoreTest, long_values_are_cut_at_whole_characters) {
  std::string id = new_run();
  std::string text;
  for (int i = 0; i < 9000; ++i) text += "\xC3\xA9";
  ASSERT_TRUE(store.log_param(id, "p", text));
  ASSERT_TRUE(store.set_tag(id, "t", text));
  EXPECT_TRUE(store.log_param(id, "p", text));
  auto run = store.run(id).value();
  EXPECT_EQ(run.param("p"), text.substr(0, 12'000));
  EXPECT_EQ(run.tag("t"), text.substr(0, 16'000));
}

TEST_F(StoreTest, a_tag_can_be_deleted_once) {
  std::string id = new_run();
  ASSERT_TRUE(store.set_tag(id, "t", "v"));
  ASSERT_TRUE(store.delete_tag(id, "t"));
  expect_error(store.delete_tag(id, "t"), Code::kNotFound, "No tag with name: t in run with id " + id);
}

TEST_F(StoreTest, one_refused_request_of_a_group_takes_nothing_with_it) {
  std::string id = new_run();
  ASSERT_TRUE(store.log_param(id, "p", "1"));
  constexpr int kThreads = 4, kRounds = 50;
  std::atomic<int> refused = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < kRounds; ++i) {
        EXPECT_TRUE(store.log_metric(id, {"m" + std::to_string(t), 1.0 * i, i, i}));
        Batch bad{.metrics = {{"m" + std::to_string(t), -1, i, i}},
                  .params = {{"q" + std::to_string(t), "new"}, {"p", "2"}},
                  .tags = {}};
        if (!store.log_batch(id, bad)) ++refused;
      }
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(refused, kThreads * kRounds);
  for (int t = 0; t < kThreads; ++t) {
    auto points = history(id, "m" + std::to_string(t));
    ASSERT_EQ(points.size(), static_cast<size_t>(kRounds));
    for (int i = 0; i < kRounds; ++i) EXPECT_EQ(points[static_cast<size_t>(i)].value, i);
  }
  EXPECT_EQ(store.run(id)->params.size(), 1u);
}

TEST_F(StoreTest, two_stores_on_one_file_see_each_others_points) {
  std::string id = new_run();
  Store other = opened();
  for (int i = 0; i < 400; ++i) {
    Store& writer = i % 3 == 0 ? other : store;
    ASSERT_TRUE(writer.log_metric(id, {"m", 0.1 * i, i, i}));
  }
  auto points = history(id, "m");
  ASSERT_EQ(points.size(), 400u);
  for (int i = 0; i < 400; ++i) EXPECT_EQ(points[static_cast<size_t>(i)].value, 0.1 * i);
  ASSERT_TRUE(other.delete_run(id));
  EXPECT_FALSE(store.log_metric(id, {"m", 1, 1, 1}));
}

TEST_F(StoreTest, running_runs_are_found_by_a_tag_of_their_owner) {
  std::string mine = new_run("mine"), done = new_run("done");
  new_run("somebody elses");
  for (const std::string& id : {mine, done}) ASSERT_TRUE(store.set_tag(id, "tidemill.pid", "12"));
  ASSERT_TRUE(store.update_run({.run_id = done, .status = RunStatus::kFailed, .end_time = {}, .name = {}}));
  auto runs = store.running_runs_with_tag("tidemill.pid").value();
  ASSERT_EQ(runs.size(), 1u);
  EXPECT_EQ(runs[0].info.id, mine);
  EXPECT_EQ(runs[0].tag("tidemill.pid"), "12");
  EXPECT_TRUE(store.running_runs_with_tag("never.used").value().empty());
}

TEST_F(StoreTest, artifacts_are_indexed_by_path) {
  std::string id = new_run();
  ASSERT_TRUE(store.record_artifacts(id, {{"b.txt", 2, "bb"}, {"a/x.png", 1, "aa"}}));
  ASSERT_TRUE(store.record_artifacts(id, {{"b.txt", 3, "cc"}}));
  auto entries = store.artifacts(id).value();
  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(entries[0].path, "a/x.png");
  EXPECT_EQ(entries[1].size, 3u);
  EXPECT_EQ(entries[1].sha256, "cc");
}

TEST_F(StoreTest, a_store_of_a_newer_program_is_refused) {
  ASSERT_TRUE(db::open(db::parse_location(uri).value()).value()->set_schema_mark(0x54696465, 999));
  auto newer = Store::open({.uri = uri, .default_artifact_root = ""});
  ASSERT_FALSE(newer);
  EXPECT_EQ(newer.error().code, Code::kConflict);
  EXPECT_THAT(newer.error().message, HasSubstr(db::parse_location(uri).value().name()));
}

TEST_F(StoreTest, a_damaged_chunk_is_named_and_harms_no_other_metric) {
  std::string id = new_run();
  ASSERT_TRUE(store.log_metric(id, {"bad", 1, 1, 0}));
  ASSERT_TRUE(store.log_metric(id, {"good", 1, 1, 0}));
  ASSERT_EQ(history(id, "good").size(), 1u);
  {
    auto connection = db::open(db::parse_location(uri).value()).value();
    auto transaction = db::Transaction::begin(*connection, db::TransactionMode::kWrite).value();
    ASSERT_TRUE(
        connection->run("UPDATE metric_tails SET data = ? WHERE id = (SELECT m.tail FROM metrics m "
                        "JOIN keys k ON k.id = m.key WHERE k.name = 'bad')",
                        db::Blob{"\x01\x01"}));
    ASSERT_TRUE(transaction.commit());
  }
  auto read = store.metric_history(id, "bad");
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, Code::kInternal);
  EXPECT_THAT(read.error().message, HasSubstr(db::parse_location(uri).value().name()));
  EXPECT_TRUE(store.log_metric(id, {"bad", 2, 2, 1}));
  EXPECT_FALSE(store.metric_history(id, "bad"));
  EXPECT_TRUE(store.log_metric(id, {"good", 2, 2, 1}));
  EXPECT_EQ(history(id, "good").size(), 2u);
}

}  // namespace
}  // namespace tidemill::tracking
