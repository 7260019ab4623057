// Executes a plan: one parent run, one child run for each step, each step a process of its own. Every change
// of state is in the store before it is acted on.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/files.h"
#include "base/result.h"
#include "engine/events.h"
#include "engine/fetcher.h"
#include "engine/machine.h"
#include "exchange/mlflow_api.h"
#include "pipeline/plan.h"
#include "projects/environment.h"
#include "tracking/store.h"

namespace tidemill::engine {

// What earlier results are good for in this run.
struct CachePolicy {
  enum class Use { kYes, kNo };
  Use read = Use::kYes;                       // reuse earlier results
  Use write = Use::kYes;                      // keep results for later runs
  std::map<std::string, std::string> forced;  // steps that run in any case, and who wants it
};

// What the user wants of a run that goes on, beside what is left to do; steps by name.
struct ResumePolicy {
  enum class Recorded { kIfUnchanged, kAnyway };
  Recorded done = Recorded::kIfUnchanged;  // kAnyway: steps that are done stand, whatever has changed since
  std::set<std::string> again;  // run also when they are done, without the checkpoints that they have left
  std::set<std::string> stand;  // do not run: their latest result is used, and there must be one
  std::set<std::string> left;   // do not run
  bool is_whole = true;         // false: what is left out belongs to the run, which has not ended then
};

struct Options {
  // Where steps log: an MLflow REST endpoint over the same store, http://127.0.0.1:PORT, or another server.
  std::string tracking_uri;
  // That other server: all that is recorded in the store is recorded there as well.
  std::optional<exchange::ServerAddress> tracking_server;
  fs::path artifact_root;  // the folder behind mlflow-artifacts:/ URIs; "" when there is none
  // Where the engine keeps what it knows of files, and locks: shared by all runs on the same store. "": what
  // it knows is forgotten, and other processes are not waited for.
  fs::path state_dir;
  // Shared by all runs of this machine's user: who holds how much of it. "": only this run counts.
  fs::path machine_file;
  std::optional<Machine> machine;  // nullopt: this one
  fs::path program_dir;            // put first in the steps' PATH; "" for none
  std::string experiment;          // name; "": the plan's
  std::string run_name;            // "": the plan's name
  std::string parent_run;          // the run within which this one was started; "" for none
  int max_parallel = 0;            // 0: the plan's, else one for each core
  std::optional<config::AfterFailure> after_failure;  // nullopt: the plan's
  std::chrono::milliseconds kill_grace{10'000};       // between SIGTERM and SIGKILL
  // By folder of the project; the others run with what is on this machine.
  std::map<fs::path, projects::Environment> environments;
  bool registers = true;                 // false: gates ask for their limits alone, and register nothing
  std::vector<tracking::KeyValue> tags;  // further ones of a pipeline's run
  std::string source_uri;                // where the work was fetched from; "": a local folder
  std::string source_branch;             // of git, when one was asked for
  std::map<std::string, std::string> extra_env;  // of every step
  CachePolicy cache;
  ResumePolicy resume;
  FindArtifacts find_artifacts;  // for URIs other than http and https; null: refused
  std::string shared_cache;      // a folder or s3://bucket/prefix (shared_cache.h); "": nothing is shared
  std::string request;           // kept with a pipeline's run, for whoever resumes it
  // What decides which steps a pipeline has, beside what files hold: the file, the parameters; and the file
  // alone. With it a run that would do nothing is recognised as a whole. "": it is not.
  std::string start, start_file;
  // From so many steps on, a step that is reused gets no run of its own: the pipeline's run points to the one
  // that made its result.
  size_t many_steps = 100;
  std::function<double()> random;  // in [0, 1), for what is waited before a retry; null: the system's

  // The store's files and the artifacts: no code, also when they lie in a project's folder.
  std::vector<fs::path> own_places;

  fs::path hash_folder() const { return state_dir.empty() ? fs::path() : state_dir / "hashes"; }
};

struct StepOutcome {
  std::string step, run_id;
  StepState state = StepState::kWaiting;
  double seconds = 0;
  int attempts = 0;
};
struct Outcome {
  std::string run_id, experiment_id;
  tracking::RunStatus status = tracking::RunStatus::kFinished;
  RunOutcome outcome = RunOutcome::kSucceeded;
  double seconds = 0;
  std::vector<StepOutcome> steps;  // in the plan's order
  bool is_whole = true;            // false: steps were left out, with which the run may go on
  // On the tracking server, when it is another one than the store's.
  std::string run_there, experiment_there;
  std::optional<Error> not_there;  // why not all of the run is
};

// Runs the plan to its end. A failing step is not an error here: see Outcome::status (kFailed; kKilled when
// sys/signals.h reports an interrupt). Errors: the store refuses (full disk, read-only), or a step's
// parameters do not fit its project (kInvalid; nothing has been recorded then), or the tracking server is
// away when the run begins (kUnavailable; likewise). Call it on the main thread, with catch_interrupts()
// done.
Result<Outcome> execute(const pipeline::Plan& plan, tracking::Store& store, const Options& options,
                        const Listener& listener);

// The same for a pipeline that was run before with this Options::start, when nothing can have changed since:
// one run is recorded, whose steps are those of the one before. nullopt: execute() has to find out. The
// outcome has no steps. has_footing: whether there is any such run; asks nothing of the store.
bool has_footing(const Options& options);
Result<std::optional<Outcome>> execute_unchanged(tracking::Store& store, const Options& options,
                                                 const Listener& listener);

// Goes on with a run of execute() that has failed, was interrupted, or whose runner was killed: what is done
// and still valid is kept, processes that still run are taken over. The plan may differ from the run's. Also
// kConflict: it has finished, or is being run.
Result<Outcome> resume(const std::string& run_id, const pipeline::Plan& plan, tracking::Store& store,
                       const Options& options, const Listener& listener);

// Whether resume() would refuse the run, as far as the store knows: kConflict.
Result<> check_resumable(tracking::Store& store, const std::string& run_id);

// A single project run as `mlflow run` does it: one run, without a parent, of this name and experiment.
Result<Outcome> execute_project(const pipeline::Plan& plan, tracking::Store& store, const Options& options,
                                const Listener& listener);

// What execute() would do with a step, as far as can be said before anything has run.
struct Foreseen {
  // kDepends: on what a step before it makes; kFail: its result is known, and its gate is closed.
  enum class What { kReuse, kRun, kSkip, kDepends, kFail };
  std::string step;
  What what = What::kRun;
  std::string reason;
  std::vector<std::string> changes = {};  // since its last run, where they are the reason
};
std::string_view to_string(Foreseen::What what);  // "run", "reuse", "skip", "depend", "fail"
// In the plan's order. store: nullptr when there is none yet.
Result<std::vector<Foreseen>> foresee(const pipeline::Plan& plan, tracking::Store* store,
                                      const Options& options);

// Ends as FAILED every RUNNING run whose runner (a process of this machine, since its last boot) is no more,
// but for steps whose own processes still run, and what these are part of. Returns the ids. Call it when a
// store is opened. state_dir: of Options.
Result<std::vector<std::string>> end_orphaned_runs(tracking::Store& store, const fs::path& state_dir);

}  // namespace tidemill::engine
