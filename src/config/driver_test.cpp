#include "config/driver.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/pipeline_file.h"

namespace tidemill::config {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

Driver read(std::string_view text) {
  auto driver = read_driver(text, "main.py", {});
  EXPECT_TRUE(driver) << driver.error().message;
  return driver.value_or(Driver{});
}
std::vector<std::string> left(const Driver& driver) {
  std::vector<std::string> messages;
  for (const auto& error : driver.left) messages.push_back(error.message);
  return messages;
}

TEST(Driver, AFunctionMayPassOnWhatItIsGiven) {
  Driver driver = read(R"(
import mlflow
import settings

def go(step, **params):
    return mlflow.run("./" + step, parameters=params)

common = {"seed": 7}
go("prepare", rows=10, **common)
go("train", **{**common, "rate": 0.1})
go("evaluate", model="m", **settings.all())
)");
  ASSERT_EQ(driver.steps.size(), 3u);
  EXPECT_THAT(driver.steps[0].arguments, ElementsAre(Pair("rows", "10"), Pair("seed", "7")));
  EXPECT_THAT(driver.steps[1].arguments, ElementsAre(Pair("seed", "7"), Pair("rate", "0.1")));
  EXPECT_THAT(driver.steps[2].arguments, ElementsAre(Pair("model", "m")));
  EXPECT_THAT(left(driver),
              ElementsAre(HasSubstr("main.py:11:1: step 'evaluate': a part of its parameters")));
}

TEST(Driver, ParametersThatCannotBeReadAreToldForEachStepWhereItIsCalled) {
  Driver driver = read(R"(
import mlflow

def go(step, params):
    mlflow.run(step, parameters=params)

go("prepare", load("a"))
go("train", load("b"))
)");
  EXPECT_THAT(left(driver), ElementsAre(HasSubstr("main.py:7:1: step 'prepare': its parameters"),
                                        HasSubstr("main.py:8:1: step 'train': its parameters")));
}

TEST(Driver, ProjectsBesideTheDriversFileAreFound) {
  for (const char* here :
       {"Path(__file__).parent", "Path(__file__).resolve().parent", "pathlib.Path(__file__).parent",
        "os.path.dirname(os.path.abspath(__file__))", "os.path.dirname(__file__) or '.'"}) {
    Driver driver = read(fmt::format(R"(
import os, pathlib
from pathlib import Path
import mlflow
HERE = {}
mlflow.run(str(Path(HERE) / "prep"))
mlflow.run(f"{{HERE}}/train")
mlflow.run(os.path.join(HERE, "evaluate"))
)",
                                     here));
    ASSERT_EQ(driver.steps.size(), 3u) << here;
    EXPECT_EQ(driver.steps[0].project, "prep");
    EXPECT_EQ(driver.steps[1].project, "train");
    EXPECT_EQ(driver.steps[2].project, "evaluate");
  }
}

TEST(Driver, StepsThatAreLeftOutAreCountedAndToldWhereTheyAreRun) {
  Driver driver = read(R"(
import mlflow

def go(name):
    return mlflow.run(where(name))

go("a")
go("b")
mlflow.run("c")
)");
  EXPECT_EQ(driver.steps.size(), 1u);
  EXPECT_EQ(driver.steps_left_out, 2u);
  EXPECT_THAT(left(driver), ElementsAre(HasSubstr("main.py:5:12: a step is left out")));
}

constexpr std::string_view kFourFolders = R"(
import argparse
import os

import mlflow


def main():
    parser = argparse.ArgumentParser(description="Train.")
    parser.add_argument("--source", type=str, default="small", choices=["small", "large"])
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("-r", "--learning-rate", type=float, required=True)
    args = parser.parse_args()
    experiment_id = int(os.getenv("MLFLOW_EXPERIMENT_ID", 0))

    with mlflow.start_run() as parent:
        prepare_run = mlflow.run(
            uri="./prepare",
            entry_point="prepare",
            backend="local",
            parameters={"source": args.source, "target": "/tmp/out"},  # a comment
        )
        prepare_run = mlflow.tracking.MlflowClient().get_run(prepare_run.run_id)
        data = os.path.join(os.getcwd(), "mlruns/", str(experiment_id), prepare_run.info.run_id, "artifacts/data")

        train_run = mlflow.run(uri="./train", parameters={
            "data": data,
            "epochs": args.epochs, "rate": args.learning_rate,
        })
        train_run = mlflow.tracking.MlflowClient().get_run(train_run.run_id)

        build_run = mlflow.run(
            "./build_image", "build",
            parameters={"model": os.path.join(str(experiment_id), train_run.info.run_id, "artifacts/", "model.onnx"),
                        "tag": os.environ["TAG"]},
        )
        mlflow.run("evaluate", parameters={
            "data": f"{prepare_run.info.artifact_uri}/test", "accuracy": train_run.data.metrics["accuracy"]})
        mlflow.log_metric("done", 1)


if __name__ == "__main__":
    main()
)";

