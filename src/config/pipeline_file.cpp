#include "config/pipeline_file.h"

#include <map>

#include "base/hash.h"
#include "base/text.h"
#include "config/command_code.h"

namespace tidemill::config {
namespace {

// The files that are being read, one for the other, and those that have been.
struct Files {
  std::vector<fs::path> open;
  std::map<fs::path, std::shared_ptr<const Pipeline>> done;  // null: not to be read
  std::vector<LookedFor> looked_for;                         // as their names were written
};
std::optional<Pipeline> load(const fs::path& file, Files& files, Problems& problems);

// The keys of a step that is a pipeline: the rest belongs to the steps within.
const std::vector<std::string> kInnerKeys = {"pipeline", "params", "needs", "foreach", "when"};

// Reads the steps of one file.
class StepReader {
 public:
  StepReader(const fs::path& folder, Files& files, Problems& problems)
      : folder_(folder), files_(files), problems_(problems) {
    no_project_.edit().folder = folder;
  }

  Step read(const Node::Entry& entry) {
    if (!is_plain_name(entry.key))
      problems_.keep(
          fail_at(entry.place, "'{}' cannot be a step's name: letters, digits, '_' and '-' only", entry.key));
    Step step{.name = entry.key, .place = entry.place, .folder = folder_};
    if (!entry.value.is_map()) {
      problems_.keep(fail_at(entry.place, "step '{}' must be a map with a project", entry.key));
      return step;
    }
    if (const Node* inner = entry.value.find("pipeline")) {
      read_inner(*inner, entry, step);
      return step;
    }
    check_keys(entry.value, step_keys(), fmt::format("step '{}'", entry.key), problems_);
    const Node* params = entry.value.find("params");
    const Node* command = entry.value.find("command");
    bool has_entry =
        read_project(entry, step) &&
        (command == nullptr ? read_entry_point(entry, step) : read_command(*command, entry.value, step));
    if (params != nullptr) read_arguments(*params, has_entry, step);
    if (const Node* needs = entry.value.find("needs")) read_needs(*needs, step);
    if (const Node* foreach = entry.value.find("foreach"))
      step.foreach = problems_.keep(read_foreach(*foreach));
    step.settings = read_settings(entry.value, problems_);
    if (has_entry && step.settings->probe) check_probe(*step.settings->probe, *step.entry);
    // What a command without a project has for code are the files that it names, and what they bring along.
    if (command != nullptr && !step.settings->code && entry.value.find("project") == nullptr)
      step.settings.edit().code = commands_.code_of(step.entry->command).files;
    return step;
  }

 private:
  // A step that is the pipeline of another file.
  void read_inner(const Node& node, const Node::Entry& entry, Step& step) {
    for (const auto& [key, place, value] : entry.value.entries)
      if (std::find(kInnerKeys.begin(), kInnerKeys.end(), key) == kInnerKeys.end())
        problems_.keep(fail_at(place,
                               "step '{}' is a pipeline: '{}' belongs to the steps within it; here {} can be",
                               step.name, key, join(kInnerKeys, ", ")));
    auto where = problems_.keep(as_text(node, "pipeline"));
    if (where) step.inner = load_inner(*where, node.place, step.name);
    if (const Node* params = entry.value.find("params")) read_arguments(*params, step.inner != nullptr, step);
    if (const Node* needs = entry.value.find("needs")) read_needs(*needs, step);
    if (const Node* foreach = entry.value.find("foreach"))
      step.foreach = problems_.keep(read_foreach(*foreach));
    step.settings = read_settings(entry.value, problems_);
    if (step.inner == nullptr) return;
    for (const auto& parameter : step.inner->parameters) {
      auto is_same = [&](const auto& argument) { return argument.name == parameter.name; };
      if (!parameter.default_value && std::none_of(step.arguments.begin(), step.arguments.end(), is_same))
        problems_.keep(fail_at(entry.place,
                               "step '{}' does not pass parameter '{}', which has no default ({})", step.name,
                               parameter.name, parameter.place.to_string()));
    }
  }

