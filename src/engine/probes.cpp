#include "engine/probes.h"

#include <atomic>
#include <thread>

#include "base/hash.h"
#include "base/text.h"
#include "engine/inheritance.h"
#include "engine/secrets.h"
#include "engine/step_check.h"
#include "pipeline/key.h"
#include "pipeline/resolve.h"
#include "sys/mask.h"
#include "sys/process.h"

namespace tidemill::engine {
namespace {

using pipeline::PlannedStep;

constexpr std::chrono::minutes kPatience{1};
constexpr size_t kMostBytes = 1 << 20, kMostKept = 4'000, kMostAtATime = 8;

struct Run {
  ProcessOptions process;
  std::vector<std::string> secrets;
  std::string step;
  config::Place place;
  std::vector<size_t> steps;  // of the plan, that want its answer
  Result<std::string> answer;
};

// The command with those of the step's parameters that are known by now.
Result<std::string> command_of(const pipeline::Plan& plan, const PlannedStep& step) {
  PlannedStep known = step;
  std::erase_if(known.arguments, [&](const auto& argument) { return !is_known(plan, argument.value); });
  config::EntryPoint entry = *step.entry;
  entry.command = step.settings->probe->command;
  entry.place = step.settings->probe->place;
  config::Arguments given = TRY(pipeline::resolve(plan, known, {}, {}));
  std::vector<std::string> later;
  std::erase_if(entry.parameters, [&](const auto& parameter) {
    const bool is_there =
        parameter.default_value ||
        std::any_of(given.begin(), given.end(), [&](const auto& one) { return one.first == parameter.name; });
    if (!is_there) later.push_back(parameter.name);
    return !is_there;
  });
  given = TRY(config::complete_arguments(entry, given));
  given = TRY(config::with_absolute_paths(entry, std::move(given), *step.folder));
  auto command = config::command_line(entry, given);
  if (command || later.empty()) return command;
  return config::fail_at(entry.place,
                         "the probe of step '{}' is run before all steps: {} of it {} not known then",
                         step.name, join(later, ", "), later.size() == 1 ? "is" : "are");
}

Result<Run> prepare(const pipeline::Plan& plan, const PlannedStep& step, const Options& options) {
  // A part that fails is a failure: what it has printed before would be taken for an answer.
  Run run{.process = {.argv = {"bash", "-o", "pipefail", "-c", TRY(command_of(plan, step))},
                      .working_dir = step.project->folder},
          .step = step.name,
          .place = step.settings->probe->place,
          .answer = std::string()};
  auto& env = run.process.extra_env;
  env = options.extra_env;
  for (const auto& variable : step.settings->environment)
    if (variable.value && is_known(plan, *variable.value))
      env[variable.name] = TRY(pipeline::resolve(plan, *variable.value, {}, {}));
  for (const auto& secret : step.secrets) {
    run.secrets.push_back(TRY(read_secret(secret, plan.folder)));
    env[secret.name] = run.secrets.back();
  }
  run.process.unset_env = hidden_variables(plan, step, env);
  return run;
}

Result<std::string> ask(const Run& run) {
  auto ended = run_command(run.process, kPatience, kMostBytes);
  const auto failed = [&](Code code, const std::string& why) {
    return tl::unexpected<Error>(
        Error{code, fmt::format("the probe of step '{}' {}", run.step, masked(why, run.secrets))}.in(
            run.place.to_string()));
  };
  if (!ended && ended.error().code == Code::kTimeout)
    return failed(Code::kTimeout,
                  fmt::format("did not end within {} s", std::chrono::seconds(kPatience).count()));
  if (!ended) return failed(ended.error().code, "could not be started: " + ended.error().message);
  if (!ended->exit.ok()) {
    const std::string errors(trim(ended->errors.substr(0, kMostKept)));
    return failed(Code::kUnavailable, fmt::format("has failed ({}){}{}", ended->exit.describe(),
                                                  errors.empty() ? "" : ": ", errors));
  }
  if (ended->output.size() == kMostBytes)
    return failed(Code::kInvalid, "prints more than a megabyte; let it print a digest");
  const std::string answer = masked(trim(ended->output), run.secrets);
  return answer.size() <= kMostKept ? answer : pipeline::content_value(sha256_hex(answer));
}

}  // namespace

Result<> run_probes(pipeline::Plan& plan, const Options& options) {
  std::map<std::tuple<fs::path, std::string, std::map<std::string, std::string>>, Run> runs;
  for (size_t i = 0; i < plan.steps.size(); ++i) {
    const PlannedStep& step = plan.steps[i];
    if (!step.settings->probe) continue;
    Run run = TRY(prepare(plan, step, options));
    const std::tuple what(run.process.working_dir, run.process.argv.back(), run.process.extra_env);
    runs.try_emplace(what, std::move(run)).first->second.steps.push_back(i);
  }
  std::vector<Run*> waiting;
  for (auto& [what, run] : runs) waiting.push_back(&run);
  std::atomic<size_t> next = 0;
  {
    std::vector<std::jthread> threads;
    for (size_t i = 0; i < std::min(kMostAtATime, waiting.size()); ++i)
      threads.emplace_back([&] {
        for (size_t at; (at = next.fetch_add(1)) < waiting.size();) waiting[at]->answer = ask(*waiting[at]);
      });
  }
  for (const Run* run : waiting) {
    const std::string answer = TRY(run->answer);
    for (size_t step : run->steps) plan.steps[step].probed = answer;
  }
  return {};
}

}  // namespace tidemill::engine
