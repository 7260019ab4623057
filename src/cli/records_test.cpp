// Experiments, runs and artifacts by the command line: in a store, and through a server.
#include <gmock/gmock.h>

#include "cli/cli_fixture.h"
#include "tracking/registry.h"

namespace tidemill {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

enum class Where { kStore, kServer };

class Records : public Cli, public testing::WithParamInterface<Where> {
 protected:
  void SetUp() override {
    if (GetParam() == Where::kStore) return;
    ProcessOptions options{.argv = {kProgram, "server", "--port", "0", "--store", store()},
                           .output_file = path("server.log")};
    server_.emplace(std::move(*Process::start(options)));
    while (url_.empty()) {
      ASSERT_FALSE(server_->wait_for(std::chrono::milliseconds(5))) << "the server has ended";
      std::string log = read_file(path("server.log")).value_or("");
      size_t at = log.find("http://"), end = log.find(',', at);
      if (end != std::string::npos) url_ = log.substr(at, end - at);
    }
  }
  void TearDown() override {
    if (server_) server_->stop(std::chrono::seconds(10));
  }

  Captured call(std::vector<std::string> words) const {
    if (GetParam() == Where::kStore) return in_store(words);
    words.insert(words.end(), {"--tracking-uri", url_});
    return tidemill(words);
  }
  // What a command that must succeed printed, without the end of its last line.
  std::string said(const std::vector<std::string>& words) const {
    Captured captured = call(words);
    EXPECT_EQ(captured.exit.status, 0) << captured.errors;
    while (captured.output.ends_with('\n')) captured.output.pop_back();
    return captured.output;
  }
  Json json(std::vector<std::string> words) const {
    words.push_back("--json");
    return parse_json(said(words)).value_or(Json());
  }
  std::string refusal(const std::vector<std::string>& words) const {
    Captured captured = call(words);
    EXPECT_NE(captured.exit.status, 0) << captured.output;
    return captured.errors;
  }

