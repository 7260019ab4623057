// tidemill tune.
#include <gmock/gmock.h>

#include "cli/cli_fixture.h"

namespace tidemill {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class Tune : public Cli {
 protected:
  void SetUp() override {
    // The accuracy is ten times the rate.
    write("train.sh",
          "python3 - \"$1\" <<'END'\n"
          "import json, os, sys, urllib.request\n"
          "body = {'run_id': os.environ['MLFLOW_RUN_ID'], 'key': 'accuracy', 'value': 10 * "
          "float(sys.argv[1]), 'timestamp': 1}\n"
          "urllib.request.urlopen(urllib.request.Request(os.environ['MLFLOW_TRACKING_URI'] + "
          "'/api/2.0/mlflow/runs/log-metric', json.dumps(body).encode(), {'Content-Type': "
          "'application/json'}))\n"
          "END\n");
    write("pipeline.yaml",
          "name: demo\n"
          "params: {rate: {type: float, default: 0.01}, seed: {type: int, default: 1}}\n"
          "steps:\n"
          "  prepare: {command: echo prepared}\n"
          "  train:\n"
          "    command: bash train.sh {rate}\n"
          "    needs: [prepare]\n"
          "    params: {rate: '${params.rate}'}\n"
          "    gate: {metric: accuracy, at_least: 0.5, model: demo}\n"
          "  publish: {command: 'echo >> published', needs: [train], cache: false}\n");
  }
  Json tuned(std::vector<std::string> words, int status) {
    words.insert(words.begin(), {"tune", dir_.path().string()});
    words.push_back("--json");
    Captured run = in_store(words);
    EXPECT_EQ(run.exit.status, status) << run.output << run.errors;
    size_t last = run.output.rfind("{\"event\":\"tune_finished\"");
    return last == std::string::npos ? Json() : parse_json(run.output.substr(last)).value_or(Json());
  }
};

TEST_F(Tune, StopsAtTheFirstCombinationThatPasses) {
  Json outcome = tuned({"--grid", "rate=0.01,0.06,0.09"}, 0);
  ASSERT_EQ(outcome["runs"].size(), 2u);
  EXPECT_THAT(dump_json(outcome["runs"][0]["gates"]), HasSubstr("closed: accuracy 0.1 is below 0.5"));
  EXPECT_THAT(dump_json(outcome["runs"][1]["gates"]), HasSubstr("demo version 1 is champion"));
  EXPECT_EQ(read_file(path("published")).value_or(""), "\n");
}

TEST_F(Tune, EndsWithItsBudgetOrItsGrid) {
  EXPECT_EQ(tuned({"--grid", "rate=0.01,0.02,0.06", "--max-runs", "2"}, 1)["runs"].size(), 2u);
  EXPECT_EQ(tuned({"--grid", "rate=0.01,0.02,0.06", "--budget", "0.000001s"}, 1)["runs"].size(), 1u);
  EXPECT_EQ(tuned({"--grid", "rate=0.01,0.02", "--grid", "seed=1,2"}, 1)["runs"].size(), 4u);
  Captured run =
      in_store({"tune", dir_.path().string(), "--grid", "rate=0.01,0.02,0.06", "--budget", "0.000001s"});
  EXPECT_THAT(run.errors, HasSubstr("2 were not tried because of --budget 0.000001s"));
}

TEST_F(Tune, AFailureOfAnotherKindStopsIt) {
  write("train.sh", "exit 3\n");
  Captured run = in_store({"tune", dir_.path().string(), "--grid", "rate=0.01,0.02"});
  EXPECT_EQ(run.exit.status, 1);
  EXPECT_THAT(run.errors, HasSubstr("stopped, as no other parameters would help: train: exit status 3"));
}

TEST_F(Tune, AMetricThatIsNeverLoggedStopsIt) {
  write("train.sh", "true\n");
  Captured run = in_store({"tune", dir_.path().string(), "--grid", "rate=0.01,0.02"});
  EXPECT_EQ(run.exit.status, 1);
  EXPECT_THAT(run.errors, HasSubstr("the gate's metric 'accuracy' was not logged"));
  EXPECT_THAT(run.errors, testing::Not(HasSubstr("2 of 2")));
}

TEST_F(Tune, MistakesAreToldBeforeAnythingRuns) {
  auto error = [&](const std::string& grid) {
    Captured run = in_store({"tune", dir_.path().string(), "--grid", grid});
    EXPECT_EQ(run.exit.status, 2);
    return run.errors;
  };
  EXPECT_THAT(error("rat=1,2"), HasSubstr("did you mean 'rate'?"));
  EXPECT_THAT(error("rate=0.1,high"), HasSubstr("--grid: "));
  write("pipeline.yaml", "params: {rate: 1}\nsteps: {a: {command: 'true'}}\n");
  EXPECT_THAT(error("rate=0.1"), HasSubstr("has no step with a gate"));
  EXPECT_FALSE(fs::exists(store()));
}

}  // namespace
}  // namespace tidemill
