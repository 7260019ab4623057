// What the store is told of a run: changes are gathered and committed together, and only then may they be
// acted on and shown.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "engine/events.h"
#include "engine/mirror.h"
#include "engine/step_cache.h"
#include "pipeline/plan.h"
#include "tracking/store.h"

namespace tidemill::engine {

// Of the run of a step that is a pipeline: its name, "a" or "a/b".
inline constexpr std::string_view kNestTag = "tidemill.nest";
// Of such runs and of those below them: the run of the whole pipeline.
inline constexpr std::string_view kPartOfTag = "tidemill.part_of";
// The pipeline's run that a step's run belongs to; "" for that of a pipeline itself.
std::string pipeline_run_of(const tracking::Run& step);
// Of a step's run: the tracking server, if it is another, that the step was told to log to.
inline constexpr std::string_view kLogsToTag = "tidemill.logs_to";
// Those of its steps that are pipelines.
Result<std::vector<tracking::Run>> nest_runs(tracking::Store& store, const tracking::Run& pipeline_run);

// Parameters of a run never change: what a resumed run was given instead stands in such a tag, PREFIX + name.
inline constexpr std::string_view kNowParamTag = "tidemill.param.";
// A run's parameters with those in their place.
std::vector<tracking::KeyValue> params_now(const tracking::Run& run);

enum class Shape { kPipeline, kProject };  // a project is recorded as one run, without a parent

// The run of one attempt of a step.
struct StepRun {
  std::string id;
  fs::path artifacts;                 // its folder
  int attempt = 0;                    // 1 for the first
  std::optional<int64_t> ended = {};  // ms, when nobody was there; nullopt: now
};

// How the runner before left a run that goes on.
enum class Before { kEnded, kLost };  // kLost: it was killed, or the machine went down

class Record {
 public:
  Record(const pipeline::Plan& plan, tracking::Store& store, const Options& options, const Listener& listener,
         Shape shape);

  // The experiment and the parent run. steps: names, to be told.
  Result<> begin(std::vector<std::string> steps);
  // Those of a run that goes on. kConflict when it has finished.
  Result<Before> go_on(const std::string& run_id);
  void note_outcome(RunOutcome outcome);
  Result<> end(RunOutcome outcome, double seconds);

  // A run for the step, with its folder on this machine.
  Result<StepRun> begin_step(size_t step, const Decision& decision, int attempt);
  // The attempt's run, begun by an earlier runner, is this one's from now on.
  Result<> adopt(const StepRun& run);
  // A run that points at the artifacts of the one whose result is reused; or, among many steps, that one
  // itself. Returns its id. The step's state stays as it is.
  Result<std::string> reuse_step(size_t step, const Decision& decision);
  void set_state(size_t step, StepState state, const StepRun& run, const Decision& decision);
  // The step has ended, or will not run: what it is within ends with its last step.
  void settled(size_t step, StepState state);
  void add(tracking::Change change) { changes_.push_back(std::move(change)); }
  // Told to the listener once what has been added is on disk.
  void tell(Event event) { events_.push_back(std::move(event)); }
  Result<> commit();

  // Of the run that steps are told of: there, when there is another tracking server. kUnavailable when that
  // is away. The run must have been committed.
  Result<std::string> id_for_steps(const std::string& run_id);
  const std::string& experiment_id_for_steps() const {
    return mirror_ ? mirror_->experiment_id() : experiment_.id;
  }
  Mirror* mirror() { return mirror_.get(); }  // nullptr: there is no other tracking server

  bool is_pipeline() const { return shape_ == Shape::kPipeline; }
  const std::string& run_id() const { return run_id_; }  // the parent's, or that of the project
  const std::string& experiment_id() const { return experiment_.id; }
  const std::string& experiment_name() const { return experiment_.name; }
  const fs::path& artifacts() const { return artifacts_; }
  // Of steps that are pipelines: those that have not ended.
  std::vector<std::string> open_nests() const;

 private:
  Result<> open_mirror(const std::string& experiment);
  // There is none to be kept on a server over the same store. run: has been committed.
  Result<> drop_needless_mirror(const std::string& run);
  bool needs_own_run(const pipeline::PlannedStep& step) const;
  // A step that is a pipeline: its run, made with the first of its steps, is the parent of theirs.
  struct Nest {
    std::string run_id;  // "" so far
    size_t unsettled = 0;
    bool failed = false, killed = false;
  };
  Result<std::string> parent_of(const std::string& within);
  Result<> find_nests(const tracking::Run& run);
  Result<> note_params(const tracking::Run& run);
  Result<> reopen(const tracking::Run& run);
  RunStarted started_event(const std::string& name, std::vector<std::string> steps) const;
  Result<fs::path> folder_of(const tracking::Run& run) const;
  Result<tracking::Run> make_step_run(size_t step);
  Result<tracking::Run> make_run(const std::string& name, std::vector<tracking::KeyValue> tags) const;
  const std::vector<tracking::KeyValue>& tags_of(const fs::path& folder);

  const pipeline::Plan& plan_;
  tracking::Store& store_;
  const Options& options_;
  const Listener& listener_;
  Shape shape_;
  tracking::Experiment experiment_;
  std::string run_id_, user_;
  fs::path artifacts_;
  std::map<fs::path, std::vector<tracking::KeyValue>> source_tags_;  // by folder: asking git takes time
  std::unique_ptr<Mirror> mirror_;
  bool mirror_is_needed_ = false;  // that is known
  std::map<std::string, Nest> nests_;
  std::vector<tracking::Change> changes_;
  std::vector<Event> events_;
};

}  // namespace tidemill::engine
