// `tidemill run` with what people give to `mlflow run`, and called by a step of another run.
#include <gmock/gmock.h>

#include "cli/cli_fixture.h"

namespace tidemill {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class ProjectRun : public Cli {
 protected:
  void SetUp() override {
    for (const char* name : {"MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_RUN_ID",
                             "MLFLOW_TRACKING_URI", "TIDEMILL_RUN_ID", "MLFLOW_TMP_DIR"})
      ::unsetenv(name);
    write_project("p", "echo {text} > out; cat out", "{text: {default: plain}}");
  }
  // The error of a command line that is refused before anything is recorded.
  std::string refusal(std::vector<std::string> words) {
    words.insert(words.begin(), {"run", path("p").string()});
    Captured run = in_store(words);
    EXPECT_EQ(run.exit.status, 2) << run.output << run.errors;
    EXPECT_FALSE(fs::exists(store()));
    return run.errors;
  }
  Json run_named(const std::string& name) const {
    for (const auto& run : listed("runs", {"runs", "list"}))
      if (json_string(run, "run_name") == name) return run;
    ADD_FAILURE() << "no run " << name;
    return Json::object();
  }
  std::string parent_of(const std::string& name) const {
    return json_string(run_named(name).value("tags", Json::object()), "mlflow.parentRunId");
  }
};

TEST_F(ProjectRun, AnExperimentMayBeNamedByItsId) {
  ASSERT_EQ(
      in_store({"run", path("p").string(), "--experiment-name", "first", "--run-name", "a"}).exit.status, 0);
  const std::string id = json_string(run_named("a"), "experiment_id");
  ASSERT_EQ(in_store({"run", path("p").string(), "--experiment-id", id, "--run-name", "b"}).exit.status, 0);
  EXPECT_EQ(json_string(run_named("b"), "experiment_id"), id);
  ::setenv("MLFLOW_EXPERIMENT_ID", id.c_str(), 1);
  ASSERT_EQ(in_store({"run", path("p").string(), "--run-name", "c"}).exit.status, 0);
  ::unsetenv("MLFLOW_EXPERIMENT_ID");
  EXPECT_EQ(json_string(run_named("c"), "experiment_id"), id);
  EXPECT_THAT(in_store({"run", path("p").string(), "--experiment-id", "4711"}).errors, HasSubstr("4711"));
  EXPECT_EQ(
      in_store({"run", path("p").string(), "--experiment-id", id, "--experiment-name", "x"}).exit.status, 2);
}

TEST_F(ProjectRun, TheRunIsNamedWhenItStarts) {
  const std::string first = in_store({"run", path("p").string(), "--run-name", "first"}).errors;
  EXPECT_THAT(
      first, HasSubstr("run first  " + json_string(run_named("first"), "run_id") + "  experiment Default\n"));
  Captured told = in_store({"run", path("p").string(), "--run-name", "second", "--json"});
  Json event = parse_json(told.output.substr(0, told.output.find('\n'))).value_or(Json());
  EXPECT_EQ(json_string(event, "event"), "run_started");
  EXPECT_EQ(json_string(event, "run_name"), "second");
  EXPECT_EQ(json_string(event, "run_id"), json_string(run_named("second"), "run_id"));
}

TEST_F(ProjectRun, OtherBackendsAreRefusedWithWhatToUseInstead) {
  EXPECT_THAT(refusal({"--backend", "databricks"}),
              AllOf(HasSubstr("this machine only"), HasSubstr("mlflow run")));
  EXPECT_THAT(refusal({"-b", "kubernetes"}), HasSubstr("kubectl"));
  EXPECT_THAT(refusal({"-b", "slurm"}), HasSubstr("srun"));
  EXPECT_THAT(refusal({"-b", "locla"}), HasSubstr("did you mean 'local'?"));
}

TEST_F(ProjectRun, TheBackendsConfigurationIsReadFromAFileOrTheCommandLine) {
  write("config.json", R"({"ENV_MANAGER": "local", "STORAGE_DIR": "/tmp", "SYNCHRONOUS": true})");
  EXPECT_EQ(
      in_store({"run", path("p").string(), "-b", "local", "-c", path("config.json").string()}).exit.status,
      0);
  Captured unknown = in_store({"run", path("p").string(), "-c", R"({"STORAGE_DRI": "x"})"});
  EXPECT_EQ(unknown.exit.status, 0);
  EXPECT_THAT(unknown.errors, HasSubstr("did you mean 'STORAGE_DIR'?"));
  ASSERT_TRUE(tidemill::remove_all(store()));
  EXPECT_THAT(refusal({"-c", "{"}), HasSubstr("Invalid backend config JSON. Parse error:"));
  EXPECT_THAT(refusal({"-c", "[]"}), HasSubstr("must be a map"));
  EXPECT_THAT(refusal({"-c", R"({"ENV_MANAGER": "pip"})"}), HasSubstr("unknown environment manager 'pip'"));
  EXPECT_THAT(refusal({"-c", path("absent.json").string()}), HasSubstr("absent.json"));
}

TEST_F(ProjectRun, ArgumentsForContainersAreCheckedAndToldToBeUselessWithoutOne) {
  EXPECT_THAT(refusal({"-A", "--gpus=all"}), HasSubstr("Use -A name=value"));
  EXPECT_THAT(refusal({"-A", "t", "-A", "t=1"}), HasSubstr("Repeated parameter: 't'"));
  Captured run = in_store({"run", path("p").string(), "-A", "gpus=all"});
  EXPECT_EQ(run.exit.status, 0);
  EXPECT_THAT(run.errors, HasSubstr("no step runs in a container"));
}

TEST_F(ProjectRun, AMissingPathLeavesNoRun) {
  write_project("p", "ls {folder}", "{folder: path}");
  EXPECT_THAT(refusal({"-P", "folder=/no/such"}),
              HasSubstr("Got value /no/such for parameter folder, but no such file or directory was found."));
}

TEST_F(ProjectRun, AProjectInASubfolderIsPointedAt) {
  write_project("all/deep/inner", "true");
  const std::string all = path("all").string(), zip = path("all.zip").string();
  EXPECT_THAT(in_store({"run", all}).errors,
              HasSubstr(all +
                        " has neither a pipeline.yaml nor an MLproject; its folder deep/inner has: "
                        "tidemill run " +
                        all + "#deep/inner"));
  EXPECT_THAT(in_store({"run", all + "#deep"}).errors, HasSubstr("tidemill run " + all + "#deep/inner"));
  ASSERT_TRUE(run_command({"python3", "-m", "zipfile", "-c", zip, path("all/deep").string()},
                          std::chrono::minutes(1)));
  EXPECT_THAT(in_store({"run", zip}).errors, HasSubstr("tidemill run " + zip + "#deep/inner"));
  write("empty/x", "");
  EXPECT_THAT(in_store({"run", path("empty").string()}).errors, HasSubstr("nor an MLproject\n"));
}

TEST_F(ProjectRun, APathMayBeWhatARunHasMade) {
  write_project("make", "echo 42 > $TIDEMILL_OUTPUT_DIR/answer");
  write_project("use", "cp {what} " + path("copy").string(), "{what: path}");
  ASSERT_EQ(in_store({"run", path("make").string(), "--run-name", "made"}).exit.status, 0);
  const std::string uri = "runs:/" + json_string(run_named("made"), "run_id") + "/answer";
  Captured use = in_store({"run", path("use").string(), "-P", "what=" + uri, "--run-name", "used"});
  ASSERT_EQ(use.exit.status, 0) << use.errors;
  EXPECT_EQ(read_file(path("copy")).value(), "42\n");
  EXPECT_EQ(json_string(run_named("used").value("params", Json::object()), "what"), uri);
  EXPECT_THAT(in_store({"run", path("use").string(), "-P", "what=" + uri + "s"}).errors,
              AllOf(HasSubstr("MLproject:3:"), HasSubstr("there is no " + uri + "s")));
  Captured stored =
      in_store({"run", path("use").string(), "-P", "what=" + uri, "--storage-dir", path("s").string()});
  EXPECT_EQ(stored.exit.status, 0) << stored.errors;
  std::vector<std::string> found;
  for (const auto& file : fs::recursive_directory_iterator(path("s")))
    if (file.is_regular_file()) found.push_back(file.path().lexically_relative(path("s")).string());
  EXPECT_THAT(found, testing::ElementsAre(testing::MatchesRegex("tidemill-[0-9a-f]+/param_0/answer")));
}

TEST_F(ProjectRun, WhatAStepRunsIsItsChild) {
  write_project("inner", "echo {text}", "{text: {default: x}}");
  write("chain/pipeline.yaml", "name: chain\nsteps: {link: {command: echo link}}\n");
  write_project("outer", "cd / && tidemill run " + path("inner").string() +
                             " --run-name inner -P text=deep && unset MLFLOW_RUN_ID && tidemill run " +
                             path("chain").string());
  Captured run =
      in_store({"run", path("outer").string(), "--run-name", "outer", "--experiment-name", "nest"});
  ASSERT_EQ(run.exit.status, 0) << run.errors;
  const std::string outer = json_string(run_named("outer"), "run_id");
  EXPECT_EQ(parent_of("inner"), outer);
  EXPECT_EQ(parent_of("chain"), outer) << "a client that has joined the run has taken MLFLOW_RUN_ID away";
  EXPECT_EQ(parent_of("link"), json_string(run_named("chain"), "run_id"));
  EXPECT_EQ(parent_of("outer"), "");
  for (const char* name : {"inner", "chain", "link"})
    EXPECT_EQ(json_string(run_named(name), "experiment_id"),
              json_string(run_named("outer"), "experiment_id"));
}

TEST_F(ProjectRun, AParentThatIsNotInTheStoreIsToldAndLeftOut) {
  ::setenv("MLFLOW_RUN_ID", "0123456789abcdef0123456789abcdef", 1);
  Captured run = in_store({"run", path("p").string(), "--run-name", "alone"});
  ::unsetenv("MLFLOW_RUN_ID");
  EXPECT_EQ(run.exit.status, 0);
  EXPECT_THAT(run.errors, HasSubstr("the run gets no parent"));
  EXPECT_EQ(parent_of("alone"), "");
}

TEST_F(ProjectRun, AScriptRunsWithoutAnEntryPointAndGetsWhatNobodyDeclares) {
  write("p/say.sh", "echo \"$@\" > said\n");
  Captured run = in_store({"run", path("p").string(), "-e", "say.sh", "-P", "word=it's", "-P", "n=2"});
  ASSERT_EQ(run.exit.status, 0) << run.errors;
  EXPECT_EQ(read_file(path("p/said")).value(), "--word it's --n 2\n");
  Captured unknown = in_store({"run", path("p").string(), "-e", "say.rb"});
  EXPECT_THAT(unknown.errors, HasSubstr("there is no entry point 'say.rb'"));
}

}  // namespace
}  // namespace tidemill
