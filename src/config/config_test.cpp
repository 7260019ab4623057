#include <gmock/gmock.h>

#include "base/json.h"
#include "config/mlproject.h"
#include "config/pipeline_file.h"
#include "config/reference.h"

namespace tidemill::config {
namespace {

using testing::HasSubstr;

std::string yaml_error(std::string_view text) {
  auto node = parse_yaml(text, "f.yaml");
  return node ? "" : node.error().message;
}

TEST(Yaml, NamesThePlaceOfBrokenText) {
  EXPECT_THAT(yaml_error("a: 1\nb: [1, 2\n"), HasSubstr("f.yaml:3:"));
  EXPECT_THAT(yaml_error("a: 1\na: 2\n"), HasSubstr("f.yaml:2:1: 'a' stands here a second time"));
  EXPECT_THAT(yaml_error("a: &x 1\nb: *x\n"), HasSubstr("f.yaml:2:4: aliases"));
  EXPECT_THAT(yaml_error("a: 1\n---\nb: 2\n"), HasSubstr("more than one document"));
  EXPECT_THAT(yaml_error("a: 1\n---\na: 2\n"),
              HasSubstr("f.yaml:2:1: the file holds more than one document"));
  EXPECT_THAT(yaml_error("? [a]\n: b\n"), HasSubstr("a key must be plain text"));
}

TEST(Yaml, AQuoteThatDoesNotEndIsRefusedWhereItBegins) {
  EXPECT_THAT(yaml_error("steps:\n  a:\n    command: \"true\n"),
              HasSubstr("f.yaml:3:14: this quote has no end"));
  EXPECT_THAT(yaml_error("a: 'it''s\n"), HasSubstr("f.yaml:1:4: this quote has no end"));
  EXPECT_THAT(yaml_error("a: \"\\\"\n"), HasSubstr("no end"));
  EXPECT_EQ(yaml_error("a: 'it''s'\nb: \"\\\"\"\n"), "");
  EXPECT_EQ(yaml_error("\xEF\xBB\xBF"
                       "a: \"é\"\nb: |\n  '"),
            "");
}

TEST(Yaml, RefusesBombsQuickly) {
  EXPECT_NE(yaml_error(std::string(10000, '[')), "");
  std::string many = "[";
  for (int i = 0; i < 200000; ++i) many += "1,";
  EXPECT_THAT(yaml_error(many + "]"), HasSubstr("too much"));
  EXPECT_THAT(yaml_error(std::string(3 << 20, 'a')), HasSubstr("larger"));
}

TEST(Yaml, KeepsQuotedEmptyTextApartFromNull) {
  Node root = parse_yaml("a: ''\nb:\nc: ~\nd: '~'\n", "f").value();
  EXPECT_EQ(root.find("a")->kind, Node::Kind::kScalar);
  EXPECT_EQ(root.find("b")->kind, Node::Kind::kNull);
  EXPECT_EQ(root.find("c")->kind, Node::Kind::kNull);
  EXPECT_EQ(root.find("d")->text, "~");
}

constexpr std::string_view kProject = R"(name: demo
entry_points:
  main:
    parameters:
      epochs: {type: int, default: 1}
      text: {type: string, default: "it's"}
      folder: path
    command: "train --epochs {epochs} --text {text} --in {folder} --json '{{}}'"
)";

std::string command_for(const Arguments& given) {
  Project project = parse_project(kProject, "MLproject").value();
  EntryPoint entry = entry_point(project, "main").value();
  auto complete = complete_arguments(entry, given);
  if (!complete) return complete.error().message;
  auto located = with_absolute_paths(entry, *complete, "/");
  return located ? command_line(entry, *located).value() : located.error().message;
}

TEST(MLproject, BuildsTheCommandWithQuotesAndAppendsUndeclaredParameters) {
  EXPECT_EQ(command_for({{"folder", "etc"}, {"ex tra", "a b"}}),
            R"(train --epochs 1 --text 'it'"'"'s' --in /etc --json '{}' --'ex tra' 'a b')");
}

TEST(MLproject, ChecksTypesPathsAndMissingParameters) {
  EXPECT_THAT(command_for({}),
              HasSubstr("MLproject:7:7: entry point 'main' needs a value for parameter 'folder'"));
  EXPECT_THAT(command_for({{"folder", "/no/such"}}), HasSubstr("no such file or directory"));
  EXPECT_THAT(command_for({{"folder", "/"}, {"epochs", "two"}}),
              HasSubstr("'epochs' must be a whole number, not 'two'"));
}

TEST(MLproject, RefusesUnknownPlaceholdersAndEntryPointsWithTheNearestName) {
  auto bad = parse_project("entry_points:\n  main:\n    parameters: {epochs: int}\n    command: t {epoch}\n",
                           "MLproject");
  EXPECT_THAT(command_line(bad->entry_points[0], {}).error().message, HasSubstr("did you mean 'epochs'?"));
  EXPECT_THAT(entry_point(*bad, "mian").error().message, HasSubstr("did you mean 'main'?"));
  EXPECT_THAT(parse_project("python_env: a\ndocker_env: {image: b}\n", "M").error().message,
              HasSubstr("M:2:1: a project can have only one"));
}

class ProjectEnvironments : public testing::Test {
 protected:
  fs::path write(const std::string& name, std::string_view text) {
    EXPECT_TRUE(write_file_atomic(dir_.path() / name, text, Durable::no));
    return dir_.path() / name;
  }
  Result<Project> load(std::string_view mlproject) {
    write("MLproject", mlproject);
    return load_project(dir_.path());
  }
  TempDir dir_ = TempDir::create().value();
};

TEST_F(ProjectEnvironments, AreWhatTheFileNamesOrWhatLiesInTheFolder) {
  EXPECT_EQ(load("name: a\n")->environment.kind, EnvironmentKind::kNone);
  write("conda.yaml", "dependencies: []\n");
  EXPECT_EQ(load("name: a\n")->environment.kind, EnvironmentKind::kConda);
  write("python_env.yaml", "dependencies: []\n");
  EXPECT_EQ(load("name: a\n")->environment.kind, EnvironmentKind::kPython);
  EXPECT_EQ(load("conda_env: conda.yaml\n")->environment.file.filename(), "conda.yaml");
  EXPECT_THAT(load("name: a\npython_env: missing.yaml\n").error().message,
              AllOf(HasSubstr("MLproject:2:13"), HasSubstr("missing.yaml")));
}

TEST_F(ProjectEnvironments, DockerEnvNeedsAnImage) {
  auto docker = load(
                    "docker_env:\n  image: team/train:1\n  volumes: [\"/data:/data\"]\n"
                    "  environment: [HOME, [MODE, fast]]\n")
                    ->environment.docker;
  EXPECT_EQ(docker.image, "team/train:1");
  EXPECT_THAT(docker.volumes, testing::ElementsAre("/data:/data"));
  EXPECT_EQ(docker.variables[0], (std::pair<std::string, std::optional<std::string>>("HOME", std::nullopt)));
  EXPECT_EQ(docker.variables[1].second, "fast");
  EXPECT_THAT(load("docker_env: {}\n").error().message, HasSubstr("needs an image"));
  EXPECT_THAT(load("docker_env:\n  imagee: a\n").error().message,
              AllOf(HasSubstr("MLproject:2:3"), HasSubstr("did you mean 'image'?"), Not(HasSubstr("more;"))));
  EXPECT_FALSE(load("docker_env: {image: --privileged}\n"));
  EXPECT_FALSE(load("docker_env: {image: a, environment: {A: b}}\n"));
}

TEST_F(ProjectEnvironments, OfPythonAreReadFromBothKindsOfFiles) {
  auto python = load_python_env(write(
      "p.yaml", "python: \"3.11\"\nbuild_dependencies: [pip]\ndependencies: [-r requirements.txt, six]\n"));
  EXPECT_EQ(python->python, "3.11");
  EXPECT_THAT(python->dependencies, testing::ElementsAre("-r requirements.txt", "six"));
  EXPECT_THAT(load_python_env(write("p.yaml", "python: 3.10\n")).error().message, HasSubstr("in quotes"));
  EXPECT_THAT(load_python_env(write("p.yaml", "dependencie: []\n")).error().message,
              HasSubstr("dependencies"));
  auto conda = load_conda_env(write(
      "c.yaml", "name: x\nchannels: [a]\ndependencies: [python=3.11.2, pip=24.0, numpy, {pip: [six]}]\n"));
  EXPECT_EQ(conda->python, "3.11.2");
  EXPECT_THAT(conda->build_dependencies, testing::ElementsAre("pip==24.0"));
  EXPECT_THAT(conda->dependencies, testing::ElementsAre("six"));
  EXPECT_THAT(conda->left_out, testing::ElementsAre("numpy"));
  EXPECT_THAT(load_conda_env(write("c.yaml", "dependencies: [python>=3.9]\n")).error().message,
              HasSubstr("is a range"));
}

TEST(MLproject, AnEmptyFileIsAProjectWithoutEntryPoints) { EXPECT_TRUE(parse_project("", "MLproject")); }

class PipelineFile : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* step : {"prepare", "train"}) {
      ASSERT_TRUE(make_dirs(dir_.path() / step));
      ASSERT_TRUE(write_file_atomic(
          dir_.path() / step / "MLproject",
          "entry_points:\n  main:\n    parameters: {data: {default: ''}}\n    command: echo {data}\n"));
    }
  }
  Result<Pipeline> load(std::string_view text) {
    fs::path file = dir_.path() / "pipeline.yaml";
    EXPECT_TRUE(write_file_atomic(file, text));
    return load_pipeline(file);
  }
  std::string error_of(std::string_view text) {
    auto loaded = load(text);
    if (loaded) return "";
    std::string message = loaded.error().message;
    EXPECT_EQ(exit_code(loaded.error().code), 2) << message;
    return message.substr(std::min(message.size(), dir_.path().string().size() + 1));
  }
  TempDir dir_ = TempDir::create().value();
};

