#include <unistd.h>

#include <cstdlib>
#include <set>

#include "api/endpoint.h"
#include "base/log.h"
#include "base/text.h"
#include "cli/backend.h"
#include "cli/caller.h"
#include "cli/commands.h"
#include "cli/format.h"
#include "cli/remote.h"
#include "cli/run_options.h"
#include "cli/run_printer.h"
#include "cli/run_summary.h"
#include "config/mlproject.h"
#include "config/pipeline_file.h"
#include "config/resources.h"
#include "engine/earlier.h"
#include "engine/engine.h"
#include "engine/git.h"
#include "engine/inputs.h"
#include "engine/step_check.h"
#include "pipeline/plan.h"
#include "pipeline/resolve.h"
#include "pipeline/selection.h"
#include "projects/environment.h"
#include "projects/source.h"
#include "sys/terminal.h"

#include <CLI/CLI.hpp>

namespace tidemill::cli {
namespace {

enum class Kind { kPipeline, kProject };
struct Work {
  Kind kind;
  pipeline::Plan plan;
  std::set<std::string> again, before;  // of pipeline::Selected
};

// A folder below that holds one, as it is named behind "#"; "" for none.
std::string project_below(const fs::path& folder) {
  std::vector<std::string> found;
  std::error_code ignored;
  for (fs::recursive_directory_iterator at(folder, ignored), end; at != end; at.increment(ignored)) {
    if (at.depth() >= 2) at.disable_recursion_pending();
    const std::string name = to_lower(at->path().filename().string());
    if (name == "mlproject" || name == "pipeline.yaml" || name == "pipeline.yml")
      found.push_back(at->path().parent_path().lexically_relative(folder).string());
  }
  return found.empty() ? "" : *std::ranges::min_element(found);
}

tl::unexpected<Error> has_no_project(const RunOptions& options) {
  const std::string below = project_below(options.target);
  const bool is_subdir = options.uri.find('#') != std::string::npos;
  return fail(Code::kInvalid, "{} has neither a pipeline.yaml nor an MLproject{}", options.uri,
              below.empty() ? ""
                            : fmt::format("; its folder {} has: tidemill run {}{}{}", below, options.uri,
                                          is_subdir ? "/" : "#", below));
}

Result<Work> load_work(const RunOptions& options) {
  std::error_code ignored;
  auto arguments = TRY(read_params(options.params));
  auto file = pipeline_file(options.target);
  if (file && options.entry_point.empty()) {
    auto pipeline = TRY(config::load_pipeline(*file));
    if (!options.pipeline_name.empty()) pipeline.name = options.pipeline_name;
    auto plan = TRY(pipeline::make_plan(std::move(pipeline), arguments));
    auto selected = TRY(pipeline::select(std::move(plan), options.selection));
    return Work{Kind::kPipeline, std::move(selected.plan), std::move(selected.again),
                std::move(selected.before)};
  }
  if (!options.selection.is_all())
    return fail(Code::kInvalid, "--step and --from choose steps of a pipeline, and {} is a project",
                options.target.string());
  if (!fs::is_directory(options.target, ignored))
    return fail(Code::kInvalid, "{} is a file: -e needs the folder of an MLproject", options.target.string());
  auto project = TRY(config::load_project(options.target));
  if (project.file.empty() && options.entry_point.empty()) return has_no_project(options);
  auto entry = TRY(config::entry_point(project, options.entry_point.empty() ? "main" : options.entry_point));
  return Work{Kind::kProject, pipeline::plan_of_project(project, entry, arguments), {}, {}};
}

// Before the store is opened, so that a mistake does not even leave an empty one.
Result<> check_steps(const pipeline::Plan& plan) {
  for (const auto& step : plan.steps) {
    TRY(engine::check_step(plan, step));
    TRY(engine::check_here(plan, step, {}));
  }
  return {};
}

// A project's paths are there, or never will be: no other step makes them.
Result<> check_paths(const pipeline::PlannedStep& project) {
  config::Arguments given = TRY(pipeline::resolve({}, project, {}, {}));
  given = TRY(config::complete_arguments(*project.entry, given));
  return config::with_absolute_paths(*project.entry, std::move(given), fs::current_path())
      .map([](const config::Arguments&) {});
}

Result<engine::CachePolicy> cache_policy(const Work& work, const RunOptions& options) {
  const pipeline::Plan& plan = work.plan;
  engine::CachePolicy policy;
  for (const auto& name : work.again)
    policy.forced.emplace(name, "asked for with --from " + options.selection.from);
  for (const auto& name : options.forced_steps) {
    auto steps = plan.instances(name);
    if (steps.empty())
      return fail(Code::kInvalid, "--force-step: there is no step '{}'{}", name,
                  did_you_mean(name, plan.names()));
    for (size_t step : steps) {
      if (plan.steps[step].settings->cache == config::Caching::kFrozen)
        return fail(Code::kInvalid, "--force-step: step '{}' is frozen ({}), and is not run again",
                    plan.steps[step].name, plan.steps[step].settings->cache_place.to_string());
      policy.forced.emplace(plan.steps[step].name, "asked for with --force-step");
    }
  }
  if (options.force)
    for (const auto& step : plan.steps) policy.forced.emplace(step.name, "asked for with --force");
  if (options.no_cache == "read" || options.no_cache == "both") policy.read = engine::CachePolicy::Use::kNo;
  if (options.no_cache == "write" || options.no_cache == "both") policy.write = engine::CachePolicy::Use::kNo;
  return policy;
}

// What a run that goes on is to do beside what is left.
Result<> continue_as_asked(const Work& work, const RunOptions& options, engine::Options& how) {
  auto continued = TRY(pipeline::continue_with(work.plan, options.continuation));
  const std::string& only = options.continuation.only;
  const std::string reason =
      only.empty() ? "asked for with --from " + options.continuation.from : "asked for with --only " + only;
  for (const auto& name : continued.again) how.cache.forced.insert_or_assign(name, reason);
  how.resume = {.done = options.as_recorded ? engine::ResumePolicy::Recorded::kAnyway
                                            : engine::ResumePolicy::Recorded::kIfUnchanged,
                .again = std::move(continued.again),
                .stand = std::move(continued.stand),
                .left = std::move(continued.left),
                .is_whole = only.empty()};
  return {};
}

// With --from, what comes before must be there already.
Result<> check_before(const std::vector<engine::Foreseen>& foreseen, const Work& work,
                      const RunOptions& options) {
  for (const auto& step : foreseen)
    if (work.before.count(step.step) > 0 && step.what != engine::Foreseen::What::kReuse)
      return fail(Code::kInvalid,
                  "--from {}: step '{}' comes before it and would have to run too ({}); start from that one, "
                  "or without --from",
                  options.selection.from, step.step, step.reason);
  return {};
}

// What would happen; the store may be one that does not exist yet.
Result<std::vector<engine::Foreseen>> foresee(const Context& context, const Work& work,
                                              const RunOptions& options) {
  auto store = context.open_store();
  if (!store && store.error().code != Code::kNotFound) return tl::unexpected<Error>(store.error());
  engine::Options how = TRY(context.engine_options());
  TRY(add_environments(work.plan, options.environments, Environments::kFound, how));
  how.cache = TRY(cache_policy(work, options));
  if (work.kind == Kind::kProject) how.cache.read = engine::CachePolicy::Use::kNo;
  auto foreseen = TRY(engine::foresee(work.plan, store ? &*store : nullptr, how));
  TRY(check_before(foreseen, work, options));
  return foreseen;
}

std::string needs_of(const pipeline::Plan& plan, const pipeline::PlannedStep& step) {
  std::vector<std::string> names;
  for (size_t need : step.needs) names.push_back(plan.steps[need].name);
  return join(names, ", ");
}

Json plan_json(const pipeline::Plan& plan, const std::vector<engine::Foreseen>& foreseen) {
  Json steps = Json::array();
  for (size_t i = 0; i < plan.steps.size(); ++i) {
    Json step = to_json(plan, plan.steps[i]);
    step["would"] = engine::to_string(foreseen[i].what);
    step["reason"] = foreseen[i].reason;
    steps.push_back(std::move(step));
  }
  Json params = Json::object();
  for (const auto& [name, value] : plan.params) params[name] = value;
  return {{"name", plan.name}, {"experiment", plan.experiment}, {"params", params}, {"steps", steps}};
}

Result<int> show_plan(const Context& context, const Work& work, const RunOptions& options) {
  const pipeline::Plan& plan = work.plan;
  auto foreseen = TRY(foresee(context, work, options));
  if (context.json) {
    TRY(print(dump_json(plan_json(plan, foreseen), 2) + "\n"));
    return 0;
  }
  Table table({"STEP", "NEEDS", "ENTRY POINT", "WOULD", "BECAUSE"});
  for (size_t i = 0; i < plan.steps.size(); ++i)
    table.add({plan.steps[i].name, needs_of(plan, plan.steps[i]), plan.steps[i].entry->name,
               std::string(engine::to_string(foreseen[i].what)), foreseen[i].reason});
  TRY(print(table.to_string()));
  return 0;
}

int exit_status(tracking::RunStatus status) {
  if (status == tracking::RunStatus::kFinished) return 0;
  return status == tracking::RunStatus::kKilled ? exit_code(Code::kCancelled) : 1;
}

// On the port of the earlier run, if it is free: steps that outlived their runner log there.
Result<api::Endpoint> start_endpoint(tracking::Store& store, const fs::path& artifact_root, uint16_t port) {
  api::EndpointOptions options{.port = port,
                               .artifacts_destination = artifact_root.string(),
                               .readable_roots = {artifact_root.string()}};
  auto endpoint = api::Endpoint::start(store, options);
  if (endpoint || port == 0) return endpoint;
  log_warning("port {} is taken: steps that have gone on without their runner cannot log there", port);
  options.port = 0;
  return api::Endpoint::start(store, options);
}

Result<engine::Outcome> execute(const RunOptions& options, const Work& work, engine::Options how,
                                tracking::Store& store, const engine::Listener& listener,
                                const std::optional<EarlierRun>& earlier) {
  std::optional<api::Endpoint> endpoint;
  if (how.tracking_server) {
    how.tracking_uri = options.tracking_uri;
  } else {
    endpoint.emplace(TRY(start_endpoint(store, how.artifact_root, earlier ? earlier->port : 0)));
    how.tracking_uri = endpoint->url();
    how.extra_env[kEndpointVariable] = how.tracking_uri;
  }
  how.experiment = options.experiment;
  how.run_name = options.run_name;
  how.max_parallel = options.max_parallel;
  how.source_uri = options.source.uri;
  how.source_branch = options.source.branch;
  how.tags = options.tags;
  how.registers = options.registers;
  how.cache = TRY(cache_policy(work, options));
  how.shared_cache = options.cache_from;
  how.after_failure = options.after_failure.policy();
  if (work.kind == Kind::kProject) return engine::execute_project(work.plan, store, how, listener);
  if (earlier) TRY(continue_as_asked(work, options, how));
  how.request = to_request(options, endpoint ? endpoint->port() : 0);
  return earlier ? engine::resume(earlier->run_id, work.plan, store, how, listener)
                 : engine::execute(work.plan, store, how, listener);
}

// The steps of a run that was recorded as a whole, as if each had been told of.
std::string steps_json(tracking::Store& store, const std::string& run_id) {
  std::string lines;
  auto records = store.step_records(run_id);
  if (!records) return lines;
  for (auto& record : *records)
    lines += event_json(engine::StepFinished{.step = std::move(record.step),
                                             .run_id = record.step_run,
                                             .state = engine::StepState::kReused,
                                             .attempt = record.attempt,
                                             .reason = std::move(record.reason),
                                             .reused_run = record.step_run,
                                             .command = {},
                                             .log = {},
                                             .last_lines = {}}) +
             "\n";
  return lines;
}

// Shows what happens: on a terminal, or as lines of JSON.
class Teller {
 public:
  Teller(const Context& context, const RunOptions& options, tracking::Store& store, fs::path attempts)
      : store_(store) {
    if (context.json) return;
    const bool live = !options.plain && is_terminal(STDERR_FILENO);
    printer_.emplace(live ? RunPrinter::Look::kLive : RunPrinter::Look::kPlain, std::move(attempts));
  }

