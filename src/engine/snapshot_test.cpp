// What is kept of the circumstances of a run.
#include "engine/snapshot.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/text.h"
#include "engine/engine_fixture.h"
#include "engine/git.h"
#include "sys/process.h"

namespace tidemill::engine {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

class SnapshotTest : public EngineTest {
 protected:
  void git(std::vector<std::string> words) {
    std::vector<std::string> argv = {"git",
                                     "-C",
                                     (dir_.path() / repository_).string(),
                                     "-c",
                                     "user.name=t",
                                     "-c",
                                     "user.email=t@example.org"};
    argv.insert(argv.end(), words.begin(), words.end());
    auto run = run_command(argv, std::chrono::seconds(60));
    ASSERT_TRUE(run) << run.error().message;
    ASSERT_TRUE(run->exit.ok()) << run->errors;
  }
  fs::path artifacts_of(const Outcome& outcome) {
    return fs::path(store_->run(outcome.run_id)->info.artifact_uri);
  }
  Json kept(const Outcome& outcome, std::string_view file) {
    return parse_json(read_file(artifacts_of(outcome) / file).value_or("")).value_or(Json());
  }

  fs::path repository_;  // of git
  const std::string yaml_ =
      "params: {word: hello}\nsteps: {say: {project: say, params: {word: '${params.word}'}}}\n";
};

TEST_F(SnapshotTest, ARunKeepsWhatItWasMadeOf) {
  add_step("say", "echo {word}", "{word: string}");
  write("say/requirements.txt", "numpy==1.26.4\n");
  auto outcome = run(yaml_);
  ASSERT_TRUE(outcome) << outcome.error().message;
  Json record = kept(*outcome, kRecordFile);
  EXPECT_THAT(json_string(record["machine"], "kernel"), testing::StartsWith("Linux "));
  EXPECT_GT(json_int(record["machine"], "memory_bytes"), 0);
  EXPECT_NE(json_string(record["machine"], "os"), "");
  EXPECT_EQ(json_string(record["projects"]["say"]["files"], "requirements.txt").size(), 64u);
  EXPECT_EQ(json_string(record["pipeline"]["params"], "word"), "hello");
  EXPECT_EQ(json_string(record["pipeline"]["steps"][0]["params"], "word"), "${params.word}");
  EXPECT_FALSE(record.contains("git"));
  Json steps = kept(*outcome, kStepsFile);
  EXPECT_EQ(json_string(steps["say"], "key").size(), 64u);
  EXPECT_THAT(dump_json(steps["say"]["ingredients"]),
              HasSubstr(R"({"kind":"parameter","name":"word","value":"hello"})"));
  auto again = run(yaml_);
  ASSERT_EQ(finished("say")->state, StepState::kReused);
  Json reused = kept(*again, kStepsFile);
  EXPECT_THAT(json_string(reused["say"], "reason"), testing::StartsWith("nothing has changed since run "));
  reused["say"]["reason"] = steps["say"]["reason"];
  EXPECT_EQ(reused, steps);
}

TEST_F(SnapshotTest, WhatWasNotCommittedIsKeptAsADiffWithoutSecrets) {
  add_step("say", "echo {word}", "{word: string}");
  write(".gitignore", "/tidemill.db*\n/artifacts/\n/state/\n");
  write("token", "a-secret-token\n");
  write("say/text", "one\n");
  git({"init", "-q", "-b", "main"});
  git({"add", "-A"});
  git({"commit", "-qm", "first"});
  write("say/text", "two\n");
  write("token", "another-secret-token\n");
  write("say/new file", "untracked\n");
  auto outcome = run(
      "secrets: {TOKEN: {file: token}}\nsteps: {say: {project: say, secrets: [TOKEN], params: {word: x}}}\n");
  ASSERT_TRUE(outcome) << outcome.error().message;
  Json git = kept(*outcome, kRecordFile)["git"];
  EXPECT_EQ(json_string(git, "commit").size(), 40u);
  EXPECT_EQ(json_string(git, "branch"), "main");
  EXPECT_THAT(git["changed"].get<std::vector<std::string>>(),
              testing::UnorderedElementsAre("say/text", "token"));
  EXPECT_THAT(git["untracked"].get<std::vector<std::string>>(),
              testing::UnorderedElementsAre("say/new file", "pipeline.yaml"));
  std::string diff = read_file(artifacts_of(*outcome) / kDiffFile).value_or("");
  EXPECT_THAT(diff, HasSubstr("-one\n+two\n"));
  EXPECT_THAT(diff, Not(HasSubstr("secret-token")));
}

TEST_F(SnapshotTest, APythonEnvironmentIsDescribedByItsFolders) {
  write("venv/pyvenv.cfg", "home = /usr/bin\nversion = 3.11.2\n");
  write("venv/bin/python", "#!/bin/sh\n");
  fs::permissions(dir_.path() / "venv/bin/python", fs::perms::owner_all);
  write("venv/lib/python3.11/site-packages/numpy-1.26.4.dist-info/METADATA", "");
  std::string python = (dir_.path() / "venv/bin/python").string();
  Json described =
      describe_software(plan("params: {python: " + python + "}\nsteps: {a: {command: 'true'}}\n"), options_);
  EXPECT_EQ(json_string(described[python], "version"), "3.11.2");
  EXPECT_EQ(json_string(described[python]["packages"], "numpy"), "1.26.4");
}

TEST_F(SnapshotTest, GitIsReadAsGitItselfReadsIt) {
  auto ask = [](const fs::path& folder, std::vector<std::string> words) {
    std::vector<std::string> argv = {"git", "-C", folder.string()};
    argv.insert(argv.end(), words.begin(), words.end());
    return std::string(trim(run_command(argv, std::chrono::seconds(60))->output));
  };
  auto expect_same = [&](const fs::path& folder) {
    auto state = git_state(folder);
    ASSERT_TRUE(state);
    EXPECT_EQ(state->root, ask(folder, {"rev-parse", "--show-toplevel"}));
    EXPECT_EQ(state->commit, ask(folder, {"rev-parse", "HEAD"}));
    EXPECT_EQ(state->remote, ask(folder, {"config", "--get", "remote.origin.url"}));
  };
  write("repo/below/file", "one");
  repository_ = "repo";
  EXPECT_FALSE(git_state(dir_.path() / "repo"));
  git({"init", "-q", "-b", "topic/one"});
  EXPECT_FALSE(git_state(dir_.path() / "repo"));
  git({"add", "-A"});
  git({"commit", "-qm", "first"});
  git({"remote", "add", "other", "https://example.org/other.git"});
  git({"remote", "add", "origin", "https://example.org/a.git"});
  expect_same(dir_.path() / "repo/below");
  git({"pack-refs", "--all"});
  expect_same(dir_.path() / "repo");
  git({"worktree", "add", "-q", "../tree", "-b", "second"});
  expect_same(dir_.path() / "tree/below");
  git({"checkout", "-q", "--detach"});
  expect_same(dir_.path() / "repo");
  write("extra", "[user]\n name = x\n");
  git({"config", "include.path", (dir_.path() / "extra").string()});
  expect_same(dir_.path() / "repo");
  git({"remote", "set-url", "origin", "https://ada:t0ken@example.org/a.git"});
  EXPECT_EQ(git_state(dir_.path() / "repo")->remote, "https://example.org/a.git") << "but for what is secret";
}

TEST_F(SnapshotTest, ADiffThatIsTooLargeIsToldToBeMissing) {
  write("large", std::string(6 << 20, 'x'));
  git({"init", "-q"});
  git({"add", "-A"});
  git({"commit", "-qm", "first"});
  std::string noise;
  for (int64_t i = 0; i < 1'000'000; ++i) noise += fmt::format("{}\n", i * 7919 % 1'000'003);
  write("large", noise);
  auto work = git_work(dir_.path(), {});
  ASSERT_TRUE(work);
  EXPECT_FALSE(work->diff_is_whole);
  EXPECT_EQ(work->diff, "");
  EXPECT_THAT(work->changed, ElementsAre("large"));
}

}  // namespace
}  // namespace tidemill::engine
