#include "engine/record.h"

#include <algorithm>

#include "artifacts/folder_repository.h"
#include "base/text.h"
#include "base/time.h"
#include "engine/file_tree.h"
#include "engine/provenance.h"
#include "engine/verdict.h"

namespace tidemill::engine {

using tracking::KeyValue;

namespace {

// "a" of "a/b".
std::string outer_of(const std::string& nest) {
  const size_t slash = nest.rfind('/');
  return slash == std::string::npos ? "" : nest.substr(0, slash);
}

}  // namespace

std::string pipeline_run_of(const tracking::Run& step) {
  if (!step.tag("tidemill.pipeline").empty()) return "";
  const auto whole = step.tag(kPartOfTag);
  return std::string(whole.empty() ? step.tag("mlflow.parentRunId") : whole);
}

Result<std::vector<tracking::Run>> nest_runs(tracking::Store& store, const tracking::Run& pipeline_run) {
  tracking::SearchRuns search{.experiment_ids = {pipeline_run.info.experiment_id},
                              .filter = fmt::format("tags.`{}` = '{}' AND tags.`{}` LIKE '%'", kPartOfTag,
                                                    pipeline_run.info.id, kNestTag),
                              .order_by = {},
                              .page_token = {}};
  std::vector<tracking::Run> runs;
  do {
    auto page = TRY(store.search_runs(search));
    runs.insert(runs.end(), page.items.begin(), page.items.end());
    search.page_token = page.next_page_token;
  } while (!search.page_token.empty());
  return runs;
}

std::vector<KeyValue> params_now(const tracking::Run& run) {
  std::vector<KeyValue> params = run.params;
  for (const auto& [tag, value] : run.tags) {
    if (!tag.starts_with(kNowParamTag)) continue;
    const std::string name = tag.substr(kNowParamTag.size());
    auto same =
        std::find_if(params.begin(), params.end(), [&](const auto& one) { return one.first == name; });
    if (same != params.end())
      same->second = value;
    else
      params.emplace_back(name, value);
  }
  return params;
}

Record::Record(const pipeline::Plan& plan, tracking::Store& store, const Options& options,
               const Listener& listener, Shape shape)
    : plan_(plan), store_(store), options_(options), listener_(listener), shape_(shape), user_(user_name()) {
  for (const auto& step : plan.steps)
    for (std::string nest = step.within; !nest.empty(); nest = outer_of(nest)) ++nests_[nest].unsettled;
}

RunStarted Record::started_event(const std::string& name, std::vector<std::string> steps) const {
  return {.run_id = run_id_,
          .run_name = name,
          .experiment_id = experiment_.id,
          .experiment = experiment_.name,
          .steps = std::move(steps)};
}

Result<> Record::begin(std::vector<std::string> steps) {
  std::string name = options_.experiment.empty() ? plan_.experiment : options_.experiment;
  TRY(open_mirror(name));
  experiment_ = TRY(store_.experiment(TRY(store_.ensure_experiment(name))));
  if (!is_pipeline()) return {};  // its run begins with its only step
  std::vector<KeyValue> tags = tags_of(plan_.folder);
  tags.emplace_back("mlflow.project.entryPoint", "main");
  tags.emplace_back("tidemill.pipeline", plan_.name);
  if (!options_.parent_run.empty()) tags.emplace_back("mlflow.parentRunId", options_.parent_run);
  tags.insert(tags.end(), options_.tags.begin(), options_.tags.end());
  tracking::Run parent =
      TRY(make_run(options_.run_name.empty() ? plan_.name : options_.run_name, std::move(tags)));
  artifacts_ = TRY(folder_of(parent));
  run_id_ = parent.info.id;
  tell(started_event(parent.info.name, std::move(steps)));
  add(tracking::NewRun{std::move(parent)});
  add(tracking::LogBatch{run_id_, {.metrics = {}, .params = plan_.params, .tags = {}}});
  if (!options_.request.empty()) add(tracking::RunRequest{run_id_, options_.request});
  return {};
}

Result<Before> Record::go_on(const std::string& run_id) {
  tracking::Run run = TRY(store_.run(run_id));
  if (run.info.status == tracking::RunStatus::kFinished)
    return fail(Code::kConflict, "run {} has finished; `tidemill run` starts a new one", run_id);
  experiment_ = TRY(store_.experiment(run.info.experiment_id));
  TRY(open_mirror(experiment_.name));
  TRY(drop_needless_mirror(run_id));
  if (mirror_) {
    add(tracking::LogBatch{run_id, {.metrics = {}, .params = run.params, .tags = {}}});
    for (const auto& step : TRY(store_.step_records(run_id)))
      if (!step.step_run.empty()) mirror_->catch_up(step.step_run);
  }
  artifacts_ = TRY(folder_of(run));
  run_id_ = run_id;
  TRY(reopen(run));
  TRY(find_nests(run));
  TRY(note_params(run));
  if (!options_.request.empty()) add(tracking::RunRequest{run_id_, options_.request});
  RunStarted event = started_event(run.info.name, plan_.step_names());
  event.resumed = true;
  tell(std::move(event));
  bool lost = run.info.status == tracking::RunStatus::kRunning || !run.tag("tidemill.failure").empty();
  return lost ? Before::kLost : Before::kEnded;
}

Result<> Record::adopt(const StepRun& step) {
  tracking::Run run = TRY(store_.run(step.id));
  bool ended_by_its_program =
      run.info.status != tracking::RunStatus::kRunning && run.tag("tidemill.failure").empty();
  return ended_by_its_program ? Result<>() : reopen(run);
}

Result<> Record::reopen(const tracking::Run& run) {
  const std::string& id = run.info.id;
  for (std::string_view tag : {std::string_view("tidemill.failure"), kOutcomeTag})
    if (!run.tag(tag).empty()) TRY(store_.delete_tag(id, tag));
  add(tracking::UpdateRun{.run_id = id, .status = tracking::RunStatus::kRunning, .end_time = 0, .name = {}});
  add(tracking::LogBatch{id,
                         {.metrics = {}, .params = {}, .tags = {{std::string(kRunnerTag), this_runner()}}}});
  return {};
}

void Record::note_outcome(RunOutcome outcome) {
  add(tracking::LogBatch{
      run_id_,
      {.metrics = {}, .params = {}, .tags = {{std::string(kOutcomeTag), std::string(to_string(outcome))}}}});
}

Result<> Record::end(RunOutcome outcome, double seconds) {
  const tracking::RunStatus status = run_status(outcome);
  if (is_pipeline()) {
    if (auto tree = FileHashes().tree(artifacts_))
      add(tracking::RecordArtifacts{run_id_, std::move(tree->files)});
    note_outcome(outcome);
    add(tracking::UpdateRun{.run_id = run_id_, .status = status, .end_time = now_ms(), .name = {}});
  }
  tell(RunFinished{run_id_, status, outcome, seconds});
  return commit();
}

Result<tracking::Run> Record::make_run(const std::string& name, std::vector<KeyValue> tags) const {
  auto run = TRY(tracking::Store::make_run({.experiment_id = experiment_.id,
                                            .name = name,
                                            .user = user_,
                                            .start_time = now_ms(),
                                            .tags = std::move(tags)}));
  // Steps write into it, and hand paths in it to each other: a folder, also where clients of a server are
  // given an address.
  std::string place = experiment_.artifact_location;
  if (artifacts::proxied_path(place))
    if (auto folder = artifacts::local_folder(place, options_.artifact_root)) place = folder->string();
  run.info.artifact_uri = fmt::format("{}/{}/artifacts", place, run.info.id);
  return run;
}

Result<fs::path> Record::folder_of(const tracking::Run& run) const {
  auto folder = artifacts::local_folder(run.info.artifact_uri, options_.artifact_root);
  if (!folder)
    return fail(Code::kInvalid,
                "experiment {} keeps its artifacts at {}, which is not a folder of this machine; choose "
                "another with --experiment-name",
                run.info.experiment_id, run.info.artifact_uri);
  TRY(make_dirs(*folder));
  return *folder;
}

const std::vector<KeyValue>& Record::tags_of(const fs::path& folder) {
  auto found = source_tags_.find(folder);
  if (found == source_tags_.end()) found = source_tags_.emplace(folder, source_tags(folder, options_)).first;
  return found->second;
}

// The run of the step that is this pipeline, or the pipeline's own.
Result<std::string> Record::parent_of(const std::string& within) {
  if (within.empty()) return run_id_;
  Nest& nest = nests_[within];
  if (!nest.run_id.empty()) return nest.run_id;
  std::vector<KeyValue> tags = tags_of(plan_.folder);
  tags.emplace_back("mlflow.parentRunId", TRY(parent_of(outer_of(within))));
  tags.emplace_back(kNestTag, within);
  tags.emplace_back(kPartOfTag, run_id_);
  tracking::Run run = TRY(make_run(within, std::move(tags)));
  nest.run_id = run.info.id;
  add(tracking::NewRun{std::move(run)});
  return nest.run_id;
}

// What differs from the parameters that it began with.
Result<> Record::note_params(const tracking::Run& run) {
  std::vector<KeyValue> tags;
  for (const auto& [name, value] : plan_.params) {
    const std::string tag = std::string(kNowParamTag) + name;
    if (run.param(name) != value)
      tags.emplace_back(tag, value);
    else if (!run.tag(tag).empty())
      TRY(store_.delete_tag(run.info.id, tag));
  }
  if (!tags.empty())
    add(tracking::LogBatch{run.info.id, {.metrics = {}, .params = {}, .tags = std::move(tags)}});
  return {};
}

// Those that an earlier runner has made.
Result<> Record::find_nests(const tracking::Run& run) {
  if (nests_.empty()) return {};
  for (const auto& found : TRY(nest_runs(store_, run))) {
    auto nest = nests_.find(std::string(found.tag(kNestTag)));
    if (nest == nests_.end()) continue;
    nest->second.run_id = found.info.id;
    TRY(reopen(found));
  }
  return {};
}

void Record::settled(size_t step, StepState state) {
  const bool matters = !plan_.steps[step].settings->allow_failure;
  for (std::string name = plan_.steps[step].within; !name.empty(); name = outer_of(name)) {
    Nest& nest = nests_[name];
    nest.failed = nest.failed || (has_failed(state) && matters);
    nest.killed = nest.killed || state == StepState::kKilled;
    if (--nest.unsettled > 0 || nest.run_id.empty()) continue;
    const auto status = nest.failed   ? tracking::RunStatus::kFailed
                        : nest.killed ? tracking::RunStatus::kKilled
                                      : tracking::RunStatus::kFinished;
    add(tracking::UpdateRun{.run_id = nest.run_id, .status = status, .end_time = now_ms(), .name = {}});
  }
}

std::vector<std::string> Record::open_nests() const {
  std::vector<std::string> runs;
  for (const auto& [name, nest] : nests_)
    if (nest.unsettled > 0 && !nest.run_id.empty()) runs.push_back(nest.run_id);
  return runs;
}

Result<tracking::Run> Record::make_step_run(size_t index) {
  const auto& step = plan_.steps[index];
  std::vector<KeyValue> tags = tags_of(step.project->folder);
  tags.emplace_back("mlflow.project.entryPoint", step.entry->name);
  tags.emplace_back("tidemill.step", step.name);
  if (mirror_) tags.emplace_back(kLogsToTag, mirror_->server());
  if (auto found = options_.environments.find(step.project->folder); found != options_.environments.end()) {
    tags.emplace_back("mlflow.project.env", to_string(found->second.manager));
    if (const auto& container = found->second.container) {
      tags.emplace_back("mlflow.docker.image.uri", container->image_name);
      tags.emplace_back("mlflow.docker.image.id", container->image);
    }
  }
  if (!step.group.empty()) tags.emplace_back("tidemill.foreach", step.group);
  const std::string parent = is_pipeline() ? TRY(parent_of(step.within)) : options_.parent_run;
  if (!parent.empty()) tags.emplace_back("mlflow.parentRunId", parent);
  if (!step.within.empty()) tags.emplace_back(kPartOfTag, run_id_);
  return make_run(is_pipeline() ? step.name : options_.run_name, std::move(tags));
}

Result<StepRun> Record::begin_step(size_t index, const Decision& decision, int attempt) {
  auto run = TRY(make_step_run(index));
  if (is_pipeline()) run.tags.emplace_back("tidemill.reason", decision.reason);
  if (attempt > 1) run.tags.emplace_back("tidemill.attempt", std::to_string(attempt));
  fs::path folder = TRY(folder_of(run));
  StepRun made{run.info.id, std::move(folder), attempt};
  if (!is_pipeline()) {
    run_id_ = made.id;
    artifacts_ = made.artifacts;
    tell(started_event(run.info.name, plan_.step_names()));
  }
  add(tracking::NewRun{std::move(run)});
  set_state(index, StepState::kRunning, made, decision);
  return made;
}

// Whether a result is accepted is told by the run that reuses it, and another server shows nothing but runs.
bool Record::needs_own_run(const pipeline::PlannedStep& step) const {
  return plan_.steps.size() < options_.many_steps || options_.tracking_server || step.settings->gate ||
         !step.settings->validate.empty();
}

Result<std::string> Record::reuse_step(size_t index, const Decision& decision) {
  if (!needs_own_run(plan_.steps[index])) return decision.result.run_id;
  auto run = TRY(make_step_run(index));
  std::string id = run.info.id;
  run.tags.emplace_back("tidemill.reason", decision.reason);
  run.tags.emplace_back("tidemill.reused_run", decision.result.run_id);
  run.info.artifact_uri = decision.result.artifact_uri;
  run.info.status = tracking::RunStatus::kFinished;
  run.info.end_time = run.info.start_time;
  add(tracking::NewRun{std::move(run), decision.result.run_id});
  return id;
}

void Record::set_state(size_t step, StepState state, const StepRun& run, const Decision& decision) {
  if (!is_pipeline()) return;
  const std::string& name = plan_.steps[step].name;
  add(tracking::StepRecord{.run_id = run_id_,
                           .step = name,
                           .state = std::string(to_string(state)),
                           .attempt = run.attempt,
                           .step_run = run.id,
                           .key = decision.identity,
                           .reason = decision.reason});
  if (!decision.key.empty() && (state == StepState::kRunning || state == StepState::kReused))
    add(tracking::StepKey{.pipeline = plan_.name,
                          .step = name,
                          .key = decision.key,
                          .ingredients = pipeline::ingredients_to_json(decision.ingredients),
                          .step_run = run.id});
}

Result<> Record::open_mirror(const std::string& experiment) {
  if (options_.tracking_server)
    mirror_ = TRY(Mirror::open(*options_.tracking_server, store_, options_.artifact_root, experiment));
  return {};
}

Result<> Record::drop_needless_mirror(const std::string& run) {
  if (!mirror_ || mirror_is_needed_) return {};
  mirror_is_needed_ = !TRY(mirror_->is_of_this_store(run));
  if (!mirror_is_needed_) mirror_.reset();
  return {};
}

Result<std::string> Record::id_for_steps(const std::string& run_id) {
  return mirror_ ? mirror_->id_of(run_id) : Result<std::string>(run_id);
}

Result<> Record::commit() {
  TRY(store_.apply(changes_));
  if (!run_id_.empty()) TRY(drop_needless_mirror(run_id_));
  if (mirror_) mirror_->follow(changes_);
  changes_.clear();
  for (const Event& event : std::exchange(events_, {})) listener_(event);
  return {};
}

}  // namespace tidemill::engine