  engine::Listener listener() {
    return [this](const engine::Event& event) {
      if (printer_) return printer_->on(event);
      if (!told_) return;
      std::string lines = event_json(event) + "\n";
      if (const auto* reused = std::get_if<engine::AllReused>(&event))
        lines += steps_json(store_, reused->run_id);
      told_ = print(lines);
    };
  }
  // An error: not all has been told. The run has gone on to its end.
  Result<> end() {
    printer_.reset();
    return told_;
  }

 private:
  tracking::Store& store_;
  std::optional<RunPrinter> printer_;
  Result<> told_;
};

// What the pipeline's steps follow from, beside files.
void describe_start(const RunOptions& options, engine::Options& how) {
  auto file = options.entry_point.empty() ? pipeline_file(options.target) : std::nullopt;
  std::error_code ignored;
  if (!file || how.tracking_server) return;
  how.start_file = fs::absolute(*file, ignored).lexically_normal().string();
  how.start = to_request(options, 0);
}

// A run in which nothing can have changed, without reading the pipeline. nullopt: it has to be read.
Result<std::optional<int>> run_unchanged(const Context& context, RunOptions& options) {
  if (!options.tracking_uri.empty()) return std::nullopt;  // recorded elsewhere, step by step
  engine::Options how = TRY(context.engine_options());
  describe_start(options, how);
  if (!engine::has_footing(how)) return std::nullopt;
  auto store = context.open_store(Create::no, Places::kFolders);
  if (!store) return std::nullopt;
  options.experiment = TRY(experiment_of(*store, options, std::nullopt));
  describe_start(options, how);
  how.experiment = options.experiment;
  how.parent_run = TRY(calling_run(*store, false));
  how.run_name = options.run_name;
  how.source_uri = options.source.uri;
  how.tags = options.tags;
  how.request = how.start;
  Teller teller(context, options, *store, engine::attempts_folder(how.state_dir));
  auto outcome = TRY(engine::execute_unchanged(*store, how, teller.listener()));
  if (!outcome) return std::nullopt;
  TRY(teller.end());
  if (!context.json) TRY(print_summary(*store, {}, *outcome, Resumable::kYes, context));
  return exit_status(outcome->status);
}

}  // namespace

Result<int> run(const Context& context, RunOptions& options, const std::optional<EarlierRun>& earlier) {
  if (!options.cache_quota.empty()) TRY_IN("--cache-quota", config::parse_size(options.cache_quota));
  TRY(apply_backend(options));
  options.source = TRY(projects::fetch(options.uri, options.version));
  options.target = options.source.folder;
  if (!earlier && !options.dry_run)
    if (auto done = TRY(run_unchanged(context, options))) return *done;
  Work work = TRY(load_work(options));
  TRY(engine::fetch_inputs(work.plan, TRY(context.engine_options()), options.storage_dir));
  TRY(check_steps(work.plan));
  if (work.kind == Kind::kProject) TRY(check_paths(work.plan.steps[0]));
  TRY(cache_policy(work, options));
  if (options.dry_run) return show_plan(context, work, options);
  if (!work.before.empty() && !earlier) TRY(foresee(context, work, options));
  engine::Options how = TRY(context.engine_options());
  // Before anything is recorded: one that cannot be made leaves no run behind.
  TRY(add_environments(work.plan, options.environments, Environments::kMade, how));
  how.extra_env.merge(TRY(variables_for_steps(context)));
  auto store = TRY(context.open_store(Create::yes, Places::kFolders));
  how.tracking_server = TRY(tracking_server(context, store, options.tracking_uri));
  if (!earlier) {
    options.experiment = TRY(experiment_of(store, options, how.tracking_server));
    how.parent_run = TRY(calling_run(store, how.tracking_server.has_value()));
  }
  describe_start(options, how);
  Teller teller(context, options, store, engine::attempts_folder(how.state_dir));
  auto outcome = TRY(execute(options, work, std::move(how), store, teller.listener(), earlier));
  auto told = teller.end();
  const auto resumable = work.kind == Kind::kPipeline ? Resumable::kYes : Resumable::kNo;
  if (!context.json) TRY(print_summary(store, work.plan, outcome, resumable, context));
  TRY(keep_quota(context, store, options.cache_quota));
  TRY(std::move(told));
  return tell_where(outcome, options.tracking_uri) ? exit_status(outcome.status)
                                                   : std::max(1, exit_status(outcome.status));
}

Result<config::Arguments> read_params(const std::vector<std::string>& texts) {
  config::Arguments arguments;
  for (const auto& text : texts) {
    size_t equals = text.find('=');
    if (equals == std::string::npos || equals == 0)
      return fail(Code::kInvalid, "Invalid format for -P parameter: '{}'. Use -P name=value.", text);
    std::string name = text.substr(0, equals);
    for (const auto& [given, value] : arguments)
      if (given == name) return fail(Code::kInvalid, "Repeated parameter: '{}'", name);
    arguments.emplace_back(std::move(name), text.substr(equals + 1));
  }
  return arguments;
}

Result<> add_environments(const pipeline::Plan& plan, const EnvironmentOptions& options, Environments which,
                          engine::Options& how) {
  const auto wanted =
      options.manager.empty() ? projects::Manager::kDeclared : TRY(projects::parse_manager(options.manager));
  projects::ContainerWishes wishes{TRY(container_arguments(options.docker_args)), options.build_image, ""};
  bool contained = false;
  for (const auto& step : plan.steps) {
    if (how.environments.count(step.project->folder) > 0) continue;
    if (options.build_image)
      if (auto git = engine::git_state(step.project->folder)) wishes.version = git->commit.substr(0, 7);
    auto environment =
        TRY(which == Environments::kFound ? projects::find_environment(*step.project, wanted, wishes)
                                          : projects::make_environment(*step.project, wanted, wishes));
    contained = contained || environment.container;
    if (environment.manager != projects::Manager::kLocal)
      how.environments.emplace(step.project->folder, std::move(environment));
  }
  if (!contained && (!options.docker_args.empty() || options.build_image))
    log_warning("{} is not used: no step runs in a container",
                options.build_image ? "--build-image" : "--docker-args");
  // A `tidemill run` within a step does as its parent.
  if (!options.manager.empty()) how.extra_env["TIDEMILL_ENV_MANAGER"] = options.manager;
  return {};
}

std::optional<fs::path> pipeline_file(const fs::path& target) {
  std::error_code ignored;
  if (fs::is_regular_file(target, ignored)) return target;
  for (const char* name : {"pipeline.yaml", "pipeline.yml"})
    if (fs::is_regular_file(target / name, ignored)) return target / name;
  return std::nullopt;
}

void add_run(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("run", "Run a pipeline, or a single MLflow Project");
  auto options = std::make_shared<RunOptions>();
  command
      ->add_option(
          "URI", options->uri,
          "A pipeline.yaml, or what holds a pipeline.yaml or an MLproject: a folder, a .zip file or its "
          "URL, a git repository; #SUBDIR names a folder within")
      ->required();
  command->add_option("-v,--version", options->version, "A git commit, branch or tag");
  command->add_option("-P,--param-list", options->params, "A parameter, NAME=VALUE; repeatable")
      ->allow_extra_args(false);
  command->add_option("-e,--entry-point", options->entry_point, "Of an MLproject (default: main)");
  CLI::Option* experiment = command->add_option("--experiment-name", options->experiment,
                                                "Record under this experiment (also MLFLOW_EXPERIMENT_NAME)");
  command
      ->add_option("--experiment-id", options->experiment_id,
                   "The same by its id (also MLFLOW_EXPERIMENT_ID)")
      ->excludes(experiment);
  command->add_option("--run-name", options->run_name, "Name of the run");
  command
      ->add_option(
          "--env-manager", options->environments.manager,
          "Who makes the environments that projects ask for: virtualenv (for python_env), conda (for "
          "conda_env), uv; local: use what is installed on this machine")
      ->envname("TIDEMILL_ENV_MANAGER")
      ->check(CLI::IsMember({"local", "virtualenv", "uv", "conda"}));
  command
      ->add_option(
          "-A,--docker-args", options->environments.docker_args,
          "For the containers of docker_env: NAME=VALUE or NAME, as --NAME VALUE of docker or podman; "
          "repeatable")
      ->allow_extra_args(false);
  command->add_flag("--build-image", options->environments.build_image,
                    "Run docker_env projects in an image with the project's folder in it");
  command->add_option("-b,--backend", options->backend, "Where steps run: local, on this machine")
      ->capture_default_str();
  command->add_option("-c,--backend-config", options->backend_config,
                      "Of the backend: a .json file, or JSON with ENV_MANAGER, STORAGE_DIR, DOCKER_ARGS, "
                      "BUILD_IMAGE");
  command
      ->add_option(
          "--storage-dir", options->storage_dir,
          "Where the files of `path` parameters that are URIs are put (default: they are kept beside "
          "the store)")
      ->envname("MLFLOW_TMP_DIR");
  command
      ->add_option("--max-parallel", options->max_parallel,
                   "Steps at a time (default: the pipeline's, or one a core)")
      ->check(CLI::Range(1, 1024));
  command->add_flag("-n,--dry-run", options->dry_run, "Only check, and show what would run and why");
  command->add_option("--step", options->selection.steps, "Only this step and what it needs; repeatable")
      ->allow_extra_args(false);
  command->add_option("--from", options->selection.from,
                      "This step and all that come after it, in any case; what comes before must have run");
  command->add_flag("-f,--force", options->force, "Run every step, also when nothing has changed");
  command->add_option("--force-step", options->forced_steps, "Run this step in any case; repeatable")
      ->allow_extra_args(false);
  add_after_failure(*command, options->after_failure);
  command
      ->add_option(
          "--cache-from", options->cache_from,
          "Results are shared with others at this place, a folder or s3://bucket/prefix: those found there "
          "are reused, new ones are added")
      ->envname("TIDEMILL_SHARED_CACHE");
  command
      ->add_option("--cache-quota", options->cache_quota,
                   "After the run, remove results that nothing needs until all take no more than this: 20GB")
      ->envname("TIDEMILL_CACHE_QUOTA");
  command
      ->add_flag("--no-cache{both}", options->no_cache,
                 "Neither reuse earlier results nor keep these; --no-cache=read: do not reuse, but keep; "
                 "--no-cache=write: reuse, but do not keep")
      ->check(CLI::IsMember({"both", "read", "write"}));
  command->add_flag("--plain", options->plain, "Plain lines, also on a terminal");
  add_common_options(*command, context);
  command->footer(
      "Examples:\n"
      "  tidemill run examples/cifar10 -P epochs=2 -P batch_size=64\n"
      "  tidemill run examples/cifar10 --dry-run\n"
      "  tidemill run examples/cifar10 --force-step train\n"
      "  tidemill run examples/cifar10 --step train       only it and what it needs\n"
      "  tidemill run examples/cifar10 --from build       it and what comes after it\n"
      "  tidemill run examples/cifar10/train -P data=/data/cifar10\n"
      "  tidemill run https://git.example.com/team/models.git#churn -v v1.4 -P alpha=0.5\n"
      "  tidemill run project --env-manager uv\n"
      "  MLFLOW_TRACKING_URI=https://mlflow.example.org tidemill run examples/tabular   recorded there too");
  command->callback([&context, options] {
    context.action = [&context, options] { return run(context, *options, std::nullopt); };
  });
}

}  // namespace tidemill::cli
