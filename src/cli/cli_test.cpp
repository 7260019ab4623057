// The program as its users meet it: command lines in, text and exit statuses out.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>

#include "base/text.h"
#include "cli/cli_fixture.h"
#include "sys/process.h"
#include "tracking/store.h"

namespace tidemill {
namespace {

using namespace std::chrono_literals;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

TEST_F(Cli, TellsItsVersionAndHelpsWithExamples) {
  Captured version = tidemill({"--version"});
  EXPECT_EQ(version.exit.status, 0);
  EXPECT_EQ(version.output, "tidemill " TIDEMILL_VERSION "\n");
  for (std::vector<std::string> words :
       {std::vector<std::string>{"--help"}, {"run", "--help"}, {"runs", "list", "--help"}}) {
    Captured help = tidemill(words);
    EXPECT_EQ(help.exit.status, 0);
    EXPECT_THAT(help.output, HasSubstr("Example"));
  }
}

TEST_F(Cli, HelpsOnEveryCommandThatItLists) {
  std::string list = tidemill({"--help"}).output;
  list.erase(0, list.find("Subcommands:"));
  list.erase(list.find("\n\n"));
  std::vector<std::string> names;
  for (const std::string& line : split(list, '\n'))
    if (line.size() > 2 && line.starts_with("  ") && line[2] != ' ')
      names.push_back(line.substr(2, line.find_first_of(" ,", 2) - 2));
  EXPECT_THAT(names, testing::IsSupersetOf({"run", "init", "models", "server", "image"}));
  names.insert(names.end(), {"ui", "registry"});
  for (const std::string& name : names) {
    Captured help = tidemill({name, "--help"});
    EXPECT_EQ(help.exit.status, 0) << name << ": " << help.errors;
    EXPECT_THAT(help.output, AllOf(HasSubstr("sage: tidemill"), testing::ContainsRegex("xamples?:"))) << name;
  }
}

TEST_F(Cli, NamesTheNearestCommandAndOption) {
  Captured command = tidemill({"experimets", "list"});
  EXPECT_EQ(command.exit.status, 2);
  EXPECT_THAT(command.errors, HasSubstr("there is no command 'experimets' (did you mean 'experiments'?)"));
  EXPECT_THAT(tidemill({"runs", "lsit"}).errors, HasSubstr("did you mean 'list'?"));
  Captured option = tidemill({"runs", "list", "--experimnt", "x"});
  EXPECT_EQ(option.exit.status, 2);
  EXPECT_THAT(option.errors, HasSubstr("there is no option '--experimnt' (did you mean '--experiment'?)"));
  EXPECT_THAT(tidemill({}).errors, HasSubstr("a command is missing: one of run, init, check, graph, "));
  EXPECT_EQ(tidemill({"runs", "list", "--limit", "many"}).exit.status, 2);
}

TEST_F(Cli, RunsAPipelineAndRecordsIt) {
  write_project("make", "echo 7 > {out}/number; echo $MLFLOW_RUN_ID > {out}/run", "{out: {default: .}}");
  write_project("use", "test $(cat {in}/number) = 7; echo {text}", "{in: path, text: {default: ''}}");
  write("pipeline.yaml",
        "name: demo\n"
        "params: {text: \"it's\"}\n"
        "steps:\n"
        "  make: {project: make, params: {out: '${self.artifacts}'}}\n"
        "  use: {project: use, params: {in: '${steps.make.artifacts}', text: '${params.text}'}}\n");
  Captured run = in_store({"run", dir_.path().string(), "--experiment-name", "tests"});
  EXPECT_EQ(run.exit.status, 0) << run.errors;
  EXPECT_THAT(run.output, HasSubstr("finished"));
  EXPECT_THAT(run.errors, HasSubstr("tidemill runs show"));
  EXPECT_THAT(run.errors, Not(HasSubstr("\x1b")));

  Json runs = listed("runs", {"runs", "list", "-e", "tests"});
  ASSERT_EQ(runs.size(), 3u);
  std::string parent, made;
  for (const auto& item : runs) {
    EXPECT_EQ(json_string(item, "status"), "FINISHED");
    if (json_string(item, "run_name") == "demo") parent = json_string(item, "run_id");
    if (json_string(item, "run_name") == "make") made = json_string(item, "run_id");
  }
  for (const auto& item : runs) {
    if (json_string(item, "run_name") == "demo") continue;
    EXPECT_EQ(json_string(item["tags"], "mlflow.parentRunId"), parent);
    EXPECT_EQ(json_string(item["tags"], "mlflow.source.type"), "PROJECT");
    if (json_string(item, "run_name") == "use") {
      EXPECT_EQ(json_string(item["params"], "text"), "it's");
    }
  }
  Captured files = in_store({"artifacts", "list", made});
  EXPECT_THAT(files.output, HasSubstr("number"));
  Captured copied = in_store({"artifacts", "download", made, "run", "-o", path("copy").string()});
  EXPECT_EQ(copied.exit.status, 0) << copied.errors;
  EXPECT_EQ(read_file(path("copy/run")).value(), made + "\n");
  EXPECT_THAT(in_store({"runs", "show", made}).output, HasSubstr("mlflow.parentRunId"));
  EXPECT_THAT(in_store({"experiments", "list"}).output, HasSubstr("tests"));
  EXPECT_EQ(in_store({"artifacts", "download", made, "../../x"}).exit.status, 2);
}

TEST_F(Cli, AFailingStepIsShownWithItsCommandAndLastLines) {
  write_project("bad", "echo first; echo the reason; exit 3");
  write_project("later", "true");
  write("pipeline.yaml", "name: p\nsteps:\n  bad: {project: bad}\n  later: {project: later, needs: [bad]}\n");
  Captured run = in_store({"run", path("pipeline.yaml").string()});
  EXPECT_EQ(run.exit.status, 1);
  EXPECT_THAT(run.errors, HasSubstr("exit status 3"));
  EXPECT_THAT(run.errors, HasSubstr("exit 3"));
  EXPECT_THAT(run.errors, HasSubstr("| the reason"));
  EXPECT_THAT(run.errors, HasSubstr(".log"));
  EXPECT_THAT(run.output, HasSubstr("skipped"));
  EXPECT_EQ(statuses()["p"], "FAILED");
  EXPECT_EQ(statuses()["bad"], "FAILED");
}

TEST_F(Cli, ACommandMayBeLongerThanAnArgument) {
  write("pipeline.yaml", "name: p\nsteps:\n  a: {command: '[ -z ] || echo " + std::string(200'000, 'x') +
                             " | wc -c >&2; exit 7'}\n  b: {command: 'true', environment: {BIG: " +
                             std::string(200'000, 'x') + "}, retry: 1}\n");
  Captured run = in_store({"run", dir_.path().string(), "--keep-going"});
  EXPECT_THAT(run.errors, HasSubstr("exit status 7"));
  EXPECT_THAT(run.errors, HasSubstr("longer than this system allows"));
  EXPECT_THAT(run.errors, Not(HasSubstr("crashed")));
  EXPECT_TRUE(fs::is_empty(path("mlartifacts/.tidemill/attempts")));
}

TEST_F(Cli, AnAttemptDoesNotWaitForTheOneBeforeIt) {
  write("pipeline.yaml", "name: p\nsteps:\n  a: {command: 'false', retry: {times: 2, delay: 0}}\n");
  Captured run = in_store({"run", dir_.path().string()});
  EXPECT_THAT(run.output + run.errors, Not(HasSubstr("waits")));
  EXPECT_THAT(run.output + run.errors, HasSubstr("exit status 1"));
}

TEST_F(Cli, TheStatusOfARunThatTookTooLongSaysSo) {
  write("pipeline.yaml", "name: p\ntimeout: 1s\nsteps:\n  a: {command: sleep 100}\n");
  EXPECT_EQ(in_store({"run", dir_.path().string()}).exit.status, 1);
  Captured list = in_store({"runs", "list"});
  EXPECT_THAT(list.output, HasSubstr("FAILED (timed out)"));
  std::string id =
      json_string(listed("runs", {"runs", "list", "-f", "tags.`tidemill.pipeline` = 'p'"})[0], "run_id");
  EXPECT_THAT(in_store({"status", id}).output, HasSubstr("FAILED (timed out)"));
  EXPECT_THAT(in_store({"runs", "show", id}).output, HasSubstr("FAILED (timed out)"));
}

TEST_F(Cli, PrintsEventsAsJsonLines) {
  write_project(".", "echo hello");
  Captured run = in_store({"run", dir_.path().string(), "--json"});
  EXPECT_EQ(run.exit.status, 0) << run.errors;
  std::vector<std::string> events;
  for (const auto& line : split(trim(run.output), '\n')) {
    auto json = parse_json(line);
    ASSERT_TRUE(json) << line;
    if (json_string(*json, "event") != "step_progress") events.push_back(json_string(*json, "event"));
  }
  EXPECT_THAT(events, testing::ElementsAre("run_started", "step_started", "step_finished", "run_finished"));
}

TEST_F(Cli, BadInputIsRefusedBeforeAnythingIsRecorded) {
  write_project("a", "true");
  write("cycle.yaml", "steps:\n  a: {project: a, needs: [b]}\n  b: {project: a, needs: [a]}\n");
  write("unknown.yaml", "steps:\n  a: {project: a, needs: [aa]}\n");
  auto refused = [&](std::vector<std::string> words) {
    words.insert(words.begin(), "run");
    Captured run = in_store(words);
    EXPECT_EQ(run.exit.status, 2);
    return run.errors;
  };
  EXPECT_THAT(refused({path("cycle.yaml").string()}), HasSubstr("cycle.yaml:2:3: "));
  EXPECT_THAT(refused({path("cycle.yaml").string()}), HasSubstr("a -> b -> a"));
  EXPECT_THAT(refused({path("unknown.yaml").string()}), HasSubstr("did you mean 'a'?"));
  EXPECT_THAT(refused({path("a").string(), "-e", "mian"}), HasSubstr("did you mean 'main'?"));
  EXPECT_THAT(refused({path("a").string(), "-P", "bad"}), HasSubstr("Use -P name=value"));
  EXPECT_THAT(refused({path("a").string(), "-P", "x=1", "-P", "x=2"}), HasSubstr("Repeated parameter: 'x'"));
  EXPECT_THAT(refused({path("absent").string()}), HasSubstr("there is no"));
  write("env/MLproject", "docker_env: {image: x}\nentry_points: {main: {command: 'true'}}\n");
  EXPECT_THAT(refused({path("env").string(), "--env-manager", "uv"}), HasSubstr("docker_env is not for uv"));
  EXPECT_FALSE(fs::exists(store()));
}

TEST_F(Cli, ChecksAPipelineWithoutRunningItAndShowsAllThatIsWrong) {
  write_project("a", "touch " + path("ran").string() + "; echo {x}", "{x: int}");
  write("pipeline.yaml",
        "name: p\nparams: {n: {type: int}}\nsteps:\n  a: {project: a, params: {x: '${params.n}'}}\n");
  Captured right = tidemill({"check", dir_.path().string()});
  EXPECT_EQ(right.exit.status, 0) << right.errors;
  EXPECT_EQ(right.output, "p: 1 step, 1 parameter\n");
  write(
      "pipeline.yaml",
      "name: p\nsteps:\n  a: {project: a, params: {x: many}}\n  b: {project: a, needs: [aa], params: {x: 1, "
      "y: 2}}\n");
  Captured wrong = tidemill({"check", path("pipeline.yaml").string()});
  EXPECT_EQ(wrong.exit.status, 2);
  EXPECT_THAT(wrong.errors,
              HasSubstr("pipeline.yaml:4:27: step 'b' needs 'aa', which is not a step (did you mean 'a'?)"));
  EXPECT_THAT(wrong.errors, HasSubstr("pipeline.yaml:4:47: step 'b' passes 'y'"));
  EXPECT_THAT(wrong.errors, HasSubstr("2 problems"));
  Json json = parse_json(tidemill({"check", dir_.path().string(), "--json"}).output).value();
  EXPECT_EQ(json["valid"], false);
  EXPECT_EQ(json["problems"][0]["line"], 4);
  EXPECT_EQ(json["problems"][0]["column"], 27);
  EXPECT_THAT(tidemill({"check", dir_.path().string(), "-P", "z=1"}).errors, HasSubstr("no parameter 'z'"));
  EXPECT_EQ(tidemill({"check", path("a").string()}).output, "a: 1 entry point\n");
  EXPECT_EQ(tidemill({"check", path("absent").string()}).exit.status, 2);
  EXPECT_FALSE(fs::exists(path("ran")));
}

TEST_F(Cli, AValueThatDoesNotFitItsProjectIsFoundByTheCheck) {
  write_project("a", "echo {x} {z}", "{x: int}");
  write_project("b", "echo {x}", "{x: int}");
  write("pipeline.yaml", "steps:\n  a: {project: a, params: {x: 1}}\n  b: {project: b, params: {x: many}}\n");
  Captured wrong = tidemill({"check", dir_.path().string()});
  EXPECT_EQ(wrong.exit.status, 2);
  EXPECT_THAT(wrong.errors, HasSubstr("'{z}'"));
  EXPECT_THAT(wrong.errors, HasSubstr("'x' must be a whole number, not 'many'"));
}

TEST_F(Cli, DrawsAPipeline) {
  write_project("a", "true");
  write("pipeline.yaml", "name: p\nsteps:\n  one: {project: a}\n  two: {project: a, needs: [one]}\n");
  std::string folder = dir_.path().string();
  EXPECT_EQ(tidemill({"graph", folder}).output, "●  one  a\n│\n●  two  a\n");
  EXPECT_THAT(tidemill({"graph", folder, "--format", "dot"}).output, StartsWith("digraph \"p\""));
  EXPECT_THAT(tidemill({"graph", folder, "--format", "mermaid"}).output, StartsWith("flowchart"));
  EXPECT_THAT(tidemill({"graph", folder, "--format", "svg"}).output, StartsWith("<svg"));
  Json json = parse_json(tidemill({"graph", folder, "--json"}).output).value();
  EXPECT_EQ(json["steps"][1]["needs"][0], "one");
  EXPECT_EQ(tidemill({"graph", folder, "--format", "png"}).exit.status, 2);
}

TEST_F(Cli, ADryRunRecordsNothing) {
  write_project("a", "touch " + path("ran").string());
  write("pipeline.yaml", "steps:\n  a: {project: a}\n");
  Captured run = in_store({"run", dir_.path().string(), "--dry-run"});
  EXPECT_EQ(run.exit.status, 0) << run.errors;
  EXPECT_THAT(run.output, HasSubstr("for the first time"));
  EXPECT_FALSE(fs::exists(path("ran")));
  EXPECT_FALSE(fs::exists(store()));
}

TEST_F(Cli, ReadingAndKeepingResultsAreSwitchedOffOneByOne) {
  write("pipeline.yaml", "name: p\nsteps:\n  a: {command: 'echo ran'}\n");
  const std::string folder = dir_.path().string();
  EXPECT_THAT(in_store({"run", folder, "--no-cache=write"}).errors, HasSubstr("for the first time"));
  EXPECT_THAT(in_store({"run", "--no-cache=read", folder}).errors, HasSubstr("earlier results are not used"));
  EXPECT_THAT(in_store({"run", folder}).errors, HasSubstr("reused"));
  EXPECT_THAT(in_store({"run", "--no-cache", folder}).errors, HasSubstr("earlier results are not used"));
  EXPECT_THAT(in_store({"run", "--no-cache=maybe", folder}).errors, HasSubstr("--no-cache"));
  write("pipeline.yaml", "name: p\nsteps:\n  a: {command: 'echo ran', frozen: true}\n");
  EXPECT_THAT(in_store({"run", folder, "--force-step", "a"}).errors, HasSubstr("step 'a' is frozen"));
}

TEST_F(Cli, AStoreOfAnyNameInTheProjectsFolderIsNotItsCode) {
  write_project("a", "true");
  write("pipeline.yaml", "name: p\nsteps:\n  a: {project: a, params: {}}\n");
  const std::string folder = dir_.path().string(), store = path("a/other.db").string();
  ASSERT_EQ(tidemill({"run", folder, "--store", store}).exit.status, 0);
  EXPECT_THAT(tidemill({"run", folder, "--store", store}).errors, HasSubstr("reused"));
  write("a/other.db.txt", "this is code");
  EXPECT_THAT(tidemill({"run", folder, "--store", store}).errors, HasSubstr("code other.db.txt is new"));
}

TEST_F(Cli, AStepForEachOfManyValuesGoesByOneName) {
  write_project("t", "echo {rate} >> " + path("ran").string(), "{rate: float}");
  write("pipeline.yaml",
        "name: p\nparams: {rates: '1,2'}\nsteps:\n"
        "  t: {project: t, foreach: {rate: '${params.rates}'}, params: {rate: '${each.rate}'}}\n"
        "  last: {command: 'cat notes; echo {n}', params: {n: '${steps.t.each.rate}'}, when: "
        "'${params.rates} != 1'}\n");
  write("notes", "hello\n");
  std::string folder = dir_.path().string();
  EXPECT_EQ(tidemill({"graph", folder}).output, "●  t     2 × rate\n│\n●  last  when ${params.rates} != 1\n");
  ASSERT_EQ(in_store({"run", folder}).exit.status, 0);
  Captured more = in_store({"run", folder, "-P", "rates=1,2,3", "--force-step", "t", "--dry-run"});
  EXPECT_THAT(more.output, HasSubstr("t[rate=3]"));
  EXPECT_THAT(more.output, HasSubstr("asked for with --force-step"));
  EXPECT_EQ(in_store({"why", "t"}).output,
            "t[rate=1]  ran: for the first time\nt[rate=2]  ran: for the first time\n");
  EXPECT_THAT(in_store({"why", "t[rate=3]", folder, "-P", "rates=3"}).output, StartsWith("would run: "));
  EXPECT_THAT(in_store({"run", folder, "-P", "rates=1", "--dry-run"}).output,
              HasSubstr("its condition does not hold: 1 != 1"));
  write("notes", "changed\n");
  EXPECT_THAT(in_store({"why", "last", folder}).output, HasSubstr("code notes: "));
  write("other", "a file that the command does not name\n");
  EXPECT_THAT(in_store({"run", folder}).errors, HasSubstr("last       started: code notes"));
  write("other", "changed\n");
  EXPECT_THAT(in_store({"run", folder}).errors, HasSubstr("last       reused"));
}

TEST_F(Cli, RunsAPartOfAPipeline) {
  write_project("a", "echo a >> " + path("ran").string());
  write(
      "pipeline.yaml",
      "name: p\nsteps:\n  one: {project: a}\n  two: {project: a, needs: [one], params: {}, environment: {N: "
      "'${steps.one.run_id}'}}\n"
      "  three: {project: a, needs: [two], environment: {N: 3}}\n  four: {project: a, environment: {N: "
      "4}}\n");
  std::string folder = dir_.path().string();
  Captured too_early = in_store({"run", folder, "--from", "two"});
  EXPECT_EQ(too_early.exit.status, 2);
  EXPECT_THAT(too_early.errors, HasSubstr("--from two: step 'one' comes before it"));
  EXPECT_FALSE(fs::exists(store()));

  Captured part = in_store({"run", folder, "--step", "two"});
  EXPECT_EQ(part.exit.status, 0) << part.errors;
  EXPECT_EQ(read_file(path("ran")).value(), "a\na\n");
  EXPECT_THAT(part.output, Not(HasSubstr("three")));

  Captured plan = in_store({"run", folder, "--from", "two", "--dry-run"});
  EXPECT_EQ(plan.exit.status, 0) << plan.errors;
  EXPECT_THAT(plan.output, HasSubstr("asked for with --from two"));
  Captured rest = in_store({"run", folder, "--from", "two"});
  EXPECT_EQ(rest.exit.status, 0) << rest.errors;
  EXPECT_EQ(read_file(path("ran")).value(), "a\na\na\na\n");
  EXPECT_THAT(rest.errors, HasSubstr("one    reused"));
  EXPECT_THAT(rest.errors, HasSubstr("two    started: asked for with --from two"));
  EXPECT_THAT(rest.errors, Not(HasSubstr("four")));
  EXPECT_THAT(in_store({"run", folder, "--step", "tow"}).errors, HasSubstr("did you mean 'two'?"));
  EXPECT_EQ(in_store({"run", path("a").string(), "--step", "one"}).exit.status, 2);
}

TEST_F(Cli, TellsWhyAStepRanOrWouldRun) {
  write_project("a", "true");
  write("pipeline.yaml", "name: p\nsteps:\n  a: {project: a}\n");
  std::string folder = dir_.path().string();
  EXPECT_EQ(in_store({"run", folder}).exit.status, 0);
  EXPECT_EQ(in_store({"why", "a"}).output, "ran: for the first time\n");
  EXPECT_THAT(in_store({"why", "a", folder}).output,
              HasSubstr("would reuse: nothing has changed since run "));
  EXPECT_THAT(in_store({"run", folder}).errors, HasSubstr("reused: nothing has changed since run "));
  write("a/script", "new");
  EXPECT_THAT(in_store({"why", "a", folder}).output, HasSubstr("would run: code script is new"));
  EXPECT_THAT(in_store({"run", folder, "--dry-run"}).output, HasSubstr("code script is new"));
  Captured unknown = in_store({"why", "b"});
  EXPECT_EQ(unknown.exit.status, 1);
  EXPECT_THAT(unknown.errors, HasSubstr("has no step 'b'"));
}

TEST_F(Cli, WhyListsAllThatHasChanged) {
  write_project("a", "echo {n} {m}", "{n: int, m: int}");
  write("pipeline.yaml",
        "name: p\nparams: {n: 1, m: 1}\nsteps:\n"
        "  a: {project: a, params: {n: '${params.n}', m: '${params.m}'}}\n");
  const std::string folder = dir_.path().string();
  ASSERT_EQ(in_store({"run", folder}).exit.status, 0);
  const std::vector<std::string> others = {"-P", "n=2", "-P", "m=3"};
  const std::string told = "parameter m: 1 -> 3, and 1 more change\n  parameter n: 1 -> 2\n";
  std::vector<std::string> why = {"why", "a", folder}, run = {"run", folder};
  why.insert(why.end(), others.begin(), others.end());
  run.insert(run.end(), others.begin(), others.end());
  EXPECT_EQ(in_store(why).output, "would run: " + told);
  EXPECT_EQ(json_of(why)["changes"], Json::array({"parameter m: 1 -> 3", "parameter n: 1 -> 2"}));
  ASSERT_EQ(in_store(run).exit.status, 0);
  EXPECT_EQ(in_store({"why", "a"}).output, "ran: " + told);
  EXPECT_EQ(json_of({"why", "a"})["changes"].size(), 2u);
  for (int i = 0; i < 30; ++i) write(fmt::format("a/f{:02}", i), "x");
  EXPECT_THAT(in_store(why).output,
              HasSubstr("  code f20 is new (2d711642)\n  and 9 more (--json lists them)\n"));
}

TEST_F(Cli, WhyTellsWhatBecameOfAStepThatFailed) {
  write("pipeline.yaml", "name: p\nsteps:\n  a: {command: exit 3}\n");
  EXPECT_EQ(in_store({"run", dir_.path().string()}).exit.status, 1);
  EXPECT_EQ(in_store({"why", "a"}).output, "ran: for the first time; it failed: exit status 3\n");
  EXPECT_EQ(json_string(json_of({"why", "a"}), "what"), "failed");
  EXPECT_EQ(json_string(json_of({"why", "a"}), "failure"), "it failed: exit status 3");
}

TEST_F(Cli, WhatIsNoFileAmongTheArtifactsDoesNotKeepTheRestFromBeingCopied) {
  write("pipeline.yaml",
        "steps: {a: {command: 'mkdir {o}/d && mkfifo {o}/d/pipe && echo x > {o}/d/z', params: {o: "
        "'${self.artifacts}'}}}\n");
  ASSERT_EQ(in_store({"run", dir_.path().string()}).exit.status, 0);
  std::string id;
  for (const auto& run : listed("runs", {"runs", "list"}))
    if (json_string(run, "run_name") == "a") id = json_string(run, "run_id");
  Captured copied = in_store({"artifacts", "download", id, "d", "-o", path("out").string()});
  EXPECT_EQ(copied.exit.status, 0) << copied.errors;
  EXPECT_THAT(copied.errors, HasSubstr("'pipe' is neither a file nor a folder: left out"));
  EXPECT_EQ(read_file(path("out/d/z")).value_or(""), "x\n");
  EXPECT_FALSE(fs::exists(path("out/d/pipe")));
}

TEST_F(Cli, CheckTellsOfInputsThatAreNotThere) {
  write("pipeline.yaml",
        "inputs:\n  raw: data/raw\n  there: pipeline.yaml\n  web: 'http://127.0.0.1:1/x'\n"
        "steps: {a: {command: 'cat {raw}', params: {raw: '${inputs.raw}'}}}\n");
  const std::string told = fmt::format("{}:2:3: input 'raw': there is no {}", path("pipeline.yaml").string(),
                                       path("data/raw").string());
  Captured checked = tidemill({"check", dir_.path().string()});
  EXPECT_EQ(checked.exit.status, 2);
  EXPECT_THAT(checked.errors, StartsWith(told + "\n"));
  Captured run = in_store({"run", dir_.path().string()});
  EXPECT_EQ(run.exit.status, 2);
  EXPECT_THAT(run.errors, HasSubstr(told));
  write("data/raw", "x");
  EXPECT_EQ(tidemill({"check", dir_.path().string()}).exit.status, 0);
}

TEST_F(Cli, ARunMayBeNamedByTheBeginningOfItsId) {
  write("pipeline.yaml", "name: p\nsteps:\n  a: {command: echo said}\n");
  ASSERT_EQ(in_store({"run", dir_.path().string()}).exit.status, 0);
  std::string id;
  for (const auto& run : listed("runs", {"runs", "list"}))
    if (json_string(run, "run_name") == "p") id = json_string(run, "run_id");
  const std::string beginning = id.substr(0, 4);
  EXPECT_EQ(json_string(json_of({"runs", "show", beginning}), "run_id"), id);
  EXPECT_EQ(json_string(json_of({"status", beginning}), "run_id"), id);
  EXPECT_EQ(in_store({"logs", beginning, "a"}).output, "said\n");
  EXPECT_EQ(in_store({"why", "a", "--run", beginning}).exit.status, 0);
  EXPECT_EQ(in_store({"artifacts", "list", beginning}).exit.status, 0);
  EXPECT_THAT(in_store({"resume", beginning}).errors, HasSubstr("run " + id + " has finished"));
  EXPECT_EQ(json_string(json_of({"reproduce", "-n", beginning}), "run_id"), id);
  EXPECT_EQ(in_store({"runs", "diff", beginning, id}).exit.status, 0);
  EXPECT_THAT(in_store({"resume", std::string(8, id[0] == 'f' ? '0' : 'f')}).errors,
              HasSubstr("there is no run whose id begins with"));
  EXPECT_THAT(in_store({"runs", "show", id.substr(0, 3)}).errors, HasSubstr(id.substr(0, 3)));
}

TEST_F(Cli, ThePipelinesRunShowsItsStepsWithReasons) {
  write("pipeline.yaml",
        "name: p\nsteps:\n  a: {command: echo said}\n  b: {command: exit 3, needs: [a]}\n"
        "  c: {command: 'true', needs: [b]}\n");
  std::string folder = dir_.path().string();
  in_store({"run", folder});
  in_store({"run", folder});
  std::string id =
      json_string(listed("runs", {"runs", "list", "-f", "tags.`tidemill.pipeline` = 'p'"})[0], "run_id");
  Json run = json_of({"runs", "show", id});
  ASSERT_EQ(run["steps"].size(), 3u);
  EXPECT_EQ(run["steps"][0]["state"], "reused");
  EXPECT_THAT(json_string(run["steps"][2], "reason"), HasSubstr("needs b, which failed"));
  EXPECT_THAT(in_store({"runs", "show", id}).output, HasSubstr("nothing has changed since run"));
  EXPECT_EQ(in_store({"artifacts", "download", id, "tidemill/pipeline.svg", "-o", path("out").string()})
                .exit.status,
            0);
  // What a reused step has printed was printed elsewhere.
  Captured log = in_store({"logs", id, "a"});
  EXPECT_EQ(log.output, "said\n");
  EXPECT_THAT(log.errors, HasSubstr("step a was reused; this was printed in run "));
}

TEST_F(Cli, AFailedRunSaysHowItGoesOnAndDoes) {
  write_project("a", "echo a >> ../ran");
  write_project("b", "[ -e ../mended ]");
  write("pipeline.yaml",
        "name: p\nparams: {x: 1}\nsteps:\n  a: {project: a}\n  b: {project: b, needs: [a]}\n");
  Captured failed = in_store({"run", dir_.path().string()});
  EXPECT_EQ(failed.exit.status, 1);
  size_t at = failed.errors.find("tidemill resume ");
  ASSERT_NE(at, std::string::npos) << failed.errors;
  std::string id = failed.errors.substr(at + std::string("tidemill resume ").size(), 32);
  write("mended", "");
  Captured resumed = in_store({"resume", id, "-P", "x=2"});
  EXPECT_EQ(resumed.exit.status, 0) << resumed.errors;
  EXPECT_THAT(resumed.errors, HasSubstr("resumed"));
  EXPECT_EQ(read_file(path("ran")).value(), "a\n");
  Captured again = in_store({"resume", id});
  EXPECT_EQ(again.exit.status, 1);
  EXPECT_THAT(again.errors, HasSubstr("has finished"));
  EXPECT_THAT(in_store({"resume", "0123"}).errors, HasSubstr("0123"));
}

TEST_F(Cli, AStoreThatCannotBeOpenedIsNamed) {
  write_project(".", "true");
  for (const std::string& place :
       {path("absent/dir/x.db").string(), std::string("/proc/none.db"), dir_.path().string()}) {
    Captured list = tidemill({"runs", "list", "--store", place});
    EXPECT_EQ(list.exit.signal, 0);
    EXPECT_NE(list.exit.status, 0);
    EXPECT_THAT(list.errors, HasSubstr(place));
  }
  Captured run = tidemill({"run", dir_.path().string(), "--store", "/proc/none.db"});
  EXPECT_EQ(run.exit.status, 1);
  EXPECT_THAT(run.errors, HasSubstr("/proc/none.db"));
}

TEST_F(Cli, WhoNamesWhatIsMlflowsIsToldHowItIsTakenOver) {
  ASSERT_TRUE(make_dirs(path("folder")));
  for (const std::string& store :
       {path("folder").string(), path("mlruns").string(), "file://" + path("mlruns").string()}) {
    Captured told = tidemill({"server", "--store", store});
    EXPECT_NE(told.exit.status, 0);
    EXPECT_THAT(told.errors, HasSubstr("tidemill import")) << store;
  }
  EXPECT_FALSE(fs::exists(path("mlruns")));
}

TEST_F(Cli, AFullDiskBehindStdoutIsAnError) {
  write_project(".", "true");
  ASSERT_EQ(in_store({"run", dir_.path().string()}).exit.status, 0);
  auto list =
      run_command({"sh", "-c", fmt::format("{} runs list --store {} > /dev/full", kProgram, store())}, 60s)
          .value();
  EXPECT_EQ(list.exit.status, 1);
  EXPECT_THAT(list.errors, HasSubstr("stdout"));
  auto run = run_command({"sh", "-c",
                          fmt::format("{} run {} --store {} --run-name told --json > /dev/full", kProgram,
                                      dir_.path().string(), store())},
                         60s)
                 .value();
  EXPECT_EQ(run.exit.status, 1);
  EXPECT_THAT(run.errors, HasSubstr("stdout"));
  EXPECT_EQ(statuses()["told"], "FINISHED");
}

TEST_F(Cli, NamesTheModelServerWhenItIsMissing) {
  fs::path copy = path("bin/tidemill");
  ASSERT_TRUE(make_dirs(copy.parent_path()));
  fs::copy_file(kProgram, copy);
  auto serve = run_command({copy.string(), "serve", "--model_path", "x"}, 60s).value();
  EXPECT_EQ(serve.exit.status, 1);
  EXPECT_THAT(serve.errors, HasSubstr("tidemill-serve"));
}

TEST_F(Cli, GivesAllArgumentsToTheModelServer) {
  fs::path copy = path("bin/tidemill");
  write("libexec/tidemill-serve", "#!/bin/sh\necho \"$@\"\nexit 7\n");
  fs::permissions(path("libexec/tidemill-serve"), fs::perms::owner_all);
  ASSERT_TRUE(make_dirs(copy.parent_path()));
  fs::copy_file(kProgram, copy);
  auto serve = run_command({copy.string(), "serve", "--model_path", "a b", "--help"}, 60s).value();
  EXPECT_EQ(serve.exit.status, 7);
  EXPECT_EQ(serve.output, "--model_path a b --help\n");
}

TEST_F(Cli, RegistersWhatARunHasMade) {
  write_project("make", "mkdir {out}/net && echo weights > {out}/net/model.bin", "{out: {default: .}}");
  write("pipeline.yaml", "name: p\nsteps:\n  make: {project: make, params: {out: '${self.artifacts}'}}\n");
  ASSERT_EQ(in_store({"run", dir_.path().string()}).exit.status, 0);
  std::string run;
  for (const auto& item : listed("runs", {"runs", "list"}))
    if (json_string(item, "run_name") == "make") run = json_string(item, "run_id");

  Captured first = in_store({"models", "register", "it's", "--run", run, "--path", "net", "-t", "k=v=w"});
  EXPECT_EQ(first.exit.status, 0) << first.errors;
  EXPECT_EQ(first.output, "1\n");
  EXPECT_THAT(first.errors, HasSubstr("made the model it's"));
  EXPECT_EQ(in_store({"models", "register", "it's", "--run", run}).output, "2\n");
  Captured file = in_store({"models", "register", "it's", "--run", run, "--path", "net/model.bin"});
  EXPECT_EQ(file.exit.status, 2);
  EXPECT_THAT(file.errors, HasSubstr("is a file"));
  EXPECT_EQ(in_store({"models", "set-alias", "it's", "champion", "1"}).exit.status, 0);
  EXPECT_EQ(in_store({"models", "transition", "it's", "2", "staging"}).output, "Staging\n");

  Json versions = listed("versions", {"models", "versions", "it's"});
  ASSERT_EQ(versions.size(), 2u);
  EXPECT_EQ(versions[0]["version"], 2);
  EXPECT_EQ(versions[0]["stage"], "Staging");
  EXPECT_EQ(versions[1]["aliases"], Json::array({"champion"}));
  EXPECT_EQ(versions[1]["tags"], (Json{{"k", "v=w"}}));
  EXPECT_EQ(versions[1]["run_id"], run);
  for (const auto& [version, file_in_source] : {std::pair{1, "model.bin"}, {0, "net/model.bin"}})
    EXPECT_EQ(read_file(fs::path(json_string(versions[version], "source")) / file_in_source).value_or(""),
              "weights\n");
  EXPECT_THAT(in_store({"models", "list"}).output, HasSubstr("champion@1"));
  EXPECT_THAT(in_store({"models", "show", "it's"}).output, HasSubstr("Staging"));

  EXPECT_EQ(in_store({"models", "delete-alias", "it's", "champion"}).exit.status, 0);
  EXPECT_EQ(in_store({"models", "rename", "it's", "its"}).output, "its\n");
  EXPECT_EQ(in_store({"models", "delete", "its", "--version", "2"}).exit.status, 0);
  EXPECT_EQ(listed("versions", {"models", "versions", "its"}).size(), 1u);
  EXPECT_EQ(in_store({"models", "delete", "its"}).exit.status, 0);
  EXPECT_EQ(listed("models", {"models", "list"}), Json::array());
}

TEST_F(Cli, RefusesToRegisterWhatIsNotThere) {
  ASSERT_EQ(in_store({"models", "create", "m", "-d", "text"}).output, "m\n");
  Captured twice = in_store({"models", "create", "m"});
  EXPECT_EQ(twice.exit.status, 1);
  EXPECT_THAT(twice.errors, HasSubstr("Registered Model (name=m) already exists."));
  EXPECT_THAT(in_store({"models", "create", "n", "-t", "novalue"}).errors, HasSubstr("KEY=VALUE"));
  EXPECT_THAT(in_store({"models", "register", "m", "--run", "none", "--path", "x"}).errors,
              HasSubstr("Run with id=none not found"));
  EXPECT_THAT(in_store({"models", "show", "none"}).errors, HasSubstr("name=none not found"));
  EXPECT_EQ(in_store({"models", "transition", "m", "1", "nowhere"}).exit.status, 2);
  EXPECT_EQ(in_store({"models", "set-alias", "m", "champion"}).exit.status, 2);
}

TEST_F(Cli, ExperimentsThatCommandsMakeAreGoodForClientsOfAServer) {
  ASSERT_EQ(in_store({"experiments", "create", "by-command"}).exit.status, 0);
  std::string by_hand = in_store({"runs", "create", "--experiment-name", "by-command"}).output;
  EXPECT_THAT(in_store({"runs", "show", std::string(trim(by_hand))}).output,
              HasSubstr("mlflow-artifacts:/1/"));
  write_project("make", "echo weights > {out}/model.bin", "{out: {default: .}}");
  write("pipeline.yaml", "name: p\nsteps:\n  make: {project: make, params: {out: '${self.artifacts}'}}\n");
  ASSERT_EQ(in_store({"run", dir_.path().string()}).exit.status, 0);
  for (const Json& experiment : listed("experiments", {"experiments", "list"}))
    EXPECT_EQ(json_string(experiment, "artifact_location"),
              "mlflow-artifacts:/" + json_string(experiment, "experiment_id"));
  for (const auto& run : listed("runs", {"runs", "list"})) {
    if (json_string(run, "run_name") != "make") continue;
    EXPECT_TRUE(fs::exists(fs::path(json_string(run, "artifact_uri")) / "model.bin"));
    EXPECT_THAT(in_store({"artifacts", "list", json_string(run, "run_id")}).output, HasSubstr("model.bin"));
  }
}

TEST_F(Cli, RunsGoWhereTheServersDestinationIs) {
  write_project("make", "echo weights > {out}/model.bin", "{out: {default: .}}");
  write("pipeline.yaml", "name: p\nsteps:\n  make: {project: make, params: {out: '${self.artifacts}'}}\n");
  auto ran = run_command({"env", "MLFLOW_ARTIFACTS_DESTINATION=" + path("elsewhere").string(), kProgram,
                          "run", dir_.path().string(), "--store", store()},
                         std::chrono::seconds(120));
  ASSERT_EQ(ran->exit.status, 0) << ran->errors;
  std::string run;
  for (const auto& item : listed("runs", {"runs", "list"}))
    if (json_string(item, "run_name") == "make") run = json_string(item, "run_id");
  EXPECT_TRUE(fs::exists(path("elsewhere") / "1" / run / "artifacts/model.bin"));
}

TEST_F(Cli, CollectsWhatWasDeletedWithItsFiles) {
  std::string gone, kept;
  {
    auto opened =
        tracking::Store::open({.uri = store(), .default_artifact_root = path("mlartifacts").string()});
    ASSERT_TRUE(opened) << opened.error().message;
    for (std::string* id : {&gone, &kept}) {
      auto run = opened->create_run({}).value();
      *id = run.info.id;
      ASSERT_TRUE(make_dirs(run.info.artifact_uri));
      ASSERT_TRUE(write_file_atomic(fs::path(run.info.artifact_uri) / "model.bin", "x", Durable::no));
    }
    ASSERT_TRUE(opened->delete_run(gone));
  }
  EXPECT_THAT(in_store({"gc", "--older-than", "1d"}).errors, HasSubstr("nothing to remove"));
  Captured dry = in_store({"gc", "--dry-run"});
  EXPECT_EQ(dry.output, fmt::format("run {} would be removed\n", gone));
  EXPECT_TRUE(fs::exists(path("mlartifacts/0") / gone / "artifacts/model.bin"));
  Captured refused = in_store({"gc", "--run-ids", kept});
  EXPECT_EQ(refused.exit.status, 2);
  EXPECT_THAT(refused.errors, HasSubstr(kept + " is not deleted"));
  EXPECT_EQ(in_store({"gc", "--older-than", "1x"}).exit.status, 2);
  Json removed = parse_json(in_store({"gc", "--older-than", "0s", "--json"}).output).value_or(Json());
  EXPECT_EQ(removed["runs"], Json::array({gone}));
  EXPECT_FALSE(fs::exists(path("mlartifacts/0") / gone));
  EXPECT_TRUE(fs::exists(path("mlartifacts/0") / kept / "artifacts/model.bin"));
  EXPECT_EQ(in_store({"runs", "show", gone}).exit.status, 1);
  EXPECT_EQ(in_store({"runs", "show", kept}).exit.status, 0);
}

TEST_F(Cli, CollectsNothingWhereTheFilesCannotBe) {
  const std::string run =
      std::string(trim(in_store({"runs", "create", "--experiment-name", "served"}).output));
  in_store({"runs", "delete", run});
  Captured refused = in_store({"gc"});
  EXPECT_EQ(refused.exit.status, 2);
  EXPECT_THAT(refused.errors, HasSubstr(path("mlartifacts").string()));
  EXPECT_EQ(in_store({"runs", "show", run}).exit.status, 0);
  ASSERT_TRUE(make_dirs(path("elsewhere")));
  EXPECT_EQ(in_store({"gc", "--artifacts-destination", path("elsewhere").string()}).output,
            fmt::format("run {} removed\n", run));
}

}  // namespace
}  // namespace tidemill
