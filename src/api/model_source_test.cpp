#include "api/model_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/files.h"
#include "test_database.h"
#include "tracking/logged_models.h"
#include "tracking/registry.h"

namespace tidemill::api {
namespace {

using testing::HasSubstr;

struct ModelSourceTest : testing::Test {
  TempDir folder = TempDir::create().value();
  tracking::Store store = tracking::Store::open({.uri = test::new_database(folder.path() / "t.db"),
                                                 .default_artifact_root = "mlflow-artifacts:"})
                              .value();
  tracking::RunInfo run = store.create_run({}).value().info;

  Result<ModelSource> check(std::string source, std::optional<std::string> run_id = {},
                            std::optional<std::string> model_id = {}) {
    return check_model_source(store, {std::move(source), std::move(run_id), std::move(model_id)});
  }
  static std::optional<Code> code_of(const Result<ModelSource>& checked) {
    return checked ? std::nullopt : std::optional(checked.error().code);
  }
  // A run whose artifacts lie in a folder of this machine.
  tracking::RunInfo local_run() {
    std::string experiment = store.create_experiment("local", (folder.path() / "files").string()).value();
    auto info = store.create_run({.experiment_id = experiment}).value().info;
    EXPECT_TRUE(make_dirs(fs::path(info.artifact_uri) / "model"));
    return info;
  }
};

TEST_F(ModelSourceTest, what_lies_in_the_run_is_accepted) {
  for (std::string source : {"runs:/" + run.id + "/model", run.artifact_uri + "/model", run.artifact_uri}) {
    auto checked = check(source, run.id);
    ASSERT_TRUE(checked) << source << ": " << checked.error().message;
    EXPECT_EQ(checked->source, source);
    EXPECT_EQ(checked->storage_location, source);
    EXPECT_EQ(checked->run_id, run.id);
  }
  EXPECT_TRUE(check("s3://bucket/model"));
  EXPECT_TRUE(check("s3://bucket/model", "a run of another server"));
  EXPECT_TRUE(check("https://host/files/model.onnx"));
}

TEST_F(ModelSourceTest, what_lies_in_another_run_is_refused) {
  tracking::RunInfo other = store.create_run({}).value().info;
  for (std::string source :
       {"runs:/" + other.id + "/model", "runs://host/" + run.id, other.artifact_uri + "/model",
        run.artifact_uri + "2/model", std::string("mlflow-artifacts:/"),
        std::string("mlflow-artifacts://host/0/") + run.id,
        "http://host/api/2.0/mlflow-artifacts/artifacts/0/" + run.id + "/artifacts/model"}) {
    auto checked = check(source, run.id);
    ASSERT_FALSE(checked) << source;
    EXPECT_EQ(
        checked.error().message,
        fmt::format("Invalid model version source: '{}'. The run_id request parameter must identify the "
                    "resource that contains the source.",
                    source));
  }
  EXPECT_FALSE(check("runs:/" + run.id + "/model"));
  EXPECT_FALSE(check(run.artifact_uri + "/model"));
}

TEST_F(ModelSourceTest, a_way_out_is_refused_however_it_is_written) {
  for (std::string source :
       {run.artifact_uri + "/../x", run.artifact_uri + "/%2e%2e/x", run.artifact_uri + "/%252e%252e/x",
        run.artifact_uri + "/..%2fx", run.artifact_uri + "/a%00", run.artifact_uri + "/./x",
        std::string("s3://bucket/a/../../b"), std::string("s3:relative"), std::string("runs:"),
        run.artifact_uri + "/a\nb"}) {
    auto checked = check(source, run.id);
    ASSERT_FALSE(checked) << source;
    EXPECT_EQ(checked.error().code, Code::kInvalid);
    EXPECT_THAT(checked.error().message, HasSubstr("Please provide an absolute path."));
  }
}

TEST_F(ModelSourceTest, a_folder_of_this_machine_must_be_the_runs) {
  tracking::RunInfo local = local_run();
  EXPECT_TRUE(check(local.artifact_uri + "/model", local.id));
  EXPECT_TRUE(check("file://" + local.artifact_uri + "/model", local.id));
  fs::create_symlink("/etc", fs::path(local.artifact_uri) / "link");
  for (std::string source :
       {std::string("/etc/passwd"), std::string("file:///etc/passwd"),
        std::string("file://host") + local.artifact_uri, std::string("model"), std::string("dummy-source"),
        local.artifact_uri + "/link/passwd", local.artifact_uri + "2", std::string(" /etc"),
        (folder.path() / "files").string()})
    EXPECT_EQ(code_of(check(source, local.id)), Code::kInvalid) << source;
  EXPECT_EQ(
      check(local.artifact_uri + "/model").error().message,
      fmt::format("Invalid model version source: '{}/model'. To use a local path as a model version source, "
                  "the run_id request parameter has to be specified and the local path has to be contained "
                  "within the artifact directory of the run specified by the run_id.",
                  local.artifact_uri));
  EXPECT_FALSE(check(local.artifact_uri + "/model", run.id));
}

TEST_F(ModelSourceTest, a_logged_model_brings_its_files_and_its_run) {
  tracking::CreateLoggedModel create;
  create.experiment_id = "0";
  create.source_run_id = run.id;
  auto model = tracking::LoggedModels(store).create(create).value();
  auto checked = check("models:/" + model.id, {}, model.id);
  ASSERT_TRUE(checked) << checked.error().message;
  EXPECT_EQ(checked->source, "models:/" + model.id);
  EXPECT_EQ(checked->storage_location, model.artifact_uri);
  EXPECT_EQ(checked->run_id, run.id);
  EXPECT_EQ(checked->model_id, model.id);
  EXPECT_TRUE(check(model.artifact_uri + "/x", run.id, model.id));
  EXPECT_FALSE(check("models:/" + model.id));
  EXPECT_FALSE(check("models:/" + model.id, run.id));
  EXPECT_FALSE(check("models:/" + model.id, {}, "m-none"));
  EXPECT_FALSE(check("models:/m-none", {}, model.id));
  EXPECT_FALSE(check("runs:/" + run.id + "/model", run.id, model.id));
}

TEST_F(ModelSourceTest, a_version_of_a_version_takes_over_where_it_comes_from) {
  tracking::Registry registry(store);
  ASSERT_TRUE(registry.create_model({.name = "m", .description = "", .tags = {}}));
  tracking::CreateVersion create;
  create.name = "m";
  create.source = "s3://b/m";
  create.run_id = run.id;
  ASSERT_TRUE(registry.create_version(create));
  ASSERT_TRUE(registry.set_alias("m", "champion", 1));
  for (std::string source : {"models:/m/1", "models:/m@champion", "models:/m/latest", "models:/m/none"}) {
    auto checked = check(source);
    ASSERT_TRUE(checked) << source << ": " << checked.error().message;
    EXPECT_EQ(checked->source, "models:/m/1");
    EXPECT_EQ(checked->storage_location, "s3://b/m");
    EXPECT_EQ(checked->run_id, run.id);
  }
  EXPECT_EQ(check("models:/m/2").error().code, Code::kNotFound);
  EXPECT_EQ(check("models:/m/1", "another run").error().code, Code::kInvalid);
  for (std::string source : {"models:/", "models:/m/1/x", "models:/m@", "models:m", "models:/m/production",
                             "models:/m/nonsense", "models://host/m/1"})
    EXPECT_EQ(code_of(check(source)), Code::kInvalid) << source;
}

TEST_F(ModelSourceTest, prompts_are_no_sources) {
  tracking::Registry registry(store);
  ASSERT_TRUE(
      registry.create_model({.name = "p", .description = "", .tags = {{"mlflow.prompt.is_prompt", "true"}}}));
  tracking::CreateVersion create;
  create.name = "p";
  create.source = "dummy-source";
  ASSERT_TRUE(registry.create_version(create));
  EXPECT_THAT(check("models:/p/1").error().message, HasSubstr("Prompt versions cannot be used"));
}

TEST_F(ModelSourceTest, much_too_long_sources_are_refused_at_once) {
  std::string nested = "s3://b/%";
  while (nested.size() < (4 << 20)) nested += "25";
  EXPECT_EQ(check(nested).error().message, "'source' exceeds the maximum length of 4096 characters");
}

}  // namespace
}  // namespace tidemill::api
