// One execution of a plan, from its start or from where an earlier runner left it. Private to this folder.
// Its parts: execution.cpp is the course of a run, starting.cpp decides what becomes of a step and starts it,
// settling.cpp records how attempts end, taking_over.cpp goes on with what earlier runners have done,
// elsewhere.cpp shares results with others.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/time.h"
#include "engine/attempt.h"
#include "engine/background.h"
#include "engine/checkpoint_folders.h"
#include "engine/command_maker.h"
#include "engine/earlier.h"
#include "engine/engine.h"
#include "engine/file_tree.h"
#include "engine/gates.h"
#include "engine/given_files.h"
#include "engine/key_locks.h"
#include "engine/machine.h"
#include "engine/publisher.h"
#include "engine/record.h"
#include "engine/reliances.h"
#include "engine/retries.h"
#include "engine/scheduler.h"
#include "engine/shared_cache.h"
#include "engine/snapshot.h"
#include "engine/step_cache.h"
#include "engine/supervisor.h"
#include "engine/validation.h"
#include "sys/terminal.h"

namespace tidemill::engine {

class Execution {
 public:
  Execution(const pipeline::Plan& plan, tracking::Store& store, const Options& options,
            const Listener& listener, Shape shape);

  // earlier_run: the run that goes on; "": a new one.
  Result<Outcome> run(const std::string& earlier_run);

 private:
  using Failure = std::optional<config::Failure>;  // nullopt: no other attempt can mend it

  // --- execution.cpp ---
  Result<> set_up();
  Result<> begin(const std::string& earlier_run);
  Result<> open_checkpoints();
  // False when somebody else runs it.
  Result<bool> take_run(const std::string& run_id);
  // The steps, and then those that wait for the end of the run.
  Result<> run_phases();
  Result<> loop(config::Phase phase);
  Result<std::vector<size_t>> decide_and_record();
  // What ends the run before its time; each outweighs those before it.
  enum class Ending { kNone, kFailure, kTimeout, kInterrupt };

  bool is_done() const;
  bool fails_the_run(size_t step) const;
  void stop_all();
  bool is_interrupted() const { return ending_ == Ending::kInterrupt; }
  // The steps that run are stopped; what then may start still is the scheduler's business.
  enum class Spared { kNobody, kWhoAsksHowOthersEnd };
  void stop_running(std::string reason, Spared spared);
  void stop_at_deadline();
  RunOutcome outcome() const;
  bool all_are_done() const;
  Result<> end();
  void see_it_there(Mirror& mirror);
  void abandon();
  // What the step's program tells, or else what can be seen of it in what it logs.
  std::optional<ProgressState> progress_of_attempt(size_t step, Attempt& attempt);
  // So that a run in which nothing has changed is recognised; see unchanged.h.
  Result<> watch_reliances();
  void rely_on_no_file(const fs::path& path);
  Result<> keep_footing();
  fs::path progress_file_for(const std::string& step_run) const;  // that the step writes
  void report_progress();
  Result<> commit();

  // --- starting.cpp ---
  // Records what is reused and what runs, and returns the steps that are to be launched once that is on disk.
  Result<std::vector<size_t>> begin_ready_steps();
  Result<> reuse_what_is_known();
  // What is ready, without the steps whose conditions do not hold: those are skipped.
  Result<std::vector<size_t>> take_wanted();
  // Whether the step is to be launched.
  Result<bool> begin_step(size_t step);
  Result<bool> begin_attempt(size_t step, Decision decision, Grant grant);
  int next_attempt(size_t step) const;
  void limit_time(size_t step, Attempt& attempt);
  // Of all attempts of the step; the longest there is when it has no such limit.
  std::chrono::milliseconds time_left(size_t step) const;
  config::Resources resources_of(size_t step) const;
  // For what somebody else holds.
  struct Wait {
    enum class For { kOtherRun, kRoom };
    For what;
    bool is_told;
    Stopwatch since = {};
  };
  bool wait_for(size_t step, Wait::For what);
  std::string awaited(size_t step, Wait::For what) const;
  Result<> fail_what_has_waited_too_long();
  bool let_wait(size_t step);
  Result<> reuse_step(size_t step, const Decision& decision);
  // Once its data are seen to be as the step wants them. record: that it is reused; returns the run's id.
  using RecordReuse = std::function<Result<std::string>()>;
  Result<> reuse_step(size_t step, const Decision& decision, const RecordReuse& record);
  Result<> settle_reused(size_t step, const Decision& decision, const std::string& run_id,
                         Result<Validation::Found> found);
  void conclude_reused(size_t step, const Decision& decision, StepFinished event);
  void learn(size_t step, KnownResult result);
  Result<> launch(size_t step);
  Minding minding_of(size_t step, const Attempt& attempt);
  fs::path control_group_of(size_t step, const Attempt& attempt);
  fs::path log_of(size_t step, int attempt) const;
  bool can_go_on() const { return record_.is_pipeline() && !options_.state_dir.empty(); }
  void skip_what_is_blocked();
  void skip_the_rest(config::Phase phase, const std::string& reason);
  void skip(size_t step, std::string reason);
  // For good.
  void settle_step(size_t step, StepState state);