TEST_F(PipelineFile, ReadsStepsInOrder) {
  auto pipeline = load(
      "name: p\nsteps:\n  prepare: {project: prepare}\n  train: {project: train, params: {data: "
      "'${steps.prepare.artifacts}'}, timeout: 60}\n");
  ASSERT_TRUE(pipeline) << pipeline.error().message;
  EXPECT_EQ(pipeline->steps[1].name, "train");
  EXPECT_EQ(pipeline->steps[1].settings->timeout.attempt, std::chrono::seconds(60));
  EXPECT_EQ(pipeline->steps[1].arguments[0].value.references()[0],
            (Reference{"steps", "prepare", "artifacts"}));
}

TEST_F(PipelineFile, TakesItsNameFromTheFolderHoweverTheFolderIsWritten) {
  ASSERT_TRUE(load("steps:\n  train: {project: train}\n"));
  auto pipeline = load_pipeline(dir_.path() / "." / "pipeline.yaml");
  EXPECT_EQ(pipeline->name, dir_.path().filename());
  EXPECT_EQ(load_project(dir_.path() / "train" / "").value().name, "train");
}

TEST_F(PipelineFile, ReadsTheFiguresToShow) {
  auto pipeline = load("steps:\n  train: {project: train, figures: [accuracy, loss]}\n");
  ASSERT_TRUE(pipeline) << pipeline.error().message;
  EXPECT_EQ(pipeline->steps[0].settings->figures, (std::vector<std::string>{"accuracy", "loss"}));
  EXPECT_THAT(error_of("steps:\n  train: {project: train, figures: accuracy}\n"),
              HasSubstr("figures must be a list"));
}

