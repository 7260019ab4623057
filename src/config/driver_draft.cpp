#include "config/driver_draft.h"

#include <algorithm>

namespace tidemill::config {
namespace {

constexpr size_t kMaxSteps = 1'000;

std::string to_step_name(std::string_view text) {
  std::string name;
  for (unsigned char c : text) name += std::isalnum(c) || c == '_' || c == '-' ? static_cast<char>(c) : '_';
  return name.substr(0, 80);
}

std::string folder_of(std::string project) {
  for (std::string_view prefix : {"${pipeline.folder}/", "./"})
    if (project.starts_with(prefix)) project.erase(0, prefix.size());
  return project == "${pipeline.folder}" || project.empty() ? "." : project;
}

bool refers_to(const DriverStep& step, const std::string& name) {
  for (const auto& argument : step.arguments)
    if (argument.second.find("${steps." + name + ".") != std::string::npos) return true;
  return false;
}

}  // namespace

DriverValue DriverDraft::parameter(std::string_view name) const {
  if (find_parameter(driver_.parameters, name) == nullptr) return {};
  return text_value(fmt::format("${{params.{}}}", name));
}

DriverValue DriverDraft::attribute(DriverValue of, const std::string& name) const {
  if (of.kind == DriverValue::Kind::kArguments) return parameter(name);
  if (of.kind != DriverValue::Kind::kRun && of.kind != DriverValue::Kind::kParent) return {};
  bool parent = of.kind == DriverValue::Kind::kParent;
  std::string step = parent ? "run" : "steps." + driver_.steps[of.step].name;
  if (name == "run_id" || name == "run_uuid")
    return text_value(fmt::format("${{{}.{}}}", step, parent ? "id" : "run_id"));
  if (name == "artifact_uri") return text_value(fmt::format("${{{}.artifacts}}", step));
  if (name == "experiment_id") return text_value("${experiment.id}");
  if (name != "info" && name != "data" && name != "metrics") return {};
  of.text = name;
  return of;
}

DriverValue DriverDraft::metric(const DriverValue& run, const DriverValue& key) const {
  if (run.kind != DriverValue::Kind::kRun || run.text != "metrics" || !key.is_known_text()) return {};
  return text_value(fmt::format("${{steps.{}.metrics.{}}}", driver_.steps[run.step].name, key.text));
}

DriverValue DriverDraft::run_of(const DriverValue& id) const {
  if (id.kind == DriverValue::Kind::kRun) return id;
  for (size_t i = 0; i < driver_.steps.size(); ++i)
    if (id.text == fmt::format("${{steps.{}.run_id}}", driver_.steps[i].name))
      return {.kind = DriverValue::Kind::kRun, .text = "", .step = i};
  return id.text == "${run.id}" ? DriverValue{.kind = DriverValue::Kind::kParent} : DriverValue{};
}

void DriverDraft::add_parameter(Parameter parameter) {
  if (find_parameter(driver_.parameters, parameter.name) == nullptr)
    driver_.parameters.push_back(std::move(parameter));
}

bool DriverDraft::is_full() const { return driver_.steps.size() >= kMaxSteps; }

DriverStep DriverDraft::new_step(const std::string& project, const std::string& entry_point,
                                 const Place& place) const {
  const std::string folder = folder_of(project);
  return {.name = unused_name(folder, entry_point),
          .project = folder,
          .entry_point = entry_point,
          .arguments = {},
          .needs = {},
          .place = place};
}

std::string DriverDraft::unused_name(const std::string& project, const std::string& entry_point) const {
  bool own = project == ".";
  std::string wanted = to_step_name(own ? entry_point : fs::path(project).filename().string());
  if (wanted.empty()) wanted = "step";
  std::string name = wanted;
  auto is_taken = [&](const DriverStep& other) { return other.name == name; };
  for (int number = 2; std::any_of(driver_.steps.begin(), driver_.steps.end(), is_taken); ++number)
    name = fmt::format("{}_{}", wanted, number);
  return name;
}

void DriverDraft::add_argument(DriverStep& step, const std::string& name, const DriverValue& value) {
  std::string text = value.kind == DriverValue::Kind::kRun || value.kind == DriverValue::Kind::kParent
                         ? std::string(1, DriverValue::kHole)
                         : value.shown();
  text = with_artifacts(std::move(text));
  if (DriverValue::has_hole(text)) {
    Parameter parameter{.name = to_step_name(step.name + "_" + name), .place = step.place};
    std::replace(parameter.name.begin(), parameter.name.end(), '-', '_');
    leave(step.place,
          "what step '{}' gets for '{}' cannot be read: it became the parameter '{}', to be given with -P",
          step.name, name, parameter.name);
    text = fmt::format("${{params.{}}}", parameter.name);
    add_parameter(std::move(parameter));
  }
  step.arguments.emplace_back(name, std::move(text));
}

void DriverDraft::leave_step(const Place& place, const std::string& source) {
  ++driver_.steps_left_out;
  leave(place, "a step is left out: what it runs cannot be read from {}", source);
}

DriverValue DriverDraft::add_step(DriverStep step) {
  if (!driver_.steps.empty() && !refers_to(step, driver_.steps.back().name))
    step.needs.push_back(driver_.steps.back().name);
  driver_.steps.push_back(std::move(step));
  return {.kind = DriverValue::Kind::kRun, .text = "", .step = driver_.steps.size() - 1};
}

// ".../mlruns/0/${steps.train.run_id}/artifacts/model" is ${steps.train.artifacts}/model, wherever that
// lies.
std::string DriverDraft::with_artifacts(std::string text) const {
  for (const auto& step : driver_.steps) {
    std::string id = fmt::format("${{steps.{}.run_id}}", step.name);
    size_t at = text.find(id);
    if (at == std::string::npos) continue;
    std::string_view behind = std::string_view(text).substr(at + id.size());
    size_t skipped = behind.starts_with("/artifacts") ? 10 : 0;
    if (skipped == 0 && !text.starts_with("runs:/")) continue;
    return fmt::format("${{steps.{}.artifacts}}{}", step.name, behind.substr(skipped));
  }
  return text;
}

void DriverDraft::leave(Error error) {
  for (const auto& known : driver_.left)
    if (known.message == error.message) return;
  driver_.left.push_back(std::move(error));
}

}  // namespace tidemill::config
