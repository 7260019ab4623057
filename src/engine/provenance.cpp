#include "engine/provenance.h"

#include <pwd.h>
#include <unistd.h>

#include <set>

#include "base/text.h"
#include "base/time.h"
#include "engine/earlier.h"
#include "engine/engine.h"
#include "engine/git.h"
#include "sys/minded_process.h"

namespace tidemill::engine {
namespace {

std::string boot_id() {
  auto id = read_file("/proc/sys/kernel/random/boot_id");
  return id ? std::string(trim(*id)) : "unknown";
}

// Field 22 of /proc/PID/stat: clock ticks after boot. With the pid it names a process for good.
std::string start_time(std::string_view pid) {
  auto stat = read_file(fmt::format("/proc/{}/stat", pid));
  if (!stat) return "";
  size_t after_name = stat->rfind(')');
  if (after_name == std::string::npos) return "";
  std::vector<std::string> fields = split(std::string_view(*stat).substr(after_name + 2), ' ');
  return fields.size() > 19 && fields[0] != "Z" ? fields[19] : "";
}

}  // namespace

std::string this_runner() {
  std::string pid = std::to_string(getpid());
  return fmt::format("{}:{}:{}", boot_id(), pid, start_time(pid));
}

bool runner_is_of_this_boot(std::string_view runner) {
  return runner.substr(0, runner.find(':')) == boot_id();
}

bool runner_is_alive(std::string_view runner) {
  std::vector<std::string> parts = split(runner, ':');
  return parts.size() == 3 && parts[0] == boot_id() && !parts[2].empty() && start_time(parts[1]) == parts[2];
}

std::string user_name() {
  // Several threads ask, and getpwuid answers all in the same memory.
  static const std::string name = [] {
    const passwd* entry = getpwuid(getuid());
    return entry != nullptr ? entry->pw_name : std::to_string(getuid());
  }();
  return name;
}

std::vector<tracking::KeyValue> source_tags(const fs::path& folder, const Options& options) {
  std::vector<tracking::KeyValue> tags = {{"mlflow.source.type", "PROJECT"},
                                          {"mlflow.project.backend", "local"},
                                          {"mlflow.user", user_name()},
                                          {std::string(kRunnerTag), this_runner()}};
  std::string source = folder.string();
  if (auto git = git_state(folder)) {
    source = fmt::format("file://{}#{}", git->root, folder.lexically_relative(git->root).string());
    tags.emplace_back("mlflow.source.git.commit", git->commit);
    if (!git->remote.empty()) tags.emplace_back("mlflow.source.git.repoURL", git->remote);
  }
  tags.emplace_back("mlflow.source.name", options.source_uri.empty() ? source : options.source_uri);
  if (!options.source_branch.empty()) tags.emplace_back("mlflow.source.git.branch", options.source_branch);
  return tags;
}

// Adds all that the run is within.
static void add_parents(tracking::Store& store, const tracking::Run& run, std::set<std::string>& to) {
  std::string id(run.tag("mlflow.parentRunId"));
  while (!id.empty() && to.insert(id).second) {
    auto parent = store.run(id);
    id = parent ? parent->tag("mlflow.parentRunId") : "";
  }
}

Result<std::vector<std::string>> end_orphaned_runs(tracking::Store& store, const fs::path& state_dir) {
  std::vector<tracking::Run> left;
  std::set<std::string> going_on;  // something within them runs
  for (auto& run : TRY(store.running_runs_with_tag(kRunnerTag))) {
    if (runner_is_alive(run.tag(kRunnerTag))) continue;
    if (is_running(attempts_folder(state_dir), run.info.id))
      add_parents(store, run, going_on);
    else
      left.push_back(std::move(run));
  }
  std::vector<std::string> ended;
  for (const auto& run : left) {
    if (going_on.count(run.info.id) > 0) continue;
    // Somebody had asked for its end already, and did not wait for it.
    const bool was_cancelled = run.tag(kOutcomeTag) == to_string(RunOutcome::kCancelled);
    std::string failure = was_cancelled
                              ? "it was interrupted, and its runner ended at once"
                              : "its runner ended without finishing it (killed, or the machine went down)";
    if (!run.tag("tidemill.pipeline").empty())
      failure += fmt::format("; `tidemill resume {}` goes on", run.info.id);
    TRY(store.set_tag(run.info.id, "tidemill.failure", failure));
    if (!run.tag("tidemill.pipeline").empty() && !was_cancelled)
      TRY(store.set_tag(run.info.id, std::string(kOutcomeTag), std::string(to_string(RunOutcome::kCrashed))));
    TRY(store.update_run(
        {.run_id = run.info.id,
         .status = was_cancelled ? tracking::RunStatus::kKilled : tracking::RunStatus::kFailed,
         .end_time = now_ms()}));
    ended.push_back(run.info.id);
  }
  return ended;
}

}  // namespace tidemill::engine