  std::shared_ptr<const Pipeline> load_inner(const std::string& where, const Place& place,
                                             const std::string& step) {
    std::error_code ignored;
    fs::path file = *folder_ / where;
    if (fs::is_directory(file, ignored)) {
      const bool is_short = fs::exists(file / "pipeline.yml", ignored);
      if (!is_short) files_.looked_for.push_back({file / "pipeline.yml", ""});
      file /= is_short ? "pipeline.yml" : "pipeline.yaml";
    }
    if (!fs::is_regular_file(file, ignored)) {
      problems_.keep(fail_at(place, "step '{}': there is no pipeline {}", step, file.string()));
      return nullptr;
    }
    auto inner = load_inner(fs::weakly_canonical(file, ignored), place);
    if (inner != nullptr) files_.looked_for.push_back({file, inner->sha256});
    return inner;
  }

  std::shared_ptr<const Pipeline> load_inner(const fs::path& file, const Place& place) {
    if (auto again = std::find(files_.open.begin(), files_.open.end(), file); again != files_.open.end()) {
      std::string circle;
      for (; again != files_.open.end(); ++again) circle += again->string() + " -> ";
      problems_.keep(fail_at(place, "pipelines contain each other in a circle: {}{}", circle, file.string()));
      return nullptr;
    }
    if (files_.open.size() >= kDeepest) {
      problems_.keep(fail_at(place, "pipelines are within each other more than {} deep", kDeepest));
      return nullptr;
    }
    if (auto known = files_.done.find(file); known != files_.done.end()) return known->second;
    auto loaded = load(file, files_, problems_);
    auto inner = loaded ? std::make_shared<const Pipeline>(std::move(*loaded)) : nullptr;
    files_.done.emplace(file, inner);
    return inner;
  }

  bool read_project(const Node::Entry& entry, Step& step) {
    const Node* project = entry.value.find("project");
    if (project == nullptr && entry.value.find("command") != nullptr) {
      step.project = no_project_;
      return true;
    }
    if (project == nullptr)
      return problems_.keep(fail_at(
          entry.place, "step '{}' needs a project (the folder of its MLproject), a command or a pipeline",
          entry.key));
    auto where = problems_.keep(as_text(*project, "project"));
    if (!where) return false;
    std::error_code ignored;
    if (!fs::is_directory(*folder_ / *where, ignored))
      return problems_.keep(fail_at(project->place, "step '{}': there is no folder {}", entry.key,
                                    (*folder_ / *where).string()));
    auto loaded = projects_.find(*where);
    if (loaded == projects_.end())
      loaded = projects_.emplace(*where, load_project(*folder_ / *where, problems_)).first;
    if (loaded->second) step.project = *loaded->second;
    return loaded->second.has_value();
  }

  bool read_entry_point(const Node::Entry& entry, Step& step) {
    const Node* point = entry.value.find("entry_point");
    std::optional<std::string> name = "main";
    if (point != nullptr) name = problems_.keep(as_text(*point, "entry_point"));
    if (!name) return false;
    const std::pair key(step.project->folder, *name);
    auto known = entries_.find(key);
    if (known == entries_.end()) {
      auto found = config::entry_point(*step.project, *name);
      if (!found) {
        problems_.add(
            std::move(found).error().in((point != nullptr ? point->place : entry.place).to_string()));
        return false;
      }
      known = entries_.emplace(key, std::move(*found)).first;
    }
    step.entry = known->second;
    return true;
  }

  // A command written here has the parameters that the step gives it.
  bool read_command(const Node& command, const Node& map, Step& step) {
    if (const Node* point = map.find("entry_point"))
      problems_.keep(fail_at(point->place, "step '{}' has both a command and an entry point", step.name));
    auto text = problems_.keep(as_text(command, "command"));
    if (!text) return false;
    EntryPoint own{
        .name = step.name, .parameters = {}, .command = std::string(trim(*text)), .place = command.place};
    if (own.command.empty()) return problems_.keep(fail_at(command.place, "the command is empty"));
    const Node* params = map.find("params");
    if (params != nullptr && params->is_map())
      for (const auto& entry : params->entries)
        own.parameters.push_back({.name = entry.key, .place = entry.place});
    step.entry = std::move(own);
    return problems_.keep(config::command_line(*step.entry, {}).map([](const std::string&) {}));
  }