TEST_F(PipelineFile, ReadsAfterWhichFailuresAStepIsTriedAgain) {
  auto retry = [&](const std::string& text) {
    auto pipeline = load(fmt::format("steps:\n  train: {{project: train, retry: {}}}\n", text));
    EXPECT_TRUE(pipeline) << pipeline.error().message;
    return pipeline->steps[0].settings->retry;
  };
  EXPECT_EQ(retry("3").times, 3);
  EXPECT_EQ(retry("3").infrastructure, 2);
  EXPECT_EQ(retry("0").infrastructure, 0);
  EXPECT_EQ(retry("{times: 0, infrastructure: 1}").infrastructure, 1);
  RetryPolicy policy = retry("{times: 2, after: [timeout, 75], not_after: [76], delay: 5, factor: 3}");
  EXPECT_EQ(policy.budget({FailureKind::kTimeout}), 2);
  EXPECT_EQ(policy.budget({FailureKind::kExit, 75}), 2);
  EXPECT_EQ(policy.budget({FailureKind::kExit, 1}), 0);
  EXPECT_EQ(policy.budget({FailureKind::kMemory}), 0);
  EXPECT_EQ(policy.delay, std::chrono::seconds(5));
  EXPECT_EQ(retry("{times: 4, not_after: [2, memory]}").budget({FailureKind::kExit, 2}), 0);
  EXPECT_EQ(retry("{times: 4, not_after: [2, memory]}").budget({FailureKind::kExit, 3}), 4);
  EXPECT_THAT(error_of("steps:\n  train: {project: train, retry: -1}\n"),
              HasSubstr("pipeline.yaml:2:34: retry must be between 0 and 100, not -1"));
  EXPECT_THAT(error_of("steps:\n  train: {project: train, retry: {time: 1}}\n"),
              HasSubstr("did you mean 'times'?"));
  EXPECT_THAT(error_of("steps:\n  train: {project: train, retry: {times: 1, after: [timout]}}\n"),
              HasSubstr("neither an exit status (1 to 255), nor {log: PATTERN}, nor one of exit, signal, "
                        "timeout, memory (did you mean 'timeout'?)"));
  EXPECT_THAT(error_of("steps:\n  train: {project: train, retry: {times: 1, after: [{log: 'a('}]}}\n"),
              HasSubstr("'a(' is not a regular expression"));
  EXPECT_THAT(error_of("steps:\n  train: {project: train, retry: {times: 1, more_memory: 2}}\n"),
              HasSubstr("add resources: {memory: 4G}"));
  auto refusal = [&](const std::string& text) {
    return error_of("steps:\n  train: {project: train, resources: {memory: 4G}, retry: " + text + "}\n");
  };
  EXPECT_THAT(refusal("{time: 1, after: [timout, 256], delay: soon, factor: 0}"), HasSubstr("(4 more;"));
  EXPECT_THAT(refusal("{}"), HasSubstr("retry needs times"));
  EXPECT_THAT(refusal("{after: [4]}"), HasSubstr("retry.after means nothing without times"));
  EXPECT_THAT(refusal("{times: 2, after: []}"), HasSubstr("as in [timeout, 75]"));
  EXPECT_THAT(refusal("{times: 2, after: timeout}"), HasSubstr("as in [timeout, 75]"));
  EXPECT_THAT(refusal("{times: 2, after: [infrastructure]}"),
              HasSubstr("retry.infrastructure says how often"));
  EXPECT_THAT(refusal("{times: 2, after: [oom]}"), HasSubstr("did you mean 'memory'?"));
  EXPECT_THAT(refusal("{times: 2, after: [{log: ''}]}"), HasSubstr("{log: PATTERN}"));
  EXPECT_THAT(refusal("{times: 2, not_after: [memory], more_memory: 2}"),
              HasSubstr("is not tried again when"));
  EXPECT_THAT(refusal("{times: 2, delay: 2m, max_delay: 1m}"), HasSubstr("longer than retry.max_delay"));
  EXPECT_THAT(error_of("steps:\n  train: {project: train, retry: {times: 1, after: [256]}}\n"),
              HasSubstr("neither an exit status"));
}