  // --- settling.cpp ---
  Result<> finish_step(const Ended& ended);
  // What is seen of the files that an attempt has left, beside the loop.
  struct Looked;
  Looked look_at_outputs(size_t step, const StepRun& run, bool made, const Validation::Where& where,
                         const std::stop_token& stop) const;
  Result<> settle_looked_at(const Ended& ended, StepFinished event, const Failure& failure, Looked looked);
  Result<> fail_unstarted(size_t step, const Error& error, const Failure& failure);
  void settle_unstarted(size_t step, const Attempt& attempt, StepState state, const Error& error,
                        const Failure& failure);
  // Files that others have made, and that were changed while it ran, make the event one of a failure.
  static Result<> judge_given(const Attempt& attempt, Result<GivenFiles> given, StepFinished& event);
  // Returns what has changed while the step ran; its result is not kept for later runs then.
  std::string keep_result(size_t step, const Attempt& attempt, std::string outputs);
  // Returns the digest of what it has written.
  Result<std::string> record_outputs(const Attempt& attempt, Looked looked, StepFinished& event);
  Validation::Where validation_place() const { return {record_.experiment_id(), record_.artifacts()}; }
  // Data that are not as the step wants them make the event one of a failure. run: that made them.
  Result<> accept(const std::string& run, Result<Validation::Found> found, StepFinished& event);
  // A result whose gate is closed makes the event one of a failure. then: what follows in both cases.
  using WithEvent = std::function<Result<>(StepFinished event)>;
  Result<> pass_gate(size_t step, StepFinished event, const WithEvent& then);
  Result<> leave_gate(const Result<pipeline::GateVerdict>& verdict, StepFinished event,
                      const WithEvent& then);
  std::vector<Origin> origins_of(size_t step) const;
  void settle(size_t step, const Attempt& attempt, StepFinished event, const Failure& failure);
  // What becomes of the others.
  void conclude(size_t step, StepFinished event);
  void record_end(size_t step, const StepFinished& event, const StepRun& run, Decision decision);
  void end_attempt(const StepRun& run, tracking::RunStatus status, const std::string& reason,
                   const Failure& failure);
  // Or says in the event why not.
  bool try_again(size_t step, const Attempt& attempt, StepFinished& event, const Failure& failure);
  // After a failure of the kind: false when more of it would help, and there is no more.
  bool ask_for_more(size_t step, const Attempt& attempt, config::FailureKind kind);
  void give_up_retries();

  // --- elsewhere.cpp ---
  bool is_shared(size_t step) const;
  // Whether the result is being looked for where results are shared. The step begins anew unless it is found.
  bool ask_elsewhere(size_t step, const Decision& decision);
  using FoundElsewhere = Result<std::optional<SharedResult>>;  // whose files are in a folder here
  Result<> take_from_elsewhere(size_t step, const Decision& decision, const FoundElsewhere& found,
                               const fs::path& folder);
  Result<> record_from_elsewhere(size_t step, Decision decision, const SharedResult& result,
                                 const fs::path& folder);
  // Once it is on disk.
  void share_later(size_t step, const Attempt& attempt, const std::string& outputs);