  // It has the parameters of the step's command.
  void check_probe(const Probe& probe, EntryPoint entry) {
    entry.command = probe.command;
    entry.place = probe.place;
    problems_.keep(config::command_line(entry, {}).map([](const std::string&) {}));
  }

  void read_arguments(const Node& map, bool has_entry, Step& step) {
    if (map.kind != Node::Kind::kNull && !map.is_map())
      problems_.keep(fail_at(map.place, "params of step '{}' must be a map of names", step.name));
    for (const auto& entry : map.entries) {
      // MLflow appends parameters that a project does not declare; in a pipeline that is nearly always a
      // typing error.
      const auto& declared = step.inner ? step.inner->parameters : step.entry->parameters;
      if (has_entry && find_parameter(declared, entry.key) == nullptr)
        problems_.keep(
            fail_at(entry.place, "step '{}' passes '{}', which {} does not declare{}", step.name, entry.key,
                    step.inner ? fmt::format("pipeline {}", step.inner->file)
                               : fmt::format("entry point '{}' of {}", step.entry->name, step.project->file),
                    did_you_mean(entry.key, names_of(declared))));
      auto text = problems_.keep(as_text(entry.value, fmt::format("parameter '{}'", entry.key)));
      auto value = text ? problems_.keep(parse_template(*text, entry.value.place)) : std::nullopt;
      if (value) step.arguments.push_back({entry.key, std::move(*value), entry.place});
    }
  }

  void read_needs(const Node& node, Step& step) {
    if (node.kind == Node::Kind::kScalar) {
      step.needs.push_back({node.text, node.place});
    } else if (node.kind == Node::Kind::kList) {
      for (const auto& item : node.items)
        if (auto name = problems_.keep(as_text(item, "a step name")))
          step.needs.push_back({std::move(*name), item.place});
    } else {
      problems_.keep(fail_at(node.place, "needs must be a list of step names"));
    }
  }

  static constexpr size_t kDeepest = 16;

