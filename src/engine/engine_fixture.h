// Pipelines of small shell steps in a folder of their own, run against a real store. For tests.
#pragma once

#include <gmock/gmock.h>
#include <unistd.h>

#include <functional>
#include <thread>

#include "config/pipeline_file.h"
#include "engine/engine.h"

namespace tidemill::engine {

// Runs the pipeline in a child process, so that the child can be interrupted or killed.
inline pid_t run_in_child(const std::function<int()>& body) {
  pid_t pid = fork();
  if (pid == 0) _exit(body());
  return pid;
}

inline bool eventually(const std::function<bool()>& condition) {
  for (int i = 0; i < 6000; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

inline bool is_running(pid_t pid) {
  auto stat = read_file(fmt::format("/proc/{}/stat", pid));
  return stat && stat->find(") Z") == std::string::npos;
}

class EngineTest : public testing::Test {
 protected:
  void SetUp() override { open_store(); }

  void open_store() {
    store_.reset();
    auto opened = tracking::Store::open(
        {.uri = dir_.path() / "tidemill.db", .default_artifact_root = (dir_.path() / "artifacts").string()});
    ASSERT_TRUE(opened) << opened.error().message;
    store_.emplace(std::move(*opened));
  }

  void write(const fs::path& relative, std::string_view text) {
    ASSERT_TRUE(make_dirs((dir_.path() / relative).parent_path()));
    ASSERT_TRUE(write_file_atomic(dir_.path() / relative, text, Durable::no));
  }

  void add_step(const std::string& name, const std::string& command, const std::string& parameters = "{}") {
    write(name + "/MLproject",
          fmt::format("entry_points:\n  main:\n    parameters: {}\n    command: |\n      {}\n", parameters,
                      command));
  }

  pipeline::Plan plan(const std::string& yaml, const config::Arguments& params = {}) {
    write("pipeline.yaml", yaml);
    auto loaded = config::load_pipeline(dir_.path() / "pipeline.yaml");
    EXPECT_TRUE(loaded) << loaded.error().message;
    auto made = pipeline::make_plan(*loaded, params);
    EXPECT_TRUE(made) << made.error().message;
    return *made;
  }

  Result<Outcome> run(const std::string& yaml, int max_parallel = 0) {
    options_.max_parallel = max_parallel;
    return run(plan(yaml));
  }
  Result<Outcome> run(const pipeline::Plan& plan) {
    set_up_options();
    return execute(plan, *store_, options_, [this](const Event& event) { events_.push_back(event); });
  }
  // As `tidemill run` does it: recognised as a whole when nothing can have changed.
  struct Recognised {
    bool as_a_whole = false;
    Outcome outcome;
  };
  Recognised run_or_recognise(const std::string& yaml, const config::Arguments& params = {}) {
    set_up_options();
    write("pipeline.yaml", yaml);
    options_.many_steps = 1;
    options_.start_file = (dir_.path() / "pipeline.yaml").string();
    options_.start = "run";
    for (const auto& [name, value] : params) options_.start += " " + name + "=" + value;
    auto listener = [this](const Event& event) { events_.push_back(event); };
    auto whole = execute_unchanged(*store_, options_, listener);
    EXPECT_TRUE(whole) << whole.error().message;
    if (whole && *whole) return {true, **whole};
    auto outcome = execute(plan(yaml, params), *store_, options_, listener);
    EXPECT_TRUE(outcome) << outcome.error().message;
    return {false, outcome.value_or(Outcome{})};
  }
  Result<Outcome> go_on(const std::string& run_id, const std::string& yaml) {
    set_up_options();
    return resume(run_id, plan(yaml), *store_, options_,
                  [this](const Event& event) { events_.push_back(event); });
  }
  void set_up_options() {
    events_.clear();
    options_.tracking_uri = "http://127.0.0.1:9";
    options_.state_dir = dir_.path() / "state";
  }

  const StepFinished* finished(const std::string& step) const {
    for (const auto& event : events_)
      if (const auto* done = std::get_if<StepFinished>(&event); done != nullptr && done->step == step)
        return done;
    return nullptr;
  }
  // Why the step ran, in the last run; "" when it did not.
  std::string started(const std::string& step) const {
    for (const auto& event : events_)
      if (const auto* start = std::get_if<StepStarted>(&event); start != nullptr && start->step == step)
        return start->reason;
    return "";
  }

  std::string text_of(const fs::path& relative) {
    return read_file(dir_.path() / relative).value_or("(missing)");
  }
  tracking::RunStatus status_of(const std::string& run_id) { return store_->run(run_id)->info.status; }

  TempDir dir_ = TempDir::create().value();
  std::optional<tracking::Store> store_;
  Options options_;
  std::vector<Event> events_;
};

}  // namespace tidemill::engine