  std::optional<Process> server_;
  std::string url_;
};

INSTANTIATE_TEST_SUITE_P(Everywhere, Records, testing::Values(Where::kStore, Where::kServer),
                         [](const auto& where) {
                           return where.param == Where::kStore ? "InAStore" : "ThroughAServer";
                         });

TEST_P(Records, AnExperimentIsMadeRenamedDeletedAndRestored) {
  std::string id = said({"experiments", "create", "-n", "first, of \"two\"", "-l", path("files").string()});
  EXPECT_THAT(refusal({"experiments", "create", "first, of \"two\""}), HasSubstr("already exists"));
  Json made = json({"experiments", "get", "-x", id});
  EXPECT_EQ(made["name"], "first, of \"two\"");
  EXPECT_THAT(std::string(made["artifact_location"]), HasSubstr(path("files").string()));
  EXPECT_EQ(said({"experiments", "rename", "-x", id, "--new-name", "second"}), id);
  EXPECT_EQ(json({"experiments", "get", "-n", "second"})["experiment_id"], id);
  EXPECT_THAT(refusal({"experiments", "get", "secnd"}), HasSubstr("(did you mean 'second'?)"));
  EXPECT_EQ(json({"experiments", "search", "-f", "name LIKE 'sec%'"})["experiments"].size(), 1u);
  EXPECT_EQ(json({"experiments", "search", "--max-results", "1"})["experiments"].size(), 1u);
  EXPECT_THAT(refusal({"experiments", "list", "-n", "0"}), HasSubstr("not in range"));
  said({"experiments", "delete", "second"});
  EXPECT_EQ(json({"experiments", "list"})["experiments"].size(), 1u) << "Default is left";
  EXPECT_THAT(said({"experiments", "search", "-v", "deleted_only", "--csv"}),
              HasSubstr("\n" + id + ",second,"));
  EXPECT_THAT(said({"experiments", "search", "-v", "all"}), HasSubstr("deleted"));
  EXPECT_EQ(json({"experiments", "restore", "-x", id})["lifecycle_stage"], "active");
  EXPECT_THAT(refusal({"experiments", "delete", "-x", "999"}), HasSubstr("999"));
  EXPECT_THAT(refusal({"experiments", "get"}), HasSubstr("name one experiment"));
}

TEST_P(Records, ARunIsRecordedDeletedAndRestored) {
  std::string parent = said({"runs", "create", "--experiment-name", "e", "--run-name", "parent"});
  std::string run =
      said({"runs", "create", "--experiment-name", "e", "--run-name", "by hand", "-t", "a=b=c", "--status",
            "killed", "--description", "of a test", "--parent-run-id", parent.substr(0, 10)});
  Json described = parse_json(said({"runs", "describe", "--run-id", run})).value();
  EXPECT_EQ(described["info"]["status"], "KILLED");
  EXPECT_TRUE(described["info"]["end_time"].is_number());
  EXPECT_EQ(described["data"]["tags"]["a"], "b=c");
  EXPECT_EQ(described["data"]["tags"]["mlflow.note.content"], "of a test");
  EXPECT_EQ(described["data"]["tags"]["mlflow.parentRunId"], parent);
  EXPECT_THAT(said({"runs", "show", run}), HasSubstr("by hand"));
  EXPECT_EQ(json({"runs", "list", "--experiment-id", "1"})["runs"].size(), 2u);
  EXPECT_EQ(said({"runs", "delete", "--run-id", run}), run);
  EXPECT_EQ(json({"runs", "list"})["runs"].size(), 1u);
  EXPECT_EQ(json({"runs", "list", "--view", "deleted_only"})["runs"][0]["run_id"], run);
  EXPECT_EQ(json({"runs", "list", "--view", "All"})["runs"].size(), 2u);
  EXPECT_THAT(refusal({"runs", "list", "-v", "bogus"}),
              HasSubstr("bogus not in {active_only,deleted_only,all}"));
  EXPECT_EQ(json({"runs", "restore", run})["lifecycle_stage"], "active");
  EXPECT_THAT(refusal({"runs", "restore", std::string(32, '0')}), HasSubstr(std::string(32, '0')));
  EXPECT_THAT(refusal({"runs", "create", "--run-name", "nowhere"}), HasSubstr("--experiment-name"));
  ::setenv("MLFLOW_EXPERIMENT_NAME", "of the environment", 1);
  run = said({"runs", "create"});
  ::unsetenv("MLFLOW_EXPERIMENT_NAME");
  const std::string there = json_string(json({"runs", "show", run}), "experiment_id");
  EXPECT_EQ(json({"experiments", "get", "-x", there})["name"], "of the environment");
  ::setenv("MLFLOW_EXPERIMENT_ID", there.c_str(), 1);
  EXPECT_EQ(json({"runs", "list"})["runs"].size(), 1u);
  EXPECT_EQ(json({"runs", "list", "-e", "e"})["runs"].size(), 2u);
  ::unsetenv("MLFLOW_EXPERIMENT_ID");
  EXPECT_THAT(refusal({"runs", "list", "--csv", "--json"}), HasSubstr("--csv excludes --json"));
  EXPECT_THAT(refusal({"runs", "create", "--experiment-id", "0", "-t", "novalue"}), HasSubstr("KEY=VALUE"));
  EXPECT_THAT(refusal({"runs", "create", "--experiment-id", "0", "--status", "running"}),
              HasSubstr("running"));
}

TEST_P(Records, RunsAsCommaSeparatedValuesHaveMlflowsColumns) {
  said({"runs", "create", "--experiment-name", "e", "--run-name", "one", "-t", "note=says \"hi\", twice"});
  said({"runs", "create", "--experiment-name", "e", "--run-name", "two", "-t", "other=1"});
  std::string csv = said({"experiments", "csv", "-x", "1"});
  EXPECT_THAT(csv, StartsWith("run_id,experiment_id,status,artifact_uri,start_time,end_time,"));
  EXPECT_THAT(csv, HasSubstr("tags.note"));
  EXPECT_THAT(csv, HasSubstr("\"says \"\"hi\"\", twice\""));
  EXPECT_EQ(said({"runs", "list", "-e", "e", "--csv"}), csv);
  said({"experiments", "csv", "e", "-o", path("e.csv").string()});
  EXPECT_EQ(read_file(path("e.csv")).value(), csv + "\n");
  EXPECT_THAT(refusal({"experiments", "csv", "e", "--json"}), HasSubstr("excludes --json"));
}

TEST_P(Records, FilesAreGivenToARunAndTakenBack) {
  std::string run = said({"runs", "create", "--experiment-id", "0"});
  write("out/a.txt", "a");
  write("out/deep er/b.bin", std::string("\0\xff", 2));
  said({"artifacts", "log-artifacts", "-r", run, "-l", path("out").string(), "-a", "files"});
  said({"artifacts", "log-artifact", run, "-l", path("out/a.txt").string()});
  EXPECT_EQ(said({"artifacts", "list", run, "-r", "--csv"}),
            "path,is_dir,file_size\na.txt,false,1\nfiles,true,\nfiles/a.txt,false,1\nfiles/deep er,true,\n"
            "files/deep er/b.bin,false,2");
  EXPECT_EQ(json({"artifacts", "list", run, "-a", "files"})["artifacts"].size(), 2u);
  std::string down = path("down").string();
  EXPECT_EQ(said({"artifacts", "download", "-r", run, "-a", "files", "-d", down}), down + "/files");
  EXPECT_EQ(read_file(path("down/files/deep er/b.bin")).value(), std::string("\0\xff", 2));
  EXPECT_EQ(said({"artifacts", "download", "-u", "runs:/" + run + "/a.txt", "-d", down}), down + "/a.txt");
  std::string uri = json({"runs", "show", run})["artifact_uri"];
  said({"artifacts", "download", "-u", uri + "/files/a.txt", "-d", path("by uri").string()});
  EXPECT_EQ(read_file(path("by uri/a.txt")).value(), "a");
  EXPECT_THAT(refusal({"artifacts", "download", run, "none"}), HasSubstr("has no artifact 'none'"));
  EXPECT_THAT(refusal({"artifacts", "log-artifact", run, "-l", path("none").string()}),
              HasSubstr("there is no file"));
  EXPECT_THAT(refusal({"artifacts", "log-artifacts", run, "-l", path("out/a.txt").string()}),
              HasSubstr("single files are logged by log-artifact"));
  EXPECT_THAT(refusal({"artifacts", "log-artifact", run, "-l", path("out/a.txt").string(), "-a", "../x"}),
              HasSubstr("Invalid path"));
}

TEST_P(Records, AModelsFilesAreFoundByVersionAndAlias) {
  std::string run = said({"runs", "create", "--experiment-id", "0"});
  write("model/MLmodel", "flavors: {}");
  said({"artifacts", "log-artifacts", run, "-l", path("model").string(), "-a", "net"});
  EXPECT_EQ(said({"registry", "register", "net", "--run", run, "--path", "net"}), "1");
  EXPECT_EQ(said({"models", "set-alias", "net", "champion", "1"}), "");
  EXPECT_EQ(json({"models", "set-alias", "net", "champion", "1"})["version"], "1");
  EXPECT_EQ(said({"models", "transition", "net", "1", "production"}), "Production");
  EXPECT_THAT(said({"models", "list", "--csv"}), HasSubstr("\nnet,1,champion@1,2"));
  EXPECT_THAT(said({"models", "versions", "net", "--csv"}), HasSubstr("\nnet,1,Production,champion,2"));
  for (std::string uri :
       {"models:/net/1", "models:/net@champion", "models:/net/latest", "models:/net/Production"}) {
    std::string to = path(uri.substr(8)).string();
    EXPECT_EQ(said({"artifacts", "download", "-u", uri, "-d", to}), to);
    EXPECT_EQ(read_file(to + "/MLmodel").value_or(""), "flavors: {}") << uri;
    EXPECT_EQ(said({"artifacts", "download", "-u", uri + "/MLmodel", "-d", to + "/x"}), to + "/x/MLmodel");
  }
  EXPECT_THAT(refusal({"artifacts", "download", "-u", "models:/net/2"}), HasSubstr("2"));
  EXPECT_THAT(refusal({"artifacts", "download", "-u", "models:/net/Staging"}), HasSubstr("Staging"));
  EXPECT_THAT(refusal({"artifacts", "download", "-u", "models:/net/x"}), HasSubstr("a stage"));
  EXPECT_THAT(refusal({"artifacts", "download", "-u", "models:/net"}), HasSubstr("models:/NAME/VERSION"));
}

TEST_P(Records, AVersionThatWasMadeFromARunByItsIdHasTheRunsFiles) {
  std::string run = said({"runs", "create", "--experiment-id", "0"});
  write("model/MLmodel", "flavors: {}");
  said({"artifacts", "log-artifacts", run, "-l", path("model").string(), "-a", "net"});
  {
    auto store =
        tracking::Store::open({.uri = this->store(), .default_artifact_root = "mlflow-artifacts:"}).value();
    tracking::Registry registry(store);
    ASSERT_TRUE(registry.create_model({.name = "net", .description = "", .tags = {}}));
    ASSERT_TRUE(registry.create_version({.name = "net",
                                         .source = "runs:/" + run + "/net",
                                         .storage_location = "",
                                         .run_id = run,
                                         .run_link = "",
                                         .model_id = "",
                                         .description = "",
                                         .tags = {}}));
  }
  std::string to = path("down").string();
  said({"artifacts", "download", "-u", "models:/net/1", "-d", to});
  EXPECT_EQ(read_file(to + "/MLmodel").value_or(""), "flavors: {}");
}

TEST_P(Records, ModelsAreMadeRenamedAndDeleted) {
  EXPECT_EQ(said({"models", "create", "it's", "-d", "text", "-t", "a=b"}), "it's");
  EXPECT_THAT(refusal({"models", "create", "it's"}), HasSubstr("already exists"));
  std::string run = said({"runs", "create", "--experiment-id", "0"});
  write("model/MLmodel", "flavors: {}");
  said({"artifacts", "log-artifacts", run, "-l", path("model").string()});
  for (const char* number : {"1", "2"}) EXPECT_EQ(said({"models", "register", "it's", "--run", run}), number);
  EXPECT_EQ(json({"models", "versions", "it's"})["versions"].size(), 2u);
  said({"models", "set-alias", "it's", "champion", "2"});
  said({"models", "transition", "it's", "2", "staging"});
  Json shown = json({"models", "show", "it's"});
  EXPECT_EQ(shown["description"], "text");
  EXPECT_EQ(shown["tags"], (Json{{"a", "b"}}));
  EXPECT_EQ(shown["aliases"], (Json{{"champion", 2}}));
  EXPECT_EQ(shown["latest_versions"].size(), 2u);
  said({"models", "delete-alias", "it's", "champion"});
  EXPECT_EQ(said({"models", "rename", "it's", "its"}), "its");
  said({"models", "delete", "its", "--version", "2"});
  EXPECT_EQ(json({"models", "versions", "its"})["versions"].size(), 1u);
  said({"models", "delete", "its"});
  EXPECT_EQ(json({"models", "list"})["models"], Json::array());
  EXPECT_THAT(refusal({"models", "show", "its"}), HasSubstr("its"));
}

TEST_P(Records, RunsAreComparedAndWatched) {
  std::string a = said({"runs", "create", "--experiment-id", "0"}),
              b = said({"runs", "create", "--experiment-id", "0"});
  EXPECT_THAT(call({"runs", "compare", a, b}).errors, HasSubstr("no parameters and no metrics"));
  {
    auto store =
        tracking::Store::open({.uri = this->store(), .default_artifact_root = "mlflow-artifacts:"}).value();
    for (const std::string& run : {a, b}) ASSERT_TRUE(store.log_param(run, "lr", run == a ? "0.1" : "0.2"));
    for (int64_t step : {1, 2})
      ASSERT_TRUE(store.log_metric(a, {"loss", 0.5 / static_cast<double>(step), step, step}));
  }
  EXPECT_EQ(json({"runs", "compare", a, b})["runs"][0]["metrics"]["loss"], "0.25");
  Json differences = json({"runs", "diff", a, b})["differences"];
  ASSERT_GE(differences.size(), 2u);
  EXPECT_EQ(differences[0]["name"], "lr");
  EXPECT_EQ(said({"runs", "watch", a, "loss"}), "1\t0.5\n2\t0.25");
  EXPECT_THAT(refusal({"runs", "watch", a, "none"}), HasSubstr("no metric 'none'"));
}

TEST_F(Cli, AServerThatIsNoUrlIsNamed) {
  Captured refused = tidemill({"runs", "list", "--tracking-uri", "sqlite:///x.db"});
  EXPECT_EQ(refused.exit.status, 2);
  EXPECT_THAT(refused.errors, HasSubstr("--tracking-uri 'sqlite:///x.db' is not an http://"));
}

}  // namespace
}  // namespace tidemill
