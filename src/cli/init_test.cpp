// tidemill init: what it makes is run.
#include <gmock/gmock.h>

#include "cli/cli_fixture.h"

namespace tidemill {
namespace {

using testing::HasSubstr;

class Init : public Cli {
 protected:
  // The state of each step.
  std::map<std::string, std::string> run_states(std::vector<std::string> words) const {
    words.push_back("--json");
    Captured run = in_store(words);
    EXPECT_EQ(run.exit.status, 0) << run.output << run.errors;
    std::map<std::string, std::string> states;
    size_t at = 0;
    for (size_t end; (end = run.output.find('\n', at)) != std::string::npos; at = end + 1) {
      Json event = parse_json(run.output.substr(at, end - at)).value_or(Json());
      if (json_string(event, "event") == "step_finished")
        states[json_string(event, "step")] = json_string(event, "state");
    }
    return states;
  }
};

using States = std::map<std::string, std::string>;

TEST_F(Init, APythonProjectRunsAtOnceAndIsReusedAfterwards) {
  std::string folder = path("churn").string();
  Captured made = tidemill({"init", folder});
  EXPECT_EQ(made.exit.status, 0) << made.errors;
  EXPECT_THAT(made.output, HasSubstr(folder + "/pipeline.yaml\n"));
  EXPECT_THAT(made.errors, HasSubstr("tidemill run " + folder));
  EXPECT_EQ(run_states({"run", folder}), (States{{"prepare", "finished"}, {"train", "finished"}}));
  EXPECT_EQ(run_states({"run", folder, "-P", "rate=0.2"}),
            (States{{"prepare", "reused"}, {"train", "finished"}}));
  bool learnt = false;
  for (const auto& run : listed("runs", {"runs", "list"}))
    if (json_string(run, "run_name") == "train" && run["metrics"].value("error", 1.0) < 0.02) learnt = true;
  EXPECT_TRUE(learnt);
}

TEST_F(Init, ACppProjectIsCompiledAndRun) {
  std::string folder = path("native").string();
  EXPECT_EQ(tidemill({"init", folder, "--language", "cpp"}).exit.status, 0);
  EXPECT_EQ(run_states({"run", folder}), (States{{"build", "finished"}, {"train", "finished"}}));
  EXPECT_EQ(run_states({"run", folder, "-P", "rate=0.2"}),
            (States{{"build", "reused"}, {"train", "finished"}}));
}

TEST_F(Init, NothingThatIsThereIsOverwritten) {
  write("train.py", "mine");
  Captured made = tidemill({"init", dir_.path().string()});
  EXPECT_EQ(made.exit.status, 1);
  EXPECT_THAT(made.errors, HasSubstr("train.py is there already"));
  EXPECT_EQ(read_file(path("train.py")).value_or(""), "mine");
  EXPECT_FALSE(fs::exists(path("pipeline.yaml")));
}

TEST_F(Init, ADriverBecomesAPipelineThatRuns) {
  write("MLproject",
        "entry_points:\n  main:\n    parameters: {word: {default: there}}\n    command: python -m drive "
        "--word {word}\n");
  write(
      "drive.py",
      "import argparse\nimport os\nimport mlflow\n\n"
      "parser = argparse.ArgumentParser()\nparser.add_argument('--word', default='here')\n"
      "args = parser.parse_args()\n"
      "with mlflow.start_run():\n"
      "    first = mlflow.run('./first', parameters={'word': args.word})\n"
      "    mlflow.run('./second', parameters={'data': os.path.join('mlruns/0', first.run_id, 'artifacts')})\n"
      "    os.system('echo done')\n");
  write_project("first", "echo {word} > $TIDEMILL_OUTPUT_DIR/word", "{word: string}");
  write_project("second", "test $(cat {data}/word) = there", "{data: path}");
  Captured made = tidemill({"init", "--from-mlproject", dir_.path().string()});
  EXPECT_EQ(made.exit.status, 0) << made.errors;
  EXPECT_EQ(made.output, path("pipeline.yaml").string() + "\n");
  EXPECT_THAT(made.errors, HasSubstr("drive.py:11:5: os.system('echo done') is not carried over"));
  EXPECT_EQ(run_states({"run", dir_.path().string()}),
            (States{{"first", "finished"}, {"second", "finished"}}));
}

TEST_F(Init, ADriverWithoutStepsLeavesNoFile) {
  write("main.py", "print('hello')\n");
  Captured made = tidemill({"init", "--from-mlproject", dir_.path().string()});
  EXPECT_EQ(made.exit.status, 2);
  EXPECT_THAT(made.errors, HasSubstr("main.py: no call of mlflow.run()"));
  EXPECT_FALSE(fs::exists(path("pipeline.yaml")));
}

}  // namespace
}  // namespace tidemill
