#include "pipeline/selection.h"

#include <algorithm>

#include "base/text.h"

namespace tidemill::pipeline {
namespace {

using Marks = std::vector<bool>;  // of each step of the plan

Result<std::vector<size_t>> find_steps(const Plan& plan, const std::string& name, std::string_view option) {
  auto found = plan.instances(name);
  if (!found.empty()) return found;
  return fail(Code::kInvalid, "{}: there is no step '{}'{}", option, name, did_you_mean(name, plan.names()));
}

// Adds all that the marked steps need; needs stand before their step.
void add_needs(const Plan& plan, Marks& marks) {
  for (size_t i = plan.steps.size(); i-- > 0;)
    if (marks[i])
      for (size_t need : plan.steps[i].needs) marks[need] = true;
}

// Adds all that needs a marked step.
void add_dependents(const Plan& plan, Marks& marks) {
  for (size_t i = 0; i < plan.steps.size(); ++i)
    for (size_t need : plan.steps[i].needs)
      if (marks[need]) marks[i] = true;
}

Plan part_of(Plan plan, const Marks& kept) {
  auto steps = std::exchange(plan.steps, {});
  auto groups = std::exchange(plan.groups, {});
  plan.positions.clear();
  std::vector<size_t> position(steps.size());
  for (size_t i = 0; i < steps.size(); ++i) {
    if (!kept[i]) continue;
    position[i] = plan.steps.size();
    PlannedStep& step = steps[i];
    for (size_t& need : step.needs) need = position[need];
    for (size_t& need : step.tolerated) need = position[need];
    plan.positions.emplace(step.name, plan.steps.size());
    plan.steps.push_back(std::move(step));
  }
  for (const auto& [name, members] : groups)
    for (size_t step : members)
      if (kept[step]) plan.groups[name].push_back(position[step]);
  return plan;
}

}  // namespace

Result<Selected> select(Plan plan, const Selection& selection) {
  if (selection.is_all()) return Selected{.plan = std::move(plan), .again = {}, .before = {}};
  Marks wanted(plan.steps.size(), selection.steps.empty());
  for (const auto& name : selection.steps)
    for (size_t step : TRY(find_steps(plan, name, "--step"))) wanted[step] = true;
  add_needs(plan, wanted);
  Selected selected;
  if (!selection.from.empty()) {
    Marks after(plan.steps.size(), false);
    for (size_t step : TRY(find_steps(plan, selection.from, "--from"))) after[step] = true;
    add_dependents(plan, after);
    for (size_t i = 0; i < wanted.size(); ++i)
      wanted[i] = wanted[i] && after[i] && plan.steps[i].phase == config::Phase::kMain;
    if (std::find(wanted.begin(), wanted.end(), true) == wanted.end())
      return fail(Code::kInvalid, "{} does not need '{}': nothing lies between --from and --step",
                  join(selection.steps, ", "), selection.from);
    Marks again = wanted;
    add_needs(plan, wanted);
    for (size_t i = 0; i < wanted.size(); ++i)
      if (wanted[i]) (again[i] ? selected.again : selected.before).insert(plan.steps[i].name);
  }
  selected.plan = part_of(std::move(plan), wanted);
  return selected;
}

Result<Continued> continue_with(const Plan& plan, const Continuation& wanted) {
  Marks again(plan.steps.size(), false), skipped = again, needed = again;
  for (const auto& name : wanted.skip)
    for (size_t step : TRY(find_steps(plan, name, "--skip"))) skipped[step] = true;
  if (!wanted.only.empty()) {
    for (size_t step : TRY(find_steps(plan, wanted.only, "--only"))) again[step] = true;
    needed = again;
    add_needs(plan, needed);
    for (size_t i = 0; i < skipped.size(); ++i) skipped[i] = !again[i];
  } else {
    if (!wanted.from.empty()) {
      for (size_t step : TRY(find_steps(plan, wanted.from, "--from"))) again[step] = true;
      add_dependents(plan, again);
    }
    for (size_t i = 0; i < plan.steps.size(); ++i)
      for (size_t need : plan.steps[i].needs)
        if (!skipped[i] && !plan.steps[i].tolerates(need)) needed[need] = true;
  }
  Continued continued;
  for (size_t i = 0; i < plan.steps.size(); ++i) {
    const bool runs =
        !skipped[i] && again[i] && (plan.steps[i].phase == config::Phase::kMain || !wanted.only.empty());
    if (runs) continued.again.insert(plan.steps[i].name);
    if (skipped[i]) (needed[i] ? continued.stand : continued.left).insert(plan.steps[i].name);
  }
  return continued;
}

}  // namespace tidemill::pipeline
