// Folders of MLflow's file store, whole and damaged, taken into a store.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "artifacts/folder_repository.h"
#include "exchange/copy.h"
#include "exchange/mlruns_format.h"
#include "exchange/mlruns_sink.h"
#include "exchange/mlruns_source.h"
#include "exchange/store_sink.h"
#include "exchange/store_source.h"
#include "test_database.h"

namespace tidemill::exchange {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;

const std::string kRunId = "4ad3002445f24c0e85eed8caf983ff67";
const std::string kModelId = "m-704715e2bd2048fe9f024d79efa1e530";

class Mlruns : public testing::Test {
 protected:
  fs::path root() const { return dir_.path() / "mlruns"; }

  void write(const fs::path& file, std::string_view text) const {
    ASSERT_TRUE(make_dirs((root() / file).parent_path()));
    ASSERT_TRUE(write_file_atomic(root() / file, text, Durable::no));
  }
  void write_experiment(const std::string& id, const std::string& name, const fs::path& below = {}) const {
    write(
        below / id / "meta.yaml",
        fmt::format("artifact_location: file://{0}/{1}\ncreation_time: 1795560350827\nexperiment_id: '{1}'\n"
                    "last_update_time: 1795560350900\nlifecycle_stage: {3}\nname: {2}\n",
                    root().string(), id, name, below.empty() ? "active" : "deleted"));
  }
  void write_run(const fs::path& experiment, const std::string& id,
                 std::string_view more = "status: 3\n") const {
    write(experiment / id / "meta.yaml",
          fmt::format(
              "artifact_uri: file://{0}/{1}/{2}/artifacts\nend_time: 1795560353306\nentry_point_name: ''\n"
              "experiment_id: '{1}'\nlifecycle_stage: active\nrun_id: {2}\nrun_name: one\n"
              "source_type: 4\nstart_time: 1795560350913\ntags: []\nuser_id: ann\n{3}",
              root().string(), experiment.filename().string(), id, more));
  }

