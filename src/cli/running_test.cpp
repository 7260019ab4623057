// Runs while they run: what others see of them, and how they end before their time.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>

#include "cli/cli_fixture.h"
#include "sys/process_fixture.h"

namespace tidemill {
namespace {

using namespace std::chrono_literals;
using testing::AllOf;
using testing::HasSubstr;

TEST_F(Cli, AStepThatWaitsForOthersSaysForWhat) {
  write("pipeline.yaml",
        "name: p\nparams: {n: 1}\nsteps:\n  a: {command: 'touch up.{n}; until [ -e go ]; do sleep 0.01; "
        "done', params: {n: '${params.n}'}, resources: {locks: [" +
            path("lock").string() + "]}}\n");
  std::string folder = dir_.path().string();
  Process first =
      Process::start({.argv = {kProgram, "run", folder, "--store", store()}, .output_file = path("first")})
          .value();
  wait_until([&] { return fs::exists(path("up.1")); });
  Process second = Process::start({.argv = {kProgram, "run", folder, "-P", "n=2", "--store", store()},
                                   .output_file = path("second")})
                       .value();
  Process third =
      Process::start({.argv = {kProgram, "run", folder, "--store", store()}, .output_file = path("third")})
          .value();
  wait_until(
      [&] { return read_file(path("second")).value_or("").find("waits for lock '") != std::string::npos; });
  wait_until([&] {
    return read_file(path("third")).value_or("").find("waits for the same result") != std::string::npos;
  });
  std::vector<std::string> reasons;
  for (const auto& run : listed("runs", {"runs", "list"}))
    if (json_string(run, "run_name") == "p")
      reasons.push_back(json_string(json_of({"status", json_string(run, "run_id")})["steps"][0], "reason"));
  EXPECT_THAT(reasons, testing::Contains(HasSubstr("which others hold")));
  write("go", "");
  EXPECT_EQ(first.wait().status, 0);
  EXPECT_EQ(second.wait().status, 0);
  EXPECT_EQ(third.wait().status, 0);
}

// A pipeline whose step starts a grandchild and waits; the grandchild's id is in the file "pid".
class InterruptedRun : public Cli {
 protected:
  void SetUp() override {
    write_project("slow", fmt::format("sleep 1000 & echo $! > {0}.new; mv {0}.new {0}; wait; true",
                                      path("pid").string()));
    write("pipeline.yaml", "name: p\nsteps:\n  slow: {project: slow}\n");
    process_.emplace(Process::start({.argv = {kProgram, "run", dir_.path().string(), "--store", store()},
                                     .output_file = path("output")})
                         .value());
    wait_until([&] { return fs::exists(path("pid")); });
    grandchild_ = std::atoi(read_file(path("pid")).value().c_str());
  }
  // Nothing stays behind, whatever the test did to the runner.
  void TearDown() override {
    if (alive(grandchild_)) in_store({"cancel", pipeline_run()});
  }
  std::string pipeline_run() {
    for (const auto& run : listed("runs", {"runs", "list"}))
      if (json_string(run, "run_name") == "p") return json_string(run, "run_id");
    return "";
  }
  std::optional<Process> process_;
  pid_t grandchild_ = 0;
};

TEST_F(InterruptedRun, CtrlCKillsAllAndRecordsIt) {
  kill(process_->pid(), SIGINT);
  EXPECT_EQ(process_->wait().status, 130) << read_file(path("output")).value();
  wait_until([&] { return !alive(grandchild_); });
  EXPECT_EQ(statuses()["p"], "KILLED");
  EXPECT_EQ(statuses()["slow"], "KILLED");
}

TEST_F(InterruptedRun, AStepThatOutlivesItsRunnerIsTakenOverByResume) {
  kill(process_->pid(), SIGKILL);
  process_->wait();
  EXPECT_TRUE(alive(grandchild_));
  EXPECT_EQ(statuses()["p"], "RUNNING");
  EXPECT_EQ(statuses()["slow"], "RUNNING");
  EXPECT_THAT(in_store({"status", pipeline_run()}).output,
              HasSubstr("without a runner; tidemill resume " + pipeline_run()));
  Process ender =
      Process::start({.argv = {"sh", "-c", fmt::format("sleep 0.3; kill {}", grandchild_)}}).value();
  Captured resumed = in_store({"resume", pipeline_run()});
  ender.wait();
  EXPECT_EQ(resumed.exit.status, 0) << resumed.errors;
  EXPECT_THAT(resumed.errors, HasSubstr("it was running still"));
  EXPECT_EQ(statuses()["p"], "FINISHED");
  EXPECT_EQ(statuses()["slow"], "FINISHED");
}

TEST_F(InterruptedRun, StatusTellsOfAStepThatHasEndedWithoutItsRunner) {
  kill(process_->pid(), SIGKILL);
  process_->wait();
  kill(grandchild_, SIGKILL);
  wait_until([&] {
    return in_store({"status", pipeline_run()}).output.find("has ended without a runner: exit status 0") !=
           std::string::npos;
  });
  EXPECT_EQ(in_store({"resume", pipeline_run()}).exit.status, 0);
  EXPECT_EQ(statuses()["slow"], "FINISHED");
}

TEST_F(InterruptedRun, CancelEndsTheStepsOfARunnerThatIsNoMore) {
  kill(process_->pid(), SIGKILL);
  process_->wait();
  Captured cancelled = in_store({"cancel", pipeline_run()});
  EXPECT_EQ(cancelled.exit.status, 0) << cancelled.errors;
  EXPECT_THAT(cancelled.errors, HasSubstr("stopped slow"));
  EXPECT_FALSE(alive(grandchild_));
  EXPECT_EQ(statuses()["p"], "KILLED");
  EXPECT_EQ(statuses()["slow"], "KILLED");
  EXPECT_EQ(in_store({"cancel", pipeline_run()}).exit.status, 1);
}

TEST_F(InterruptedRun, CancelEndsALivingRunner) {
  EXPECT_EQ(in_store({"cancel", pipeline_run()}).exit.status, 0);
  EXPECT_EQ(process_->wait().status, 130);
  EXPECT_EQ(statuses()["p"], "KILLED");
}

TEST_F(InterruptedRun, CancelEndsARunnerThatIsStopped) {
  kill(process_->pid(), SIGSTOP);
  EXPECT_EQ(in_store({"cancel", pipeline_run()}).exit.status, 0);
  EXPECT_EQ(process_->wait().status, 130);
  EXPECT_EQ(statuses()["p"], "KILLED");
}

TEST_F(InterruptedRun, ASecondCtrlCEndsTheStepsToo) {
  kill(process_->pid(), SIGINT);
  kill(process_->pid(), SIGINT);
  process_->wait();
  wait_until([&] { return !alive(grandchild_); });
}

TEST_F(InterruptedRun, AnotherCommandLeavesItAlone) {
  EXPECT_EQ(statuses()["p"], "RUNNING");
  EXPECT_EQ(statuses()["slow"], "RUNNING");
  EXPECT_TRUE(alive(grandchild_));
  kill(process_->pid(), SIGTERM);
  EXPECT_EQ(process_->wait().status, 130);
}

TEST_F(InterruptedRun, PsAndStatusTellWhatRunsAlsoWithoutARunner) {
  std::string id = pipeline_run();
  EXPECT_THAT(in_store({"ps"}).output, AllOf(HasSubstr(id), HasSubstr(std::to_string(process_->pid()))));
  EXPECT_EQ(json_of({"status", id})["steps"][0]["state"], "running");
  EXPECT_EQ(json_of({"status", id})["runner"], std::to_string(process_->pid()));
  kill(process_->pid(), SIGKILL);
  process_->wait();
  EXPECT_THAT(in_store({"ps"}).output, HasSubstr("none; tidemill resume " + id));
  EXPECT_THAT(in_store({"status", id}).output, HasSubstr("goes on without a runner"));
  EXPECT_EQ(in_store({"cancel", id}).exit.status, 0);
  EXPECT_THAT(in_store({"ps"}).errors, HasSubstr("nothing runs"));
  EXPECT_THAT(in_store({"status", "0123"}).errors, HasSubstr("0123"));
}

struct FollowedLog : Cli {
  // The run of the pipeline p, once the step has printed this.
  std::string run_that_has_logged(const std::string& step, const std::string& printed) {
    std::string id;
    wait_until([&] {
      if (!fs::exists(path("tidemill.db"))) return false;
      for (const auto& found : listed("runs", {"runs", "list"}))
        if (json_string(found, "run_name") == "p") id = json_string(found, "run_id");
      return !id.empty() && in_store({"logs", id, step}).output == printed;
    });
    return id;
  }
};

TEST_F(FollowedLog, WhoFollowsALogSeesItsEndAlsoWhenItsMiddleIsTakenOutMeanwhile) {
  write("pipeline.yaml",
        "name: p\nsteps:\n  a:\n    command: \"echo one; until [ -e go ]; do sleep 0.01; done; seq 20000; "
        "until [ $(wc -c < $LOG) -lt 60000 ]; do sleep 0.05; done; seq 20001 23000; echo the end\"\n"
        "    environment: {LOG: '${run.artifacts}/logs/a.log'}\n    log_limit: 64KiB\n");
  auto run = Process::start(
      {.argv = {kProgram, "run", dir_.path().string(), "--store", store()}, .discard_output = true});
  ASSERT_TRUE(run);
  const std::string id = run_that_has_logged("a", "one\n");
  auto follow = Process::start(
      {.argv = {kProgram, "logs", "-f", id, "a", "--store", store()}, .output_file = path("followed")});
  wait_until([&] { return read_file(path("followed")).value_or("") == "one\n"; });
  write("go", "");
  EXPECT_EQ(follow->wait().status, 0);
  const std::string followed = read_file(path("followed")).value();
  EXPECT_TRUE(followed.ends_with("\n22999\n23000\nthe end\n")) << followed.substr(followed.size() - 100);
  EXPECT_THAT(followed, HasSubstr("\n20000\n20001\n"));
  EXPECT_EQ(run->wait().status, 0);
}

TEST_F(FollowedLog, LogsShowsWhatEachStepHasPrintedAndFollowsUntilTheEnd) {
  write_project("a", "echo from a");
  write_project("b", "echo one; until [ -e ../go ]; do sleep 0.01; done; echo two");
  write("pipeline.yaml", "name: p\nsteps:\n  a: {project: a}\n  b: {project: b, needs: [a]}\n");
  auto run = Process::start(
      {.argv = {kProgram, "run", dir_.path().string(), "--store", store()}, .discard_output = true});
  ASSERT_TRUE(run);
  std::string id = run_that_has_logged("b", "one\n");
  auto follow = Process::start(
      {.argv = {kProgram, "logs", "-f", id, "--store", store()}, .output_file = path("followed")});
  wait_until([&] { return read_file(path("followed")).value_or("").find("one") != std::string::npos; });
  write("go", "");
  EXPECT_EQ(follow->wait().status, 0);
  EXPECT_EQ(read_file(path("followed")).value(), "==> a <==\nfrom a\n\n==> b <==\none\ntwo\n");
  EXPECT_EQ(run->wait().status, 0);
  EXPECT_EQ(in_store({"logs", id, "c"}).exit.status, 1);
  for (const auto& found : listed("runs", {"runs", "list"}))
    if (json_string(found, "run_name") == "a") id = json_string(found, "run_id");
  EXPECT_EQ(in_store({"logs", id}).output, "from a\n");
}

}  // namespace
}  // namespace tidemill