TEST(Driver, FourFoldersOneAfterTheOther) {
  Driver driver = read(kFourFolders);
  ASSERT_EQ(driver.steps.size(), 4u);
  EXPECT_EQ(driver.steps[0].name, "prepare");
  EXPECT_EQ(driver.steps[0].project, "prepare");
  EXPECT_EQ(driver.steps[0].entry_point, "prepare");
  EXPECT_THAT(driver.steps[0].arguments,
              ElementsAre(Pair("source", "${params.source}"), Pair("target", "/tmp/out")));
  EXPECT_THAT(driver.steps[1].arguments,
              ElementsAre(Pair("data", "${steps.prepare.artifacts}/data"), Pair("epochs", "${params.epochs}"),
                          Pair("rate", "${params.learning_rate}")));
  EXPECT_TRUE(driver.steps[1].needs.empty());
  EXPECT_THAT(driver.steps[2].arguments, ElementsAre(Pair("model", "${steps.train.artifacts}/model.onnx"),
                                                     Pair("tag", "${params.build_image_tag}")));
  EXPECT_THAT(driver.steps[3].arguments, ElementsAre(Pair("data", "${steps.prepare.artifacts}/test"),
                                                     Pair("accuracy", "${steps.train.metrics.accuracy}")));
  EXPECT_THAT(driver.steps[3].needs, ElementsAre("build_image"));
  EXPECT_THAT(left(driver),
              ElementsAre(HasSubstr("main.py:32:21: what step 'build_image' gets for 'tag' cannot be read"),
                          HasSubstr("mlflow.log_metric(\"done\",1) is not carried over")));
}

TEST(Driver, ItsPipelineIsAPipeline) {
  auto folder = TempDir::create().value();
  for (std::string_view name : {"prepare", "train", "build_image", "evaluate"}) {
    ASSERT_TRUE(make_dirs(folder.path() / name));
    ASSERT_TRUE(write_file_atomic(folder.path() / name / "MLproject",
                                  "entry_points: {main: {command: 'true', parameters: {data: string, epochs: "
                                  "int, rate: float, accuracy: float}}, "
                                  "prepare: {command: 'true', parameters: {source: string, target: string}}, "
                                  "build: {command: 'true', parameters: {model: string, tag: string}}}",
                                  Durable::no));
  }
  std::string text = pipeline_text(read(kFourFolders), "main.py");
  ASSERT_TRUE(write_file_atomic(folder.path() / "pipeline.yaml", text, Durable::no));
  auto pipeline = load_pipeline(folder.path() / "pipeline.yaml");
  ASSERT_TRUE(pipeline) << pipeline.error().message << "\n" << text;
  EXPECT_EQ(pipeline->steps.size(), 4u);
  const Parameter* source = find_parameter(pipeline->parameters, "source");
  ASSERT_NE(source, nullptr);
  EXPECT_THAT(source->choices, ElementsAre("small", "large"));
  EXPECT_FALSE(find_parameter(pipeline->parameters, "learning_rate")->default_value);
}

TEST(Driver, AHelperThatCallsRunAndClickOptions) {
  Driver driver = read(R"(
import click
from mlflow import run as start

def _get_or_run(entrypoint, parameters, use_cache=True):
    print("Launching %s" % entrypoint)
    submitted = start(".", entrypoint, parameters=parameters, env_manager="local")
    return MlflowClient().get_run(submitted.run_id)

@click.command()
@click.option("--max-rows", default=100, type=int)
def workflow(max_rows):
    with mlflow.start_run() as active:
        load = _get_or_run("load", {})
        table = os.path.join(load.info.artifact_uri, "table")
        _get_or_run("etl", {"table": table, "rows": max_rows})

if __name__ == "__main__":
    workflow()
)");
  ASSERT_EQ(driver.steps.size(), 2u);
  EXPECT_EQ(driver.steps[0].name, "load");
  EXPECT_EQ(driver.steps[1].project, ".");
  EXPECT_EQ(driver.steps[1].entry_point, "etl");
  EXPECT_THAT(driver.steps[1].arguments, ElementsAre(Pair("table", "${steps.load.artifacts}/table"),
                                                     Pair("rows", "${params.max_rows}")));
  EXPECT_EQ(driver.parameters[0].default_value, "100");
  EXPECT_THAT(left(driver), ElementsAre(HasSubstr("give --env-manager")));
}

TEST(Driver, StepsWithinLoopsAndConditionsAreTold) {
  Driver driver = read(
      "import mlflow\nfor rate in [1, 2]:\n    mlflow.run('train', parameters={'rate': rate})\n"
      "if ready: mlflow.run('publish')\n");
  EXPECT_THAT(driver.parameters[0].name, "train_rate");
  EXPECT_THAT(left(driver), ElementsAre(HasSubstr("'rate' cannot be read"),
                                        HasSubstr("the driver has it within `for rate in"),
                                        HasSubstr("main.py:4:11: step 'publish' runs in any case")));
}

TEST(Driver, TextsThatLookLikeReferencesStayTexts) {
  Driver driver = read("import mlflow\nmlflow.run('a', parameters={'x': '${steps.b.run_id}'})\n");
  EXPECT_EQ(driver.steps[0].arguments[0].second, "$${steps.b.run_id}");
}

TEST(Driver, WhatIsNoDriverIsToldSo) {
  auto none = read_driver("print('hello')\n", "main.py", {});
  ASSERT_FALSE(none);
  EXPECT_THAT(none.error().message, HasSubstr("main.py: no call of mlflow.run()"));
  auto broken = read_driver("x = (1,\n", "main.py", {});
  ASSERT_FALSE(broken);
  EXPECT_THAT(broken.error().message, HasSubstr("a bracket is not closed"));
  EXPECT_THAT(read_driver("x = 'abc\n", "main.py", {}).error().message,
              HasSubstr("main.py:1:5: a string is not closed"));
}

TEST(Driver, DeepNestingAndEndlessRecursionEnd) {
  EXPECT_FALSE(read_driver(std::string(100'000, '('), "main.py", {}));
  std::string chain = "import mlflow\nx = a";
  for (int i = 0; i < 30'000; ++i) chain += "+a";
  EXPECT_TRUE(read_driver(chain + "\nmlflow.run('a')\n", "main.py", {}));
  EXPECT_TRUE(read_driver(
      "import mlflow\ndef f(x):\n    y = x + x\n    f(y); f(y); f(y)\nf('abc')\nmlflow.run('a')\n", "main.py",
      {}));
}

}  // namespace
}  // namespace tidemill::config