  tracking::Store open() const {
    return tracking::Store::open({.uri = database_, .default_artifact_root = "mlflow-artifacts:"}).value();
  }
  Report take(tracking::Store& store, std::optional<fs::path> artifacts = {}) const {
    auto source = MlrunsSource::open(root());
    EXPECT_TRUE(source) << source.error().message;
    StoreSink sink(
        store, artifacts ? std::make_unique<artifacts::FolderRepository>(*std::move(artifacts)) : nullptr);
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

  TempDir dir_ = TempDir::create().value();
  std::string database_ = test::new_database(dir_.path() / "tidemill.db");
};

TEST_F(Mlruns, a_run_comes_over_with_all_that_it_has) {
  write_experiment("960374028170644316", "vision");
  write("960374028170644316/tags/team", "a");
  write_run("960374028170644316", kRunId);
  fs::path run = fs::path("960374028170644316") / kRunId;
  write(run / "params/a/b", "x y");
  write(run / "params/empty", "");
  write(run / "tags/mlflow.note.content", "many\nlines\n");
  write(run / "metrics/loss", "1795560351000 0.5 1\n1795560352000 nan 2\n1795560350000 1 0\n");
  write(run / "metrics/sys/cpu", "1795560351 3.5\n1795560352 -inf 7 d1 2981c147\n");
  write("960374028170644316/datasets/ea7e/meta.yaml",
        "digest: 2981c147\nname: d1\nprofile: '{\"rows\": 2}'\nschema: null\nsource: s\nsource_type: code\n");
  write(run / "inputs/f94e/meta.yaml",
        "destination_type: RUN\nsource_id: ea7e\nsource_type: DATASET\ntags:\n  mlflow.data.context: "
        "training\n");
  write(run / "outputs" / kModelId / "meta.yaml",
        "destination_id: " + kModelId + "\ndestination_type: MODEL_OUTPUT\nstep: 4\n");

  auto store = open();
  Report report = take(store);
  EXPECT_THAT(reasons(report), IsEmpty());
  EXPECT_EQ(report.points, 5u);
  auto experiment = store.experiment_by_name("vision").value();
  EXPECT_EQ(experiment.id, "960374028170644316");
  EXPECT_EQ(experiment.created, 1795560350827);
  EXPECT_EQ(experiment.updated, 1795560350900);
  EXPECT_THAT(experiment.tags, ElementsAre(Pair("team", "a")));
  auto got = store.run(kRunId).value();
  EXPECT_EQ(got.info.name, "one");
  EXPECT_EQ(got.info.user, "ann");
  EXPECT_EQ(got.info.status, tracking::RunStatus::kFinished);
  EXPECT_EQ(got.info.start_time, 1795560350913);
  EXPECT_EQ(got.info.end_time, 1795560353306);
  EXPECT_EQ(got.info.artifact_uri, "file://" + (root() / run / "artifacts").string());
  EXPECT_THAT(got.params, ElementsAre(Pair("a/b", "x y"), Pair("empty", "")));
  EXPECT_EQ(got.tag("mlflow.note.content"), "many\nlines\n");
  auto loss = store.metric_history(kRunId, "loss").value().items;
  ASSERT_EQ(loss.size(), 3u);
  EXPECT_EQ(loss[0].timestamp, 1795560350000);
  EXPECT_EQ(loss[1].value, 0.5);
  EXPECT_TRUE(std::isnan(loss[2].value));
  EXPECT_EQ(store.metric_history(kRunId, "sys/cpu").value().items[1].step, 7);
  ASSERT_EQ(got.datasets.size(), 1u);
  EXPECT_EQ(got.datasets[0].dataset.profile, "{\"rows\": 2}");
  EXPECT_EQ(got.datasets[0].dataset.schema, std::nullopt);
  EXPECT_THAT(got.datasets[0].tags, ElementsAre(Pair("mlflow.data.context", "training")));
  ASSERT_EQ(got.model_outputs.size(), 1u);
  EXPECT_EQ(got.model_outputs[0].step, 4);
  // New experiments count on from the small ids.
  EXPECT_EQ(store.create_experiment("next").value(), "1");
}

TEST_F(Mlruns, a_second_import_takes_only_what_is_new) {
  write_experiment("7", "vision");
  write_run("7", kRunId, "status: 1\n");
  std::string points;
  for (int step = 0; step < 3000; ++step) points += fmt::format("{} {} {}\n", 1000 + step, step * 0.5, step);
  write(fs::path("7") / kRunId / "metrics/loss", points);
  write(fs::path("7") / kRunId / "tags/a", "1");
  auto store = open();
  EXPECT_EQ(take(store).points, 3000u);
  Report again = take(store);
  EXPECT_EQ(again.points, 0u);
  EXPECT_EQ(again.runs.same, 1u);
  EXPECT_EQ(again.experiments.same, 1u);

  write_run("7", kRunId, "status: 4\n");
  write(fs::path("7") / kRunId / "tags/a", "2");
  // Late points of earlier steps, too.
  write(fs::path("7") / kRunId / "metrics/loss", points + "500 7 1\n9999 8 9999\n");
  ASSERT_TRUE(store.set_tag(kRunId, "ours", "stays"));
  Report third = take(store);
  EXPECT_EQ(third.points, 2u);
  EXPECT_EQ(third.runs.changed, 1u);
  auto run = store.run(kRunId).value();
  EXPECT_EQ(run.info.status, tracking::RunStatus::kFailed);
  EXPECT_EQ(run.tag("a"), "2");
  EXPECT_EQ(run.tag("ours"), "stays");
  EXPECT_EQ(run.metric("loss"), 8.0);
  EXPECT_EQ(store.metric_history(kRunId, "loss").value().items.size(), 3002u);
}

TEST_F(Mlruns, deleted_things_stay_deleted_and_are_found) {
  write_experiment("8", "gone", ".trash");
  write(fs::path(".trash/8") / kRunId / "meta.yaml",
        fmt::format("artifact_uri: file://{0}/8/{1}/artifacts\nexperiment_id: '8'\nlifecycle_stage: deleted\n"
                    "deleted_time: 1795560353323\nrun_uuid: {1}\nstatus: 1\nstart_time: 5\nend_time: null\n",
                    root().string(), kRunId));
  write(fs::path(".trash/8") / kRunId / "tags/mlflow.runName", "named by its tag");
  write(fs::path(".trash/8") / kRunId / "artifacts/a.txt", "x");
  auto store = open();
  EXPECT_THAT(reasons(take(store)), IsEmpty());
  EXPECT_EQ(store.experiment("8").value().lifecycle, tracking::Lifecycle::kDeleted);
  auto run = store.run(kRunId).value();
  EXPECT_EQ(run.info.lifecycle, tracking::Lifecycle::kDeleted);
  EXPECT_EQ(run.info.name, "named by its tag");
  EXPECT_EQ(run.info.end_time, std::nullopt);
  EXPECT_EQ(run.info.artifact_uri, (root() / ".trash/8" / kRunId / "artifacts").string());
  StoreSource source(store, dir_.path());
  auto sink = MlrunsSink::open(dir_.path() / "back", CopyFiles::no).value();
  Report report;
  ASSERT_TRUE(copy(source, sink, {}, report));
  std::string meta = read_file(dir_.path() / "back/.trash/8" / kRunId / "meta.yaml").value();
  EXPECT_THAT(meta, HasSubstr("\ndeleted_time: 1795560353323\n"));
  EXPECT_THAT(meta, HasSubstr("lifecycle_stage: \"deleted\"\n"));
}

TEST_F(Mlruns, a_second_export_tells_what_was_there) {
  auto store = open();
  std::string run = store.create_run({}).value().info.id;
  std::string other = store.create_run({}).value().info.id;
  std::vector<tracking::Metric> points;
  for (int64_t step = 0; step < 200'000; ++step) points.push_back({"long", 0.1, 1795560353323 + step, step});
  ASSERT_TRUE(store.log_batch(run, {.metrics = {{"m", 1, 1, 0}}, .params = {{"p", "1"}}, .tags = {}}));
  for (size_t i = 0; i < points.size(); i += 1000)
    ASSERT_TRUE(store.log_batch(
        run, {.metrics = {points.begin() + i, points.begin() + i + 1000}, .params = {}, .tags = {}}));
  auto give = [&] {
    StoreSource source(store, dir_.path());
    auto sink = MlrunsSink::open(dir_.path() / "out", CopyFiles::no).value();
    Report report;
    EXPECT_TRUE(copy(source, sink, {}, report));
    return report;
  };
  Report first = give();
  EXPECT_EQ(first.runs.added, 2u);
  EXPECT_EQ(first.points, 200'001u);
  Report again = give();
  EXPECT_EQ(again.experiments.same, 1u);
  EXPECT_EQ(again.runs.same, 2u);
  EXPECT_EQ(again.points, 0u);
  ASSERT_TRUE(
      store.log_batch(run, {.metrics = {{"long", 1, 1895560353323, 300'000}}, .params = {}, .tags = {}}));
  ASSERT_TRUE(store.log_batch(other, {.metrics = {}, .params = {}, .tags = {{"t", "x"}}}));
  Report third = give();
  EXPECT_EQ(third.runs.changed, 2u);
  EXPECT_EQ(third.experiments.same, 1u);
  EXPECT_EQ(third.points, 1u);
}

TEST_F(Mlruns, what_cannot_be_a_file_is_left_out_alone) {
  auto store = open();
  std::string run = store.create_run({}).value().info.id;
  std::string next = store.create_run({}).value().info.id;
  std::vector<tracking::Metric> long_metric;
  for (int64_t step = 0; step < 1000; ++step)
    long_metric.push_back({"b", 1.0 / 3, 1795560353323 + step, step});
  ASSERT_TRUE(store.log_batch(run, {.metrics = {{"m", 1, 1, 0}, {"m/x", 1, 1, 0}, {"b/x", 1, 1, 0}},
                                    .params = {{"p", "1"}, {"p/x", "2"}},
                                    .tags = {}}));
  for (int i = 0; i < 130; ++i) {
    for (auto& metric : long_metric) metric.step += 1000, metric.timestamp += 1000;
    ASSERT_TRUE(store.log_batch(run, {.metrics = long_metric, .params = {}, .tags = {}}));
  }
  ASSERT_TRUE(store.log_batch(next, {.metrics = {{"m", 1, 1, 0}}, .params = {}, .tags = {}}));
  for (bool again : {false, true}) {
    StoreSource source(store, dir_.path());
    auto sink = MlrunsSink::open(dir_.path() / "out", CopyFiles::no).value();
    Report report;
    EXPECT_TRUE(copy(source, sink, {}, report));
    EXPECT_THAT(reasons(report),
                testing::UnorderedElementsAre(HasSubstr("params/p/x: "), HasSubstr(" of run " + run + ": "),
                                              HasSubstr(" of run " + run + ": ")));
    EXPECT_EQ(again ? report.runs.same : report.runs.added, 2u);
    EXPECT_EQ(report.points > 0, !again);
  }
}

TEST_F(Mlruns, ids_that_are_taken_give_way_and_names_join) {
  auto store = open();
  ASSERT_EQ(store.create_experiment("ours").value(), "1");
  ASSERT_EQ(store.create_experiment("vision", "s3://bucket").value(), "2");
  write_experiment("1", "theirs");
  write_experiment("3", "vision");
  write_run("3", kRunId);
  write_experiment("0", "Default");
  Report report = take(store);
  EXPECT_EQ(store.experiment("1").value().name, "ours");
  EXPECT_EQ(store.experiment_by_name("theirs").value().id, "3");
  EXPECT_EQ(store.run(kRunId).value().info.experiment_id, "2");
  EXPECT_EQ(store.experiment("2").value().artifact_location, "s3://bucket");
  EXPECT_THAT(report.notes, ElementsAre("experiment 1 (theirs) has the id 3 here",
                                        "experiment 3 (vision) has the id 2 here"));
  // The same places the next time.
  EXPECT_EQ(take(store).experiments.added, 0u);
  EXPECT_EQ(store.experiment_by_name("theirs").value().id, "3");
}

TEST_F(Mlruns, artifacts_are_copied_once_and_only_from_inside) {
  write_experiment("7", "vision");
  write_run("7", kRunId);
  fs::path artifacts = root() / "7" / kRunId / "artifacts", copies = dir_.path() / "copies";
  write(fs::path("7") / kRunId / "artifacts/sub/h.txt", "hello");
  fs::create_symlink("/etc/passwd", artifacts / "link");
  fs::create_symlink("sub/h.txt", artifacts / "fine");
  fs::create_directory_symlink("/etc", artifacts / "etc");
  auto store = open();
  Report report = take(store, copies);
  EXPECT_EQ(report.files, 2u);
  EXPECT_THAT(reasons(report),
              ElementsAre(HasSubstr("etc: a symbolic link"), HasSubstr("link: a symbolic link")));
  EXPECT_EQ(store.run(kRunId).value().info.artifact_uri,
            fmt::format("mlflow-artifacts:/7/{}/artifacts", kRunId));
  EXPECT_EQ(store.experiment("7").value().artifact_location, "mlflow-artifacts:/7");
  EXPECT_EQ(read_file(copies / "7" / kRunId / "artifacts/sub/h.txt").value(), "hello");
  EXPECT_EQ(read_file(copies / "7" / kRunId / "artifacts/fine").value(), "hello");
  EXPECT_EQ(take(store, copies).files, 0u);
  // Without the option they stay where they were copied to.
  take(store);
  EXPECT_EQ(store.run(kRunId).value().info.artifact_uri,
            fmt::format("mlflow-artifacts:/7/{}/artifacts", kRunId));
}

TEST_F(Mlruns, a_folder_that_was_moved_keeps_its_artifacts) {
  write_experiment("7", "vision");
  write_run("7", kRunId);
  write(fs::path("7") / kRunId / "artifacts/a.txt", "x");
  fs::path moved = dir_.path() / "elsewhere";
  fs::create_directory(moved);
  fs::rename(root(), moved / "mlruns");
  auto store = open();
  auto source = MlrunsSource::open(moved).value();
  StoreSink sink(store);
  Report report;
  ASSERT_TRUE(copy(source, sink, {}, report));
  EXPECT_EQ(store.run(kRunId).value().info.artifact_uri,
            (moved / "mlruns/7" / kRunId / "artifacts").string());
}

TEST_F(Mlruns, the_registry_comes_over) {
  write("models/reg/meta.yaml",
        "aliases:\n  champion: '2'\ncreation_timestamp: 11\ndescription: about\nlast_updated_timestamp: 12\n"
        "name: reg\n");
  for (int version : {1, 2, 3})
    write(fmt::format("models/reg/version-{}/meta.yaml", version),
          fmt::format(
              "creation_timestamp: {0}\ncurrent_stage: {1}\ndescription: null\nlast_updated_timestamp: {0}\n"
              "name: reg\nrun_id: {2}\nsource: s3://b/{0}\nversion: {0}\n",
              version,
              version == 1   ? "Production"
              : version == 2 ? "None"
                             : "Deleted_Internal",
              kRunId));
  write("models/reg/version-1/tags/q", "w");
  write("models/reg/tags/k", "v");
  write("models/reg/aliases/champion", "2");
  auto store = open();
  Report report = take(store);
  EXPECT_THAT(reasons(report), IsEmpty());
  tracking::Registry registry(store);
  auto model = registry.model("reg").value();
  EXPECT_EQ(model.description, "about");
  EXPECT_EQ(model.created, 11);
  EXPECT_THAT(model.tags, ElementsAre(Pair("k", "v")));
  EXPECT_EQ(registry.version_by_alias("reg", "champion")->version, 2);
  auto first = registry.version("reg", 1).value();
  EXPECT_EQ(first.stage, tracking::Stage::kProduction);
  EXPECT_EQ(first.run_id, kRunId);
  EXPECT_EQ(first.created, 1);
  EXPECT_THAT(first.tags, ElementsAre(Pair("q", "w")));
  EXPECT_FALSE(registry.version("reg", 3));
  EXPECT_EQ(take(store).model_versions.same, 2u);

  // A version of ours under a number of theirs is not overwritten.
  auto ours = registry.create_version({.name = "reg", .source = "s3://ours"}).value();
  ASSERT_EQ(ours.version, 3);
  write("models/reg/version-3/meta.yaml",
        "creation_timestamp: 9\ncurrent_stage: None\nname: reg\nsource: s3://theirs\nversion: 3\n");
  EXPECT_THAT(reasons(take(store)),
              ElementsAre("registered model reg version 3: another version has this number here"));
  EXPECT_EQ(registry.version("reg", 3)->source, "s3://ours");
}

TEST_F(Mlruns, logged_models_come_over_with_their_metrics) {
  write_experiment("7", "vision");
  write_run("7", kRunId);
  fs::path model = fs::path("7/models") / kModelId;
  write(model / "meta.yaml",
        fmt::format(
            "artifact_location: file:///x/7/models/{0}/artifacts\ncreation_timestamp: 21\n"
            "experiment_id: '7'\nlast_updated_timestamp: 22\nmodel_id: {0}\nmodel_type: null\nname: net\n"
            "source_run_id: {1}\nstatus: 2\n",
            kModelId, kRunId));
  write(model / "params/lr", "0.1");
  write(model / "metrics/acc",
        fmt::format(
            "31 0.9 5 {0} d1 2981c147\n32 0.8 6 {0}\n33 0.7 7 unknown\n34 0.6 8 {0} data \u00fc 2 2981c148\n",
            kRunId));
  auto store = open();
  EXPECT_THAT(reasons(take(store)),
              ElementsAre(HasSubstr("1 of its metric values are of runs that were not taken")));
  auto got = tracking::LoggedModels(store).get(kModelId).value();
  EXPECT_EQ(got.name, "net");
  EXPECT_EQ(got.status, tracking::ModelStatus::kReady);
  EXPECT_EQ(got.created, 21);
  ASSERT_EQ(got.metrics.size(), 3u);
  EXPECT_EQ(got.metrics[0].dataset_digest, "2981c147");
  EXPECT_EQ(got.metrics[2].dataset_name, "data ü 2");
  EXPECT_EQ(take(store).logged_models.same, 1u);
}

TEST_F(Mlruns, what_is_broken_is_named_and_the_rest_is_taken) {
  write_experiment("7", "vision");
  write_experiment("9", "other name", "");
  write("9/meta.yaml", "experiment_id: '10'\nname: x\n");
  write("11/meta.yaml", "experiment_id: '11'\nname: [broken\n");
  write("12/meta.yaml", "");
  write(fs::path("13") / kRunId / "meta.yaml", "");
  write(fs::path("14") / kRunId / "artifacts/of-a-database", "");
  write_run("7", kRunId);
  fs::path run = fs::path("7") / kRunId;
  write(run / "params/bad", "\xff\xfe");
  write(run / "params/good", "1");
  write(run / "metrics/loss", "1 2 3\nnonsense\n\n4 5 x\n7 8 9");
  write(run / "metrics/huge", std::string(10'000, '7') + "\n1 1 1\n");
  write(run / "inputs/x/meta.yaml", "source_type: DATASET\nsource_id: ../../../../etc\n");
  fs::create_symlink("/etc/hostname", root() / run / "params/link");
  ASSERT_TRUE(make_dirs(root() / "7/0123456789abcdef0123456789abcdef"));
  write_run("7", "ffffffffffffffffffffffffffffffff", "status: 9\n");
  auto store = open();
  Report report = take(store);
  EXPECT_THAT(reasons(report),
              testing::UnorderedElementsAre(
                  HasSubstr("9/meta.yaml: has the experiment_id '10'"), HasSubstr("11/meta.yaml:"),
                  HasSubstr("12/meta.yaml: empty"), HasSubstr("13/meta.yaml: no such file"),
                  HasSubstr("params/bad: the value is not UTF-8"), HasSubstr("params/link: a symbolic link"),
                  HasSubstr("loss:2: not a point, which is 'timestamp value step'; so are 1 more lines"),
                  HasSubstr("huge:1: not a point"), HasSubstr("inputs/x"),
                  HasSubstr("0123456789abcdef0123456789abcdef: a run without meta.yaml"),
                  HasSubstr("status must be between 1 and 5")));
  EXPECT_EQ(store.run(kRunId).value().params.size(), 1u);
  EXPECT_EQ(store.metric_history(kRunId, "loss").value().items.size(), 2u);
  EXPECT_EQ(store.metric_history(kRunId, "huge").value().items.size(), 1u);
  EXPECT_FALSE(MlrunsSource::open(dir_.path() / "nothing"));
  ASSERT_TRUE(make_dirs(dir_.path() / "empty"));
  EXPECT_THAT(MlrunsSource::open(dir_.path() / "empty").error().message, HasSubstr("is no mlruns folder"));
}

TEST_F(Mlruns, an_interruption_keeps_what_was_taken) {
  write_experiment("7", "vision");
  for (char digit : std::string("0123456789")) write_run("7", std::string(32, digit));
  auto store = open();
  auto source = MlrunsSource::open(root()).value();
  StoreSink sink(store);
  Report report;
  bool stop = false;
  CopyOptions options{.interrupted = [&] { return stop; },
                      .progress = [&](uint64_t done, uint64_t, const Report&) { stop = done == 4; }};
  EXPECT_EQ(copy(source, sink, options, report).error().code, Code::kCancelled);
  EXPECT_EQ(report.runs.added, 4u);
  Report rest = take(store);
  EXPECT_EQ(rest.runs.same, 4u);
  EXPECT_EQ(rest.runs.added, 6u);
}

TEST(MetricLine, is_read_as_python_writes_it) {
  EXPECT_EQ(parse_metric_line("5 1e-05 3\r", MetricOwner::kRun)->point.value, 1e-05);
  EXPECT_TRUE(std::isinf(parse_metric_line("5 1e999 3", MetricOwner::kRun)->point.value));
  EXPECT_EQ(parse_metric_line("5 1e-999", MetricOwner::kRun)->point.value, 0);
  EXPECT_TRUE(std::isnan(parse_metric_line("5 nan -3", MetricOwner::kRun)->point.value));
  for (const char* bad :
       {"", "5", "5 x", "5 1 1.5", "5 nan(7) 1", "99999999999999999999 1 1", "1 2 3 4", "1  2 3"})
    EXPECT_FALSE(parse_metric_line(bad, MetricOwner::kRun)) << bad;
}

}  // namespace
}  // namespace tidemill::exchange