TEST_F(PipelineFile, ReadsHowLongStepsAndRunsMayTake) {
  auto pipeline = load(
      "timeout: 1d\nafter_failure: stop\n"
      "steps:\n  train: {project: train, timeout: {attempt: 1.5m, total: 2h, waiting: 30}, log_limit: 1M}\n");
  ASSERT_TRUE(pipeline) << pipeline.error().message;
  EXPECT_EQ(pipeline->timeout, std::chrono::hours(24));
  EXPECT_EQ(pipeline->after_failure, AfterFailure::kStop);
  const StepSettings& settings = *pipeline->steps[0].settings;
  EXPECT_EQ(settings.timeout.attempt, std::chrono::seconds(90));
  EXPECT_EQ(settings.timeout.total, std::chrono::hours(2));
  EXPECT_EQ(settings.timeout.waiting, std::chrono::seconds(30));
  EXPECT_EQ(settings.log_limit, 1'000'000u);
  EXPECT_THAT(error_of("steps:\n  train: {project: train, timeout: 31d}\n"),
              HasSubstr("timeout must be between 1s and 30d, not 31d"));
  EXPECT_THAT(error_of("steps:\n  train:\n    timeout:\n    project: train\n"),
              HasSubstr("pipeline.yaml:3:5: timeout has no value"));
  EXPECT_THAT(error_of("timeout: {total: 1h}\nsteps:\n  train: {project: train}\n"),
              HasSubstr("attempt, total and waiting are those of steps"));
  EXPECT_THAT(error_of("retry: 3\nsteps:\n  train: {project: train}\n"),
              HasSubstr("pipeline.yaml:1:1: 'retry' belongs to a step"));
  EXPECT_THAT(error_of("steps:\n  train: {project: train, timeout: {attemt: 1}}\n"),
              HasSubstr("did you mean 'attempt'?"));
  EXPECT_THAT(error_of("after_failure: keepgoing\nsteps:\n  train: {project: train}\n"),
              HasSubstr("did you mean 'keep_going'?"));
  EXPECT_THAT(error_of("steps:\n  train: {project: train, log_limit: 10}\n"), HasSubstr("or more"));
}

