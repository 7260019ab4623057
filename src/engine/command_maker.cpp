#include "engine/command_maker.h"

#include <climits>
#include <cstdlib>
#include <set>

#include "base/text.h"
#include "engine/earlier.h"
#include "engine/inheritance.h"
#include "engine/secrets.h"

namespace tidemill::engine {

namespace {

// Linux takes no argument of 128 KiB (MAX_ARG_STRLEN), and a command is one of the shell's.
constexpr size_t kLongestCommand = 120'000;

// A command that does the same.
Result<std::string> in_a_file(const std::string& command, const fs::path& file) {
  TRY(write_file_atomic(file, command + "\n", Durable::no));
  return ". " + shell_quote(file.string());
}

// The machine's own programs and devices are not to hide those of a container.
bool belongs_to_the_system(const fs::path& path) {
  auto part = path.begin();
  if (++part == path.end()) return true;  // "/"
  const std::string top = part->string();
  for (std::string_view name :
       {"", "bin", "boot", "dev", "etc", "lib", "lib64", "proc", "run", "sbin", "sys", "usr"})
    if (top == name) return true;
  return false;
}

std::string container_name(const Attempt& attempt) { return "tidemill-" + attempt.run.id; }

// The values that are absolute paths of something that is there.
std::set<fs::path> paths_in(const config::Arguments& arguments) {
  std::set<fs::path> paths;
  std::error_code ignored;
  for (const auto& [name, value] : arguments)
    if (value.starts_with('/') && value.size() < PATH_MAX && fs::exists(value, ignored))
      paths.insert(fs::path(value).lexically_normal());
  return paths;
}

// Its parameters, but those that say where it is to write something are no paths that have to be there.
config::EntryPoint without_own_places(const pipeline::PlannedStep& step) {
  config::EntryPoint entry = *step.entry;
  for (auto& parameter : entry.parameters)
    for (const auto& argument : step.arguments)
      for (const auto& reference : argument.value.references())
        if (argument.name == parameter.name && reference[0] == "self")
          parameter.type = config::ParameterType::kString;
  return entry;
}

}  // namespace

CommandMaker::CommandMaker(const pipeline::Plan& plan, const Options& options, Record& record,
                           const StepCache& cache)
    : plan_(plan),
      options_(options),
      record_(record),
      cache_(cache),
      states_(plan.steps.size(), StepState::kWaiting),
      to_mask_(texts_to_mask(plan.secrets, plan.folder)) {
  for (const auto& step : plan.steps) uses_gpus_ = uses_gpus_ || step.settings->resources.gpus > 0;
}

void CommandMaker::learn(size_t step, const std::string& own_run) {
  states_[step] = StepState::kFinished;
  if (record_.mirror() != nullptr) own_runs_[step] = own_run;
}

void CommandMaker::note(size_t step, StepState state) { states_[step] = state; }

void CommandMaker::note_run(std::string state, std::string failed) {
  run_state_ = std::move(state);
  failed_steps_ = std::move(failed);
}

Result<pipeline::Truth> CommandMaker::condition(size_t index) const {
  const auto& when = plan_.steps[index].settings->when;
  if (!when) return pipeline::Truth{true, ""};
  return pipeline::evaluate(
      *when, [&](const config::Template& value) { return pipeline::resolve(plan_, value, {}, scope()); });
}

Result<std::string> CommandMaker::value_of(size_t step, const config::Template& value) const {
  return pipeline::resolve(plan_, value, result_of(step), scope());
}

// The run that made a reused result may not be on the tracking server; the step's own, with its data, is.
pipeline::StepResult CommandMaker::result_of(size_t step) const {
  if (states_[step] == StepState::kWaiting) return {};
  if (states_[step] == StepState::kSkipped) return {.state = "skipped"};
  if (!succeeded(states_[step])) return {.state = "failed"};
  const KnownResult& known = *cache_.known(step);
  const auto own = own_runs_.find(step);
  auto there = own != own_runs_.end() ? record_.id_for_steps(own->second) : known.run_id;
  return result_of(step, there.value_or(known.run_id), known.artifacts);
}

pipeline::StepResult CommandMaker::result_of(size_t step, std::string run_id, std::string artifacts) const {
  return {"succeeded", std::move(run_id), std::move(artifacts),
          [this, step](const std::string& key) { return cache_.metric(step, key); }};
}

pipeline::Scope CommandMaker::scope() const {
  return {.run_id = record_.id_for_steps(record_.run_id()).value_or(record_.run_id()),
          .artifacts = record_.artifacts().string(),
          .experiment_id = record_.experiment_id_for_steps(),
          .step = [this](size_t step) { return result_of(step); },
          .state = run_state_,
          .failed = failed_steps_};
}

Result<> CommandMaker::prepare(size_t index, Attempt& attempt) {
  const auto& step = plan_.steps[index];
  attempt.id_for_steps = TRY(record_.id_for_steps(attempt.run.id));
  const pipeline::StepResult self = result_of(index, attempt.id_for_steps, attempt.run.artifacts.string());
  config::Arguments given = TRY(pipeline::resolve(plan_, step, self, scope()));
  config::Arguments complete = TRY(config::complete_arguments(*step.entry, given));
  const config::Arguments located = TRY(config::with_absolute_paths(
      without_own_places(step), complete, record_.is_pipeline() ? *step.folder : fs::current_path()));
  attempt.command = TRY(config::command_line(*step.entry, located));
  if (attempt.command.size() > kLongestCommand)
    attempt.command =
        TRY(in_a_file(attempt.command, command_file(attempt.progress_file.parent_path(), attempt.run.id)));
  attempt.paths = paths_in(located);
  for (const auto& argument : step.arguments)
    for (auto& [name, value] : complete)
      if (name == argument.name && !argument.fetched_from.empty()) value = argument.fetched_from;
  for (const auto& variable : step.settings->environment)
    if (variable.value)
      attempt.variables[variable.name] = TRY(pipeline::resolve(plan_, *variable.value, self, scope()));
  attempt.secrets = to_mask_;
  for (const auto& secret : step.secrets) {
    attempt.secrets.push_back(TRY(read_secret(secret, plan_.folder)));
    attempt.variables[secret.name] = attempt.secrets.back();
  }
  record_.add(tracking::LogBatch{attempt.run.id, {.metrics = {}, .params = std::move(complete), .tags = {}}});
  return {};
}

ProcessOptions CommandMaker::process_of(size_t index, const Attempt& attempt) const {
  const auto& step = plan_.steps[index];
  const char* path = std::getenv("PATH");
  ProcessOptions process{.argv = {"bash", "-c", attempt.command},
                         .working_dir = step.project->folder,
                         .output_file = attempt.log};
  auto& env = process.extra_env;
  env = options_.extra_env;
  for (const auto& [name, value] : attempt.variables) env[name] = value;
  if (uses_gpus_) env["CUDA_VISIBLE_DEVICES"] = join(attempt.grant.gpus, ",");
  env["MLFLOW_TRACKING_URI"] = options_.tracking_uri;
  env["MLFLOW_RUN_ID"] = attempt.id_for_steps;
  env["MLFLOW_EXPERIMENT_ID"] = record_.experiment_id_for_steps();
  // A client takes the name before the id, and refuses to join a run of another experiment.
  if (std::getenv("MLFLOW_EXPERIMENT_NAME") != nullptr)
    env["MLFLOW_EXPERIMENT_NAME"] = record_.experiment_name();
  env["TIDEMILL_RUN_ID"] = attempt.run.id;  // stays when a client has joined the run and forgotten its name
  env["TIDEMILL_STEP"] = step.name;
  env["TIDEMILL_OUTPUT_DIR"] = attempt.run.artifacts.string();
  env["TIDEMILL_PROGRESS_FILE"] = attempt.progress_file.string();
  env["TIDEMILL_CHECKPOINT_DIR"] = attempt.checkpoints.string();  // not that of a step which runs this
  std::string programs = path != nullptr ? path : "/usr/local/bin:/usr/bin:/bin";
  auto put_first = [&](const fs::path& folder) {
    if (!folder.empty()) programs = folder.string() + ":" + programs;
  };
  put_first(options_.program_dir);
  if (auto found = options_.environments.find(step.project->folder); found != options_.environments.end()) {
    const projects::Environment& environment = found->second;
    put_first(environment.programs());
    if (environment.container) {
      process.argv = contained(*environment.container, attempt, process);
      // Where it was started, podman's monitor leaves a file when memory has run out: not among the code.
      if (attempt.resources.memory > 0) process.working_dir = attempt.progress_file.parent_path();
    }
    for (const auto& [name, value] : environment.variables) env[name] = value;
  }
  env["PATH"] = programs;
  // A container gets nothing but what is named; what starts it needs its own.
  process.unset_env =
      container_of(index) != nullptr ? secret_variables(plan_, env) : hidden_variables(plan_, step, env);
  return process;
}

std::vector<std::string> CommandMaker::clean_up_of(size_t index, const Attempt& attempt) const {
  const projects::Container* container = container_of(index);
  if (container == nullptr) return {};
  return projects::removal(*container, container_name(attempt));
}

const projects::Container* CommandMaker::container_of(size_t index) const {
  auto found = options_.environments.find(plan_.steps[index].project->folder);
  const bool is_contained = found != options_.environments.end() && found->second.container;
  return is_contained ? &*found->second.container : nullptr;
}

// The step's files are in the container where they are outside of it, so that paths mean the same.
std::vector<std::string> CommandMaker::contained(const projects::Container& container, const Attempt& attempt,
                                                 const ProcessOptions& process) const {
  const bool holds_code = !container.code.empty();
  projects::ContainedCommand inside{.name = container_name(attempt),
                                    .command = attempt.command,
                                    .folder = holds_code ? container.code : process.working_dir,
                                    .mounts = {attempt.run.artifacts},
                                    .variables = {},
                                    .memory = attempt.resources.memory,
                                    .cpus = attempt.resources.cpus};
  if (!holds_code) inside.mounts.insert(process.working_dir);
  if (!attempt.progress_file.empty()) inside.mounts.insert(attempt.progress_file.parent_path());
  if (!attempt.checkpoints.empty()) inside.mounts.insert(attempt.checkpoints);
  for (const fs::path& path : attempt.paths)
    if (!belongs_to_the_system(path)) inside.mounts.insert(path);
  for (const auto& [name, value] : process.extra_env) inside.variables.push_back(name);
  return projects::command_line(container, inside);
}

}  // namespace tidemill::engine
