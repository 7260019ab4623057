// Runs beside each other: tidemill runs diff, compare, watch; tidemill reproduce.
#include <gmock/gmock.h>

#include "base/text.h"
#include "cli/cli_fixture.h"

namespace tidemill {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

class Runs : public Cli {
 protected:
  void SetUp() override {
    write("code/say/MLproject",
          "entry_points:\n  main:\n    parameters: {word: string}\n    command: bash say.sh {word}\n");
    write("code/say/say.sh", kSay);
    write("code/pipeline.yaml",
          "name: demo\nparams: {word: hello}\nsteps: {say: {project: say, params: {word: "
          "'${params.word}'}}}\n");
  }
  // Logs a metric with what every machine has.
  static constexpr std::string_view kSay =
      "echo \"$1\" > \"$TIDEMILL_OUTPUT_DIR/word\"\n"
      "python3 - \"$1\" <<'END'\n"
      "import json, os, sys, urllib.request\n"
      "body = {'run_id': os.environ['MLFLOW_RUN_ID'], 'metrics': [{'key': 'length', 'value': "
      "len(sys.argv[1]) + step, "
      "'timestamp': 1, 'step': step} for step in range(3)]}\n"
      "urllib.request.urlopen(urllib.request.Request(os.environ['MLFLOW_TRACKING_URI'] + "
      "'/api/2.0/mlflow/runs/log-batch', "
      "json.dumps(body).encode(), {'Content-Type': 'application/json'}))\n"
      "END\n";