TEST_F(PipelineFile, NamesThePlaceAndTheNearestNameOfAMistake) {
  EXPECT_THAT(error_of("stepz: {}\n"),
              HasSubstr("pipeline.yaml:1:1: unknown key 'stepz' in the pipeline (did you mean 'steps'?)"));
  EXPECT_THAT(error_of("steps:\n  train: {project: trian}\n"),
              HasSubstr("pipeline.yaml:2:20: step 'train': there is no folder"));
  EXPECT_THAT(error_of("steps:\n  train: {project: train, params: {dat: 1}}\n"),
              HasSubstr("pipeline.yaml:2:36: step 'train' passes 'dat'"));
  EXPECT_THAT(error_of("steps:\n  train: {project: train, timeout: soon}\n"),
              HasSubstr("must be a time such as 90s, 15m, 2h or 1d, not 'soon'"));
  EXPECT_THAT(error_of("steps:\n  a b: {project: train}\n"), HasSubstr("cannot be a step's name"));
  EXPECT_THAT(error_of("steps:\n  train: {project: train}\n  train: {project: train}\n"),
              HasSubstr("pipeline.yaml:3:3: 'train' stands here a second time"));
  EXPECT_THAT(error_of("params: {n: {type: int, default: x}}\nsteps: {train: {project: train}}\n"),
              HasSubstr("must be a whole number"));
  EXPECT_THAT(error_of("params: {n: {type: intt}}\nsteps: {train: {project: train}}\n"),
              HasSubstr("did you mean 'int'?"));
  EXPECT_THAT(error_of("name: p\n"), HasSubstr("needs steps"));
}

TEST_F(PipelineFile, TellsWhatWasMeantByReferencesWhereTheyMeanNothing) {
  EXPECT_THAT(error_of("params: {f: 1, e: '${params.f}'}\nsteps: {a: {command: 'true'}}\n"),
              HasSubstr("pipeline.yaml:1:16: the default of parameter 'e' cannot refer to ${params.f}"));
  EXPECT_TRUE(load("params: {e: '${HOME}'}\nsteps: {a: {command: 'true'}}\n"));
  EXPECT_THAT(error_of("params: {rate: 1}\nsteps: {a: {command: 'echo ${params.rate}'}}\n"),
              HasSubstr("pass it with `params: {rate: \"${params.rate}\"}` and write {rate} here"));
  EXPECT_THAT(error_of("steps: {a: {command: 'for i in 1 2; do echo ${i}; done'}}\n"),
              HasSubstr("braces that the shell is to see are written {{ and }}"));
  EXPECT_THAT(error_of("steps: {a: {command: 'true', validate: [{tabel: x}]}}\n"),
              HasSubstr("did you mean 'table'?"));
}

TEST_F(PipelineFile, OutputsOfAStepAreNamesAndPathsBelowItsArtifacts) {
  auto pipeline = load("steps: {a: {command: 'true', outputs: {t: ./x//t.csv, m: model/}}}\n");
  ASSERT_TRUE(pipeline) << pipeline.error().message;
  const auto& outputs = pipeline->steps[0].settings->outputs;
  ASSERT_EQ(outputs.size(), 2u);
  EXPECT_EQ(outputs[0].path, "x/t.csv");
  EXPECT_EQ(outputs[1].path, "model");
  auto error_of_path = [&](const std::string& path) {
    return error_of(fmt::format("steps: {{a: {{command: 'true', outputs: {{t: '{}'}}}}}}\n", path));
  };
  EXPECT_THAT(error_of_path("../t"), HasSubstr("pipeline.yaml:1:43: output '../t' must be a path below"));
  EXPECT_THAT(error_of_path("x/../../t"), HasSubstr("must be a path below"));
  EXPECT_THAT(error_of_path("/t"), HasSubstr("must be a path below"));
  EXPECT_THAT(error_of_path("${self.artifacts}/t"), HasSubstr("must be a path below"));
  EXPECT_THAT(error_of_path("."), HasSubstr("all that the step leaves is ${steps.NAME.artifacts}"));
  EXPECT_THAT(error_of_path(""), HasSubstr("names no file or folder"));
  EXPECT_THAT(error_of("steps: {a: {command: 'true', outputs: {'a b': t}}}\n"),
              HasSubstr("cannot be an output's name"));
  EXPECT_THAT(error_of("steps: {a: {command: 'true', outputs: [t]}}\n"), HasSubstr("must be a map"));
  EXPECT_THAT(error_of("steps: {a: {command: 'true', outputs: {t: [x]}}}\n"),
              HasSubstr("pipeline.yaml:1:43"));
}

