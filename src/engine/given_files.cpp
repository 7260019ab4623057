#include "engine/given_files.h"

#include <algorithm>
#include <set>

namespace tidemill::engine {
namespace {

std::set<size_t> steps_given(const pipeline::Plan& plan, const pipeline::PlannedStep& step) {
  std::set<size_t> given;
  auto add = [&](const config::Template& value) {
    for (const auto& reference : value.references())
      if (reference[0] == "steps" && reference[2] == "artifacts")
        for (size_t other : plan.instances(reference[1])) given.insert(other);
  };
  for (const auto& argument : step.arguments) add(argument.value);
  for (const auto& input : step.settings->inputs) add(input);
  for (const auto& variable : step.settings->environment)
    if (variable.value) add(*variable.value);
  return given;
}

}  // namespace

Result<GivenFiles> look_at_given(const pipeline::Plan& plan, size_t step, const StepCache& cache,
                                 tracking::Store& store, const FileHashes& hashes) {
  GivenFiles given;
  for (size_t other : steps_given(plan, plan.steps[step])) {
    const auto& known = cache.known(other);
    if (!known) continue;
    const FileTree now = TRY(hashes.tree(known->artifacts));
    if (now.digest == known->outputs) continue;
    for (const auto& [path, what] : differences(TRY(store.artifacts(known->run_id)), now.files)) {
      const std::string name = fmt::format("{} of step {}", path, plan.steps[other].name);
      if (what == Difference::What::kAdded)
        given.added.push_back(name);
      else
        given.changed.push_back(fmt::format("{}: {}", name, to_string(what)));
    }
  }
  return given;
}

}  // namespace tidemill::engine