  void git(std::vector<std::string> words) const {
    std::vector<std::string> argv = {"git",         "-C", path("code").string(),     "-c",
                                     "user.name=t", "-c", "user.email=t@example.org"};
    argv.insert(argv.end(), words.begin(), words.end());
    auto run = run_command(argv, std::chrono::seconds(60));
    ASSERT_TRUE(run && run->exit.ok());
  }
  // The id of the new pipeline's run.
  std::string run_it(std::vector<std::string> words = {}) const {
    words.insert(words.begin(), {"run", path("code").string()});
    words.push_back("--json");
    Captured run = in_store(words);
    EXPECT_EQ(run.exit.status, 0) << run.output << run.errors;
    return json_string(parse_json(run.output.substr(0, run.output.find('\n'))).value_or(Json()), "run_id");
  }
  // "what name: a -> b" of each difference.
  std::vector<std::string> differences(const std::string& a, const std::string& b) const {
    std::vector<std::string> found;
    for (const auto& entry : listed("differences", {"runs", "diff", a, b}))
      found.push_back(fmt::format("{} {}: {} -> {}", json_string(entry, "what"), json_string(entry, "name"),
                                  json_string(entry, "a"), json_string(entry, "b")));
    return found;
  }
};

TEST_F(Runs, DiffTellsParametersCodeAndMetrics) {
  std::string first = run_it();
  EXPECT_THAT(differences(first, run_it()), ElementsAre());
  EXPECT_THAT(in_store({"runs", "diff", first, first}).errors, HasSubstr("no difference"));
  std::string other = run_it({"-P", "word=goodbye"});
  EXPECT_THAT(differences(first, other),
              ElementsAre("parameter word: hello -> goodbye", "parameter say/word: hello -> goodbye",
                          testing::StartsWith("output say: "), "metric say/length: 7 -> 9"));
  write("code/say/say.sh", std::string(kSay) + "# more\n");
  auto changed = differences(first, run_it());
  ASSERT_EQ(changed.size(), 1u);
  EXPECT_THAT(changed[0], HasSubstr("code say/say.sh: "));
  EXPECT_THAT(in_store({"runs", "diff", first, other}).output, HasSubstr("say/length"));
}

TEST_F(Runs, ComparedSideBySideAndAsCsv) {
  std::string a = run_it(), b = run_it({"-P", "word=he said \"x, y\""});
  EXPECT_EQ(in_store({"runs", "compare", a, b, "--csv"}).output,
            "run_id,run_name,status,params.word,metrics.say/length\n" + a + ",demo,FINISHED,hello,7\n" + b +
                ",demo,FINISHED,\"he said \"\"x, y\"\"\",16\n");
  EXPECT_THAT(in_store({"runs", "compare", a, b}).output, HasSubstr("say/length"));
  EXPECT_EQ(listed("runs", {"runs", "compare", a, b})[1]["metrics"]["say/length"], "16");
}

TEST_F(Runs, WatchPrintsTheMetricOfAStepAndEndsWithTheRun) {
  std::string id = run_it();
  EXPECT_EQ(in_store({"runs", "watch", id, "say/length"}).output, "0\t5\n1\t6\n2\t7\n");
  EXPECT_EQ(in_store({"runs", "watch", id, "length"}).output, "0\t5\n1\t6\n2\t7\n");
  Captured none = in_store({"runs", "watch", id, "loss"});
  EXPECT_EQ(none.exit.status, 1);
  EXPECT_THAT(none.errors, HasSubstr("has no metric 'loss'"));
}

TEST_F(Runs, ReproducedFromTheCommitAndWhatWasNotCommitted) {
  setenv("TIDEMILL_CACHE_DIR", path("cache").c_str(), 1);
  git({"init", "-q"});
  git({"add", "-A"});
  git({"commit", "-qm", "first"});
  write("code/say/say.sh", std::string(kSay) + "echo uncommitted > \"$TIDEMILL_OUTPUT_DIR/extra\"\n");
  std::string first = run_it({"-P", "word=hallo"});
  write("code/say/say.sh", "exit 1\n");
  write("code/pipeline.yaml", "name: demo\nsteps: {}\n");
  git({"commit", "-qam", "broken"});
  Captured again = in_store({"reproduce", first});
  EXPECT_EQ(again.exit.status, 0) << again.output << again.errors;
  EXPECT_THAT(again.errors, HasSubstr("Nothing that is known of the two runs differs"));
  EXPECT_THAT(again.errors, HasSubstr("environment variables"));
  bool reproduced = false;
  for (const auto& run : listed("runs", {"runs", "list"})) {
    if (json_string(run["tags"], "tidemill.reproduces") == first) reproduced = true;
    if (json_string(run, "run_name") == "say") {
      EXPECT_TRUE(fs::exists(fs::path(json_string(run, "artifact_uri")) / "extra"));
    }
  }
  EXPECT_TRUE(reproduced);
  EXPECT_TRUE(fs::is_empty(path("cache/projects/reproduced")));
  unsetenv("TIDEMILL_CACHE_DIR");
}

TEST_F(Runs, ReproducedInPlaceWhereGitDoesNotHaveTheFiles) {
  std::string first = run_it();
  write("code/say/say.sh", std::string(kSay) + "# changed\n");
  Captured again = in_store({"reproduce", first});
  EXPECT_EQ(again.exit.status, 0) << again.errors;
  EXPECT_THAT(again.errors, HasSubstr("in no git repository"));
  EXPECT_THAT(again.output, HasSubstr("code  say/say.sh"));
  git({"init", "-q"});
  write("code/other", "x");
  git({"add", "other"});
  git({"commit", "-qm", "first"});
  std::string second = run_it();
  EXPECT_THAT(in_store({"reproduce", second, "--dry-run"}).errors, HasSubstr("pipeline.yaml was not in git"));
}

TEST_F(Runs, WhatIsReproducedComparesItsResultsAndRegistersNothing) {
  write("code/pipeline.yaml",
        "steps:\n  say:\n    project: say\n    params: {word: '${pipeline.name}'}\n"
        "    gate: {metric: length, at_least: 1, model: talk, artifacts: '${self.artifacts}'}\n");
  write("code/say/say.sh", std::string(kSay) + "date +%s%N > \"$TIDEMILL_OUTPUT_DIR/time\"\n");
  git({"init", "-q"});
  git({"add", "-A"});
  git({"commit", "-qm", "first"});
  const std::string first = run_it();
  Captured again = in_store({"reproduce", first});
  EXPECT_EQ(again.exit.status, 0) << again.output << again.errors;
  EXPECT_THAT(again.output, testing::ContainsRegex("output +say"));
  EXPECT_THAT(again.output, Not(HasSubstr("parameter")));  // its name, which was that of its folder
  EXPECT_EQ(listed("versions", {"models", "versions", "talk"}).size(), 1u);
}

TEST_F(Runs, WhatHasNoRecordIsNotReproduced) {
  Captured run = in_store({"run", path("code/say").string(), "-P", "word=x", "--json"});
  EXPECT_EQ(run.exit.status, 0) << run.errors;
  std::string id = json_string(listed("runs", {"runs", "list"})[0], "run_id");
  Captured refused = in_store({"reproduce", id});
  EXPECT_EQ(refused.exit.status, 2);
  EXPECT_THAT(refused.errors, HasSubstr("cannot be reproduced"));
}

}  // namespace
}  // namespace tidemill