TEST_F(PipelineFile, SaysHowLongAResultIsOfUse) {
  auto pipeline = load(
      "steps:\n  a: {command: 'true', cache: {ttl: 1d12h}}\n  b: {command: 'true', frozen: true}\n"
      "  c: {command: 'echo {x}', params: {x: 1}, cache: true, frozen: false, probe: ' date {x} '}\n");
  ASSERT_TRUE(pipeline) << pipeline.error().message;
  EXPECT_EQ(pipeline->steps[0].settings->ttl, std::chrono::hours(36));
  EXPECT_EQ(pipeline->steps[1].settings->cache, Caching::kFrozen);
  EXPECT_EQ(pipeline->steps[2].settings->cache, Caching::kOn);
  EXPECT_EQ(pipeline->steps[2].settings->probe->command, "date {x}");
  auto error_of_step = [&](const std::string& settings) {
    return error_of("steps: {a: {command: 'true', " + settings + "}}\n");
  };
  EXPECT_THAT(
      error_of_step("cache: {ttl: 7 days}"),
      HasSubstr("pipeline.yaml:1:43: cache.ttl must be a time such as 90s, 15m, 2h or 1d, not '7 days'"));
  EXPECT_THAT(error_of_step("cache: {ttl: 0s}"), HasSubstr("cache.ttl must be between"));
  EXPECT_THAT(error_of_step("cache: {ttl: 9999999d}"), HasSubstr("cache.ttl must be between"));
  EXPECT_THAT(error_of_step("cache: {tll: 7d}"), HasSubstr("did you mean 'ttl'?"));
  EXPECT_THAT(error_of_step("cache: false, frozen: true"), HasSubstr("cache says otherwise"));
  EXPECT_THAT(error_of_step("frozen: true, probe: date"), HasSubstr("does not depend on it"));
  EXPECT_THAT(error_of_step("probe: ' '"), HasSubstr("the probe is empty"));
  EXPECT_THAT(error_of_step("probe: 'echo {x}'"), HasSubstr("uses '{x}', which is not among the parameters"));
  EXPECT_THAT(error_of("steps: {a: {command: x}}\nfinally: {b: {command: x, frozen: true}}\n"),
              HasSubstr("step 'b' cannot be frozen: those of finally run at every end"));
}

TEST_F(PipelineFile, WhatIsInheritedIsAWordOrAListOfVariables) {
  auto pipeline = load(
      "inherit: [A, B_*]\nsteps:\n  a: {command: x}\n  b: {command: x, inherit: true}\n"
      "  c: {command: x, inherit: false}\nfinally: {d: {command: x}}\n");
  ASSERT_TRUE(pipeline) << pipeline.error().message;
  using Names = std::vector<std::string>;
  EXPECT_EQ(pipeline->steps[0].settings->inherit, (Names{"A", "B_*"}));
  EXPECT_EQ(pipeline->steps[1].settings->inherit, std::nullopt);
  EXPECT_EQ(pipeline->steps[2].settings->inherit, Names{});
  EXPECT_EQ(pipeline->steps[3].settings->inherit, (Names{"A", "B_*"}));
  EXPECT_THAT(error_of("steps: {a: {command: x, inherit: some}}\n"),
              HasSubstr("pipeline.yaml:1:34: inherit"));
  EXPECT_THAT(error_of("inherit: {A: 1}\nsteps: {a: {command: x}}\n"),
              HasSubstr("pipeline.yaml:1:10: inherit must be"));
  EXPECT_THAT(error_of("inherit: [A=1]\nsteps: {a: {command: x}}\n"), HasSubstr("'A=1' in inherit"));
  EXPECT_THAT(error_of("inherit: ['*A']\nsteps: {a: {command: x}}\n"), HasSubstr("'*A' in inherit"));
}

