#include "config/pipeline_file.h"

#include <cctype>

#include "base/text.h"

namespace tidemill::config {
namespace {

bool is_step_name(std::string_view name) {
  if (name.empty() || name.size() > 100) return false;
  for (unsigned char c : name)
    if (!std::isalnum(c) && c != '_' && c != '-') return false;
  return true;
}

Result<> read_arguments(const Node& map, Step& step) {
  if (map.kind == Node::Kind::kNull) return {};
  if (!map.is_map()) return fail_at(map.place, "params of step '{}' must be a map of names", step.name);
  for (const auto& entry : map.entries) {
    // MLflow appends parameters that a project does not declare; in a pipeline that is nearly always a typing
    // error.
    if (find_parameter(step.entry.parameters, entry.key) == nullptr)
      return fail_at(entry.place, "step '{}' passes '{}', which entry point '{}' of {} does not declare{}",
                     step.name, entry.key, step.entry.name, step.project.file,
                     did_you_mean(entry.key, names_of(step.entry.parameters)));
    std::string text = TRY(as_text(entry.value, fmt::format("parameter '{}'", entry.key)));
    step.arguments.push_back({entry.key, TRY(parse_template(text, entry.value.place)), entry.place});
  }
  return {};
}

Result<> read_needs(const Node& node, Step& step) {
  if (node.kind == Node::Kind::kScalar) {
    step.needs.push_back({node.text, node.place});
    return {};
  }
  if (node.kind != Node::Kind::kList) return fail_at(node.place, "needs must be a list of step names");
  for (const auto& item : node.items) step.needs.push_back({TRY(as_text(item, "a step name")), item.place});
  return {};
}

Result<Step> read_step(const Node::Entry& entry, const fs::path& folder) {
  if (!is_step_name(entry.key))
    return fail_at(entry.place, "'{}' cannot be a step's name: letters, digits, '_' and '-' only", entry.key);
  if (!entry.value.is_map()) return fail_at(entry.place, "step '{}' must be a map with a project", entry.key);
  std::vector<std::string> known = {"project", "entry_point", "params", "needs"};
  known.insert(known.end(), setting_names().begin(), setting_names().end());
  TRY(check_keys(entry.value, known, fmt::format("step '{}'", entry.key)));
  Step step{.name = entry.key, .place = entry.place};

  const Node* project = entry.value.find("project");
  if (project == nullptr)
    return fail_at(entry.place, "step '{}' needs a project: the folder of its MLproject", entry.key);
  std::string where = TRY(as_text(*project, "project"));
  auto loaded = load_project(folder / where);
  if (!loaded && loaded.error().code == Code::kNotFound)
    return fail_at(project->place, "step '{}': {}", entry.key, loaded.error().message);
  step.project = TRY(std::move(loaded));

  const Node* point = entry.value.find("entry_point");
  std::string point_name = point != nullptr ? TRY(as_text(*point, "entry_point")) : "main";
  step.entry = TRY_IN((point != nullptr ? point->place : entry.place).to_string(),
                      entry_point(step.project, point_name));

  if (const Node* params = entry.value.find("params")) TRY(read_arguments(*params, step));
  if (const Node* needs = entry.value.find("needs")) TRY(read_needs(*needs, step));
  step.settings = TRY(read_settings(entry.value));
  return step;
}

}  // namespace

Result<Pipeline> load_pipeline(const fs::path& file) {
  Node root = TRY(load_yaml(file));
  if (!root.is_map()) return fail_at({file.string(), 1, 1}, "a pipeline is a map with name and steps");
  TRY(check_keys(root, {"name", "experiment", "params", "steps", "max_parallel", "description"},
                 "the pipeline"));
  Pipeline pipeline;
  pipeline.file = file.string();
  std::error_code ignored;  // the file has just been read
  pipeline.folder = fs::weakly_canonical(fs::absolute(file, ignored), ignored).parent_path();

  const Node* name = root.find("name");
  pipeline.name = name != nullptr ? TRY(as_text(*name, "name")) : pipeline.folder.filename().string();
  const Node* experiment = root.find("experiment");
  pipeline.experiment = experiment != nullptr ? TRY(as_text(*experiment, "experiment")) : pipeline.name;
  if (const Node* params = root.find("params"))
    pipeline.parameters = TRY(read_parameters(*params, Extras::kPipeline));
  if (const Node* limit = root.find("max_parallel"))
    pipeline.max_parallel = static_cast<int>(TRY(as_int(*limit, "max_parallel", 1, 1024)));

  const Node* steps = root.find("steps");
  if (steps == nullptr || !steps->is_map() || steps->entries.empty())
    return fail_at(steps != nullptr ? steps->place : root.place, "a pipeline needs steps: a map of names");
  for (const auto& entry : steps->entries) pipeline.steps.push_back(TRY(read_step(entry, pipeline.folder)));
  return pipeline;
}

}  // namespace tidemill::config