  Shared<fs::path> folder_;
  Files& files_;
  // Many steps share one.
  Shared<Project> no_project_;  // of commands
  std::map<std::string, std::optional<Shared<Project>>> projects_;
  std::map<std::pair<fs::path, std::string>, Shared<EntryPoint>> entries_;  // by the project's folder
  CommandReader commands_{*folder_};
  Problems& problems_;
};

void read_steps(const Node& section, Phase phase, Pipeline& pipeline, Files& files, Problems& problems) {
  if (section.kind != Node::Kind::kNull && !section.is_map())
    problems.keep(fail_at(section.place, "{} must be a map of steps", to_string(phase)));
  StepReader reader(pipeline.folder, files, problems);
  std::map<std::string, Place> before;  // steps of other sections: within one, keys are unique
  for (const auto& step : pipeline.steps) before.emplace(step.name, step.place);
  pipeline.steps.reserve(pipeline.steps.size() + section.entries.size());
  for (const auto& entry : section.entries) {
    if (auto same = before.find(entry.key); same != before.end())
      problems.keep(
          fail_at(entry.place, "there is a step '{}' already, at {}", entry.key, same->second.to_string()));
    Step& step = pipeline.steps.emplace_back(reader.read(entry));
    step.phase = phase;
    if (phase != Phase::kMain && step.settings->cache == Caching::kFrozen)
      problems.keep(fail_at(step.settings->cache_place,
                            "step '{}' cannot be frozen: those of {} run at every end", step.name,
                            to_string(phase)));
  }
}

// What a command is given of the pipeline's parameters is of their types there too.
void pass_on_types(Pipeline& pipeline) {
  auto parameter_of = [&](const Template& value) -> const Parameter* {
    const auto* reference = value.parts.size() == 1 ? std::get_if<Reference>(&value.parts[0]) : nullptr;
    if (reference == nullptr || (*reference)[0] != "params") return nullptr;
    return find_parameter(pipeline.parameters, (*reference)[1]);
  };
  for (Step& step : pipeline.steps)
    if (step.inner == nullptr && step.project->file.empty())
      for (const auto& argument : step.arguments)
        if (const Parameter* given = parameter_of(argument.value); given != nullptr && given->has_type)
          for (auto& parameter : step.entry.edit().parameters)
            if (parameter.name == argument.name) {
              parameter.type = given->type;
              parameter.has_type = true;
            }
}

Result<AfterFailure> read_after_failure(const Node& node) {
  using enum AfterFailure;
  const std::string text = TRY(as_text(node, "after_failure"));
  std::vector<std::string> words;
  for (AfterFailure after : {kFinish, kStop, kKeepGoing}) {
    if (text == to_string(after)) return after;
    words.emplace_back(to_string(after));
  }
  return fail_at(node.place, "after_failure is one of {}, not '{}'{}", join(words, ", "), text,
                 did_you_mean(text, words));
}

// For steps that say nothing of it themselves. Those of pipelines within are told by their own files.
void pass_on_inherit(const Node& root, Pipeline& pipeline, Problems& problems) {
  const Node* inherit = root.find("inherit");
  const auto names = inherit != nullptr ? read_inherit(*inherit, problems) : std::nullopt;
  if (!names) return;
  size_t at = 0;
  for (Phase phase : {Phase::kMain, Phase::kOnSuccess, Phase::kOnFailure, Phase::kFinally})
    if (const Node* section = root.find(to_string(phase)))
      for (const auto& entry : section->entries) {
        Step& step = pipeline.steps[at++];
        if (step.inner == nullptr && entry.value.find("inherit") == nullptr)
          step.settings.edit().inherit = names;
      }
}

void read_outputs(const Node& map, Pipeline& pipeline, Problems& problems) {
  if (map.kind != Node::Kind::kNull && !map.is_map())
    problems.keep(fail_at(map.place, "outputs must be a map of names"));
  for (const auto& entry : map.entries) {
    if (!is_plain_name(entry.key))
      problems.keep(fail_at(entry.place, "'{}' cannot be an output's name: letters, digits, '_' and '-' only",
                            entry.key));
    auto text = problems.keep(as_text(entry.value, fmt::format("output '{}'", entry.key)));
    auto value = text ? problems.keep(parse_template(*text, entry.value.place)) : std::nullopt;
    if (value) pipeline.outputs.push_back({entry.key, std::move(*value)});
  }
}

void check_pipeline_keys(const Node& root, Problems& problems) {
  auto is_one_of = [](const std::vector<std::string>& keys, const std::string& key) {
    return std::find(keys.begin(), keys.end(), key) != keys.end();
  };
  for (const auto& entry : root.entries)
    if (!is_one_of(pipeline_keys(), entry.key) && is_one_of(step_keys(), entry.key))
      problems.keep(fail_at(entry.place, "'{}' belongs to a step, not to the pipeline", entry.key));
  std::vector<std::string> known = pipeline_keys();
  known.insert(known.end(), step_keys().begin(), step_keys().end());
  check_keys(root, known, "the pipeline", problems);
}

std::optional<Pipeline> load(const fs::path& file, Files& files, Problems& problems) {
  auto text = problems.keep(read_file(file, kMaxYamlBytes + 1));
  auto root = text ? problems.keep(parse_yaml(*text, file.string())) : std::nullopt;
  if (!root) return std::nullopt;
  if (!root->is_map()) {
    problems.keep(fail_at({file.string(), 1, 1}, "a pipeline is a map with name and steps"));
    return std::nullopt;
  }
  check_pipeline_keys(*root, problems);
  Pipeline pipeline;
  pipeline.file = file.string();
  pipeline.sha256 = sha256_hex(*text);
  std::error_code ignored;  // the file has just been read
  pipeline.folder = fs::weakly_canonical(fs::absolute(file, ignored), ignored).parent_path();

  auto text_of = [&](const char* key, const std::string& otherwise) {
    const Node* node = root->find(key);
    return node != nullptr ? problems.keep(as_text(*node, key)).value_or(otherwise) : otherwise;
  };
  pipeline.name = text_of("name", pipeline.folder.filename().string());
  pipeline.experiment = text_of("experiment", pipeline.name);
  if (const Node* params = root->find("params"))
    pipeline.parameters = read_parameters(*params, Extras::kPipeline, problems);
  if (const Node* limit = root->find("max_parallel"))
    pipeline.max_parallel =
        static_cast<int>(problems.keep(as_int(*limit, "max_parallel", 1, 1024)).value_or(0));

  if (const Node* after = root->find("after_failure"))
    pipeline.after_failure = problems.keep(read_after_failure(*after)).value_or(pipeline.after_failure);
  if (const Node* timeout = root->find("timeout"))
    pipeline.timeout = problems.keep(
        timeout->is_map()
            ? fail_at(timeout->place,
                      "the timeout of a pipeline is one time, as in 6h; attempt, total and waiting "
                      "are those of steps")
            : as_duration(*timeout, "timeout", 1, kLongestTimeout));

  if (const Node* secrets = root->find("secrets")) pipeline.secrets = read_secrets(*secrets, problems);

  if (const Node* inputs = root->find("inputs")) pipeline.inputs = read_inputs(*inputs, problems);
  for (auto& input : pipeline.inputs) input.folder = pipeline.folder;
  if (const Node* outputs = root->find("outputs")) read_outputs(*outputs, pipeline, problems);

  const Node* steps = root->find("steps");
  if (steps == nullptr || !steps->is_map() || steps->entries.empty()) {
    problems.keep(
        fail_at(steps != nullptr ? steps->place : root->place, "a pipeline needs steps: a map of names"));
    return pipeline;
  }
  files.open.push_back(pipeline.folder / file.filename());
  for (Phase phase : {Phase::kMain, Phase::kOnSuccess, Phase::kOnFailure, Phase::kFinally})
    if (const Node* section = root->find(to_string(phase)))
      read_steps(*section, phase, pipeline, files, problems);
  files.open.pop_back();
  pass_on_types(pipeline);
  pass_on_inherit(*root, pipeline, problems);
  return pipeline;
}

}  // namespace

std::string_view to_string(Phase phase) {
  switch (phase) {
    case Phase::kMain:
      return "steps";
    case Phase::kOnSuccess:
      return "on_success";
    case Phase::kOnFailure:
      return "on_failure";
    case Phase::kFinally:
      return "finally";
  }
  return "";
}

std::string_view to_string(AfterFailure after) {
  switch (after) {
    case AfterFailure::kFinish:
      return "finish";
    case AfterFailure::kStop:
      return "stop";
    case AfterFailure::kKeepGoing:
      return "keep_going";
  }
  return "";
}

std::vector<const Template*> templates_of(const Step& step) {
  std::vector<const Template*> found;
  for (const auto& argument : step.arguments) found.push_back(&argument.value);
  for (const auto& input : step.settings->inputs) found.push_back(&input);
  for (const auto& variable : step.settings->environment)
    if (variable.value) found.push_back(&*variable.value);
  if (step.settings->gate)
    for (const Template* value : step.settings->gate->templates()) found.push_back(value);
  if (step.settings->when)
    for (const Template* value : step.settings->when->templates()) found.push_back(value);
  return found;
}

std::vector<Template*> templates_of(Step& step) {
  const auto& settings = *step.settings;
  if (!settings.inputs.empty() || !settings.environment.empty() || settings.gate || settings.when)
    step.settings.edit();  // it is this step's alone from here on
  std::vector<Template*> found;
  for (const Template* value : templates_of(std::as_const(step)))
    found.push_back(const_cast<Template*>(value));
  return found;
}

const std::vector<std::string>& pipeline_keys() {
  static const std::vector<std::string> keys = {"name",         "experiment",    "params",     "steps",
                                                "max_parallel", "description",   "on_success", "on_failure",
                                                "finally",      "secrets",       "inputs",     "outputs",
                                                "timeout",      "after_failure", "inherit"};
  return keys;
}

const std::vector<std::string>& step_keys() {
  static const std::vector<std::string> all = [] {
    std::vector<std::string> keys = {"project", "entry_point", "params",  "needs",
                                     "foreach", "command",     "pipeline"};
    keys.insert(keys.end(), setting_names().begin(), setting_names().end());
    return keys;
  }();
  return all;
}

std::optional<Pipeline> load_pipeline(const fs::path& file, Problems& problems) {
  Files files;
  auto pipeline = load(file, files, problems);
  if (pipeline) pipeline->inner_files = std::move(files.looked_for);
  return pipeline;
}

Result<Pipeline> load_pipeline(const fs::path& file) {
  Problems problems;
  auto pipeline = load_pipeline(file, problems);
  TRY(problems.first());
  return std::move(*pipeline);
}

}  // namespace tidemill::config