TEST_F(PipelineFile, TellsAllThatIsWrongWithResources) {
  fs::path file = dir_.path() / "pipeline.yaml";
  ASSERT_TRUE(write_file_atomic(
      file, "steps:\n  a: {command: 'true', resources: {memory: 4Q, gpus: -1, cpu: 1, locks: ['']}}\n"));
  Problems problems;
  ASSERT_TRUE(load_pipeline(file, problems));
  EXPECT_EQ(problems.list().size(), 4u);
}

TEST_F(PipelineFile, TellsAllProblemsAtOnceInTheOrderOfTheFile) {
  fs::path file = dir_.path() / "pipeline.yaml";
  ASSERT_TRUE(write_file_atomic(file,
                                "params: {n: {type: intt}, m: {type: int, default: x}}\n"
                                "steps:\n"
                                "  train: {project: train, timeout: soon, cachee: false, params: {dat: 1}}\n"
                                "  other: {project: trian, needs: {}}\n"
                                "max_parallel: 0\n"));
  Problems problems;
  auto pipeline = load_pipeline(file, problems);
  ASSERT_TRUE(pipeline);
  EXPECT_EQ(pipeline->steps.size(), 2u);
  std::vector<std::string> found;
  for (const auto& error : problems.list()) {
    Placed problem = split_place(error.message);
    ASSERT_TRUE(problem.place) << error.message;
    EXPECT_EQ(*problem.place->file, file.string());
    found.push_back(fmt::format("{}:{}", problem.place->line, problem.place->column));
  }
  EXPECT_THAT(found, testing::ElementsAre("1:20", "1:27", "3:36", "3:42", "3:66", "4:20", "4:34", "5:15"));
  EXPECT_THAT(problems.first().error().message, HasSubstr("7 more"));
}

TEST_F(PipelineFile, AProjectsProblemsAreToldOnceHoweverManyStepsUseIt) {
  ASSERT_TRUE(write_file_atomic(
      dir_.path() / "train/MLproject",
      "entry_points:\n  main: {comand: x}\n  other: {parameters: {a: intt}, command: y}\n"));
  fs::path file = dir_.path() / "pipeline.yaml";
  ASSERT_TRUE(write_file_atomic(
      file, "steps: {a: {project: train, entry_point: other}, b: {project: train, entry_point: other}}\n"));
  Problems problems;
  ASSERT_TRUE(load_pipeline(file, problems));
  EXPECT_EQ(problems.list().size(), 2u);
}

TEST(Problems, ThePlaceIsFoundBehindAnyFileName) {
  Placed placed = split_place("a:b.yaml:3:14: no 'x': y");
  ASSERT_TRUE(placed.place);
  EXPECT_EQ(placed.place->to_string(), "a:b.yaml:3:14");
  EXPECT_EQ(placed.text, "no 'x': y");
  EXPECT_FALSE(split_place("there is no folder x:1").place);
  EXPECT_FALSE(split_place("x:1:2").place);
}

// --- The JSON Schema ---

std::vector<std::string> properties_of(const Json& schema) {
  std::vector<std::string> names;
  for (const auto& [name, rest] : schema.at("properties").items()) names.push_back(name);
  return names;
}

TEST(Schema, KnowsTheKeysThatTheReaderKnows) {
  Json schema = parse_json(pipeline_schema()).value();
  EXPECT_THAT(properties_of(schema), testing::UnorderedElementsAreArray(pipeline_keys()));
  EXPECT_THAT(properties_of(schema["$defs"]["step"]), testing::UnorderedElementsAreArray(step_keys()));
}

TEST(Reference, ParsesPartsAndEscapes) {
  Template value = parse_template("a-${params.x}-$${y}", {}).value();
  EXPECT_EQ(value.parts.size(), 3u);
  EXPECT_EQ(std::get<std::string>(value.parts[2]), "-${y}");
  EXPECT_FALSE(parse_template("${", {"f", 1, 1}));
  EXPECT_FALSE(parse_template("${a b}", {"f", 1, 1}));
}

}  // namespace
}  // namespace tidemill::config