  // --- taking_over.cpp ---
  Result<> find_survivors();
  // Whether what an earlier runner has done of the step decides what becomes of it.
  Result<bool> take_over(size_t step, const Decision& decision);
  Result<bool> begin_again(size_t step, const tracking::StepRecord& record);
  // Whether what was done of it is what it would be now, or is to be taken for it.
  bool counts_as_recorded(size_t step, const tracking::StepRecord& record, const Decision& decision) const;
  Result<bool> keep_done(size_t step, const tracking::StepRecord& record, const Decision& decision);
  Result<bool> take_over_attempt(size_t step, const tracking::StepRecord& record, const Decision& decision);
  Result<std::string> why_not_taken_over(size_t step, const tracking::StepRecord& record,
                                         const Decision& decision, const Ended* ended);
  Result<> begin_taken_over(size_t step, Attempt attempt, const Ended* ended);
  Result<> ended_unattended(const Ended& ended);
  // Whether another run, which has no runner any more, has made what is wanted and was not there to record
  // it: now it is recorded, as that run's result. The key is held.
  Result<bool> harvest(size_t step, const Decision& decision);
  Result<bool> settle_left(const Ended& ended, const std::string& pipeline_run, const Decision& decision);
  Result<StepRun> run_of(const tracking::StepRecord& record);
  // What an earlier runner has done of the step is of no use. Whether a process has to end first.
  bool put_aside(size_t step, const StepRun& run, const std::string& reason);
  void leave(size_t step);
  // What earlier runners have begun and nobody wants ends here.
  Result<> end_what_was_not_taken_over();

  const pipeline::Plan& plan_;
  tracking::Store& store_;
  const Options& options_;
  const Listener& listener_;
  Scheduler scheduler_;
  Record record_;
  FileHashes hashes_;
  StepCache cache_;
  CommandMaker commands_;
  Validation validation_;
  std::optional<SharedCache> shared_;
  bool shared_answers_ = true;
  std::set<size_t> asking_, asked_;        // steps whose results are, or were, looked for there
  std::set<std::string> bad_there_;        // keys whose results are shared, but cannot be used
  std::vector<Publisher::Item> to_share_;  // of what has ended since the last commit
  std::optional<Publisher> publisher_;
  std::optional<RelianceLog> reliances_;  // when a next run may be recognised by them
  int64_t result_changes_ = 0;
  std::optional<Snapshot> snapshot_;
  std::optional<TempDir> scratch_;  // when there is no state folder
  fs::path attempts_folder_;
  std::optional<CheckpointFolders> checkpoints_;  // when the run can go on later
  std::optional<KeyLocks> locks_;
  std::optional<MachineShare> machine_;  // when a step asks for a part of it
  std::set<config::Resources> no_room_;  // asked for in vain since something has ended
  // Of what has ended since the last commit.
  std::vector<std::string> settled_keys_, settled_runs_;
  std::vector<size_t> settled_checkpoints_;
  std::map<size_t, Wait> waits_;  // of those, and of some that do not wait any more
  std::vector<size_t> waiting_;   // for somebody who makes the same just now, or for room on the machine
  Stopwatch watch_;
  Outcome outcome_;
  Supervisor supervisor_;
  std::map<size_t, Attempt> attempts_;
  Retries retries_;
  std::map<size_t, PastAttempt> past_;  // the latest of each step that begins once more
  Earlier earlier_;
  std::map<size_t, Ended> ended_early_;  // processes of earlier runners whose steps are not ready yet
  std::set<size_t> cleared_;             // steps that run anew, and whose checkpoints are gone
  std::set<size_t> replaced_;  // steps whose process is stopped, as it does what is no longer wanted
  bool ends_again_ = false;    // the run had ended: what it does at its end is done once more
  bool limits_noted_ = false;  // that they are not enforced here
  Ending ending_ = Ending::kNone;
  Ending main_ending_ = Ending::kNone;  // when the main steps were through
  // Why steps are stopped, and why the others do not start any more.
  std::string stop_reason_ = "interrupted", end_reason_ = "another step failed";
  std::map<size_t, Stopwatch> since_first_attempt_;
  std::map<size_t, uint64_t> memory_;  // of steps that had too little
  Background background_;              // ends first: its work reads what is above
};

}  // namespace tidemill::engine
