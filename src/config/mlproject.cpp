#include "config/mlproject.h"

#include <cstdlib>

#include "base/hash.h"
#include "base/text.h"

namespace tidemill::config {
namespace {

std::optional<EntryPoint> read_entry_point(const Node::Entry& entry, Problems& problems) {
  const Node* command = entry.value.find("command");
  if (command == nullptr || command->kind != Node::Kind::kScalar) {
    problems.keep(fail_at(entry.place, "entry point '{}' needs a command", entry.key));
    return std::nullopt;
  }
  check_keys(entry.value, {"parameters", "command"}, fmt::format("entry point '{}'", entry.key), problems);
  EntryPoint point{.name = entry.key, .command = std::string(trim(command->text)), .place = entry.place};
  if (const Node* parameters = entry.value.find("parameters"))
    point.parameters = read_parameters(*parameters, Extras::kMlproject, problems);
  return point;
}

std::optional<Project> parse_project(std::string_view text, const std::string& file_name,
                                     Problems& problems) {
  auto root = problems.keep(parse_yaml(text, file_name));
  if (!root) return std::nullopt;
  Project project;
  project.file = file_name;
  if (root->kind == Node::Kind::kNull) return project;
  if (!root->is_map()) {
    problems.keep(fail_at(root->place, "an MLproject file is a map with name and entry_points"));
    return std::nullopt;
  }
  if (const Node* name = root->find("name"))
    project.name = problems.keep(as_text(*name, "name")).value_or("");
  project.environment = read_environment(*root, problems);
  const Node* points = root->find("entry_points");
  if (points == nullptr || points->kind == Node::Kind::kNull) return project;
  if (!points->is_map()) problems.keep(fail_at(points->place, "entry_points must be a map of names"));
  for (const auto& entry : points->entries)
    if (auto point = read_entry_point(entry, problems)) project.entry_points.push_back(std::move(*point));
  return project;
}

// The first of the problems, or what was read.
Result<Project> all_or_nothing(std::optional<Project> project, const Problems& problems) {
  TRY(problems.first());
  return std::move(*project);
}

// What was meant by a placeholder that is no parameter.
std::string hint_for(const EntryPoint& entry, const std::string& name, bool after_dollar) {
  if (std::string near = did_you_mean(name, names_of(entry.parameters)); !near.empty()) return near;
  if (after_dollar && name.find('.') != std::string::npos) {
    const std::string own = name.substr(name.rfind('.') + 1);
    return fmt::format("; pass it with `params: {{{}: \"${{{}}}\"}}` and write {{{}}} here", own, name, own);
  }
  return "; braces that the shell is to see are written {{ and }}";
}

// {name} with an optional format specification that means nothing for text ({name:s}).
Result<std::string> substitute(const EntryPoint& entry, const Arguments& arguments, std::vector<bool>& used) {
  std::string out;
  const std::string& text = entry.command;
  for (size_t i = 0; i < text.size(); ++i) {
    bool doubled = i + 1 < text.size() && text[i + 1] == text[i];
    if ((text[i] == '{' || text[i] == '}') && doubled) {
      out += text[i++];
    } else if (text[i] == '{') {
      size_t end = text.find('}', i);
      if (end == std::string::npos) return fail_at(entry.place, "the command has a '{{' without '}}'");
      std::string name = text.substr(i + 1, end - i - 1);
      name = std::string(trim(name.substr(0, name.find(':'))));
      if (find_parameter(entry.parameters, name) == nullptr)
        return fail_at(entry.place, "the command uses '{{{}}}', which is not among the parameters of '{}'{}",
                       name, entry.name, hint_for(entry, name, i > 0 && text[i - 1] == '$'));
      for (size_t k = 0; k < arguments.size(); ++k)
        if (arguments[k].first == name) out += shell_quote(arguments[k].second), used[k] = true;
      i = end;
    } else {
      out += text[i];
    }
  }
  return out;
}

Result<std::string> checked_path(const Parameter& parameter, const std::string& value,
                                 const fs::path& caller_folder) {
  if (is_remote(value))
    return fail(Code::kInvalid,
                "parameter '{}': a URI for type path must be known before the run, so that it can be "
                "fetched; '{}' is not",
                parameter.name, value);
  fs::path path = value.starts_with("file://") ? value.substr(7) : value;
  if (path.is_relative()) path = caller_folder / path;
  std::error_code ignored;
  if (!fs::exists(path, ignored))
    return fail(Code::kInvalid, "Got value {} for parameter {}, but no such file or directory was found.",
                value, parameter.name);
  return fs::absolute(path).lexically_normal().string();
}

}  // namespace

const EntryPoint* Project::find(std::string_view wanted) const {
  for (const auto& point : entry_points)
    if (point.name == wanted) return &point;
  return nullptr;
}

Result<Project> parse_project(std::string_view text, const std::string& file_name) {
  Problems problems;
  return all_or_nothing(parse_project(text, file_name, problems), problems);
}

std::optional<Project> load_project(const fs::path& folder, Problems& problems) {
  std::error_code error;
  if (!fs::is_directory(folder, error)) {
    problems.keep(fail(Code::kNotFound, "there is no folder {}", folder.string()));
    return std::nullopt;
  }
  std::optional<Project> project = Project{};
  for (const auto& entry : fs::directory_iterator(folder, error))
    if (to_lower(entry.path().filename().string()) == "mlproject") {
      auto text = problems.keep(read_file(entry.path(), 2 << 20));
      project = text ? parse_project(*text, entry.path().string(), problems) : std::nullopt;
      if (project) project->sha256 = sha256_hex(*text);
      break;
    }
  if (!project) return std::nullopt;
  project->folder = fs::weakly_canonical(fs::absolute(folder, error), error);
  if (project->name.empty()) project->name = project->folder.filename().string();
  locate_environment(project->folder, project->environment, problems);
  return project;
}

Result<Project> load_project(const fs::path& folder) {
  Problems problems;
  return all_or_nothing(load_project(folder, problems), problems);
}

Result<EntryPoint> entry_point(const Project& project, std::string_view name) {
  if (const EntryPoint* declared = project.find(name)) return *declared;
  fs::path script = project.folder / name;
  std::error_code ignored;
  if (fs::is_regular_file(script, ignored)) {
    const char* shell = std::getenv("SHELL");
    if (script.extension() == ".py")
      return EntryPoint{.name = std::string(name), .command = "python " + shell_quote(name)};
    if (script.extension() == ".sh")
      return EntryPoint{.name = std::string(name),
                        .command = fmt::format("{} {}", shell ? shell : "bash", shell_quote(name))};
  }
  std::vector<std::string> known;
  for (const auto& point : project.entry_points) known.push_back(point.name);
  return fail(Code::kInvalid, "{}: there is no entry point '{}'{}; declared: {}",
              project.file.empty() ? project.folder.string() : project.file, name, did_you_mean(name, known),
              known.empty() ? "none" : join(known, ", "));
}

bool is_remote(std::string_view path) {
  return (path.find("://") != std::string_view::npos && !path.starts_with("file://")) ||
         path.starts_with("runs:/") || path.starts_with("models:/") || path.starts_with("mlflow-artifacts:/");
}

Result<Arguments> complete_arguments(const EntryPoint& entry, const Arguments& given) {
  auto given_value = [&](const std::string& name) -> const std::string* {
    for (const auto& [key, value] : given)
      if (key == name) return &value;
    return nullptr;
  };
  Arguments complete;
  for (const auto& parameter : entry.parameters) {
    const std::string* value = given_value(parameter.name);
    if (value == nullptr && !parameter.default_value)
      return fail_at(parameter.place, "entry point '{}' needs a value for parameter '{}' (-P {}=...)",
                     entry.name, parameter.name, parameter.name);
    std::string text = value != nullptr ? *value : *parameter.default_value;
    TRY_IN(parameter.place.to_string(), check_value(parameter, text));
    complete.emplace_back(parameter.name, std::move(text));
  }
  for (const auto& argument : given)
    if (find_parameter(entry.parameters, argument.first) == nullptr) complete.push_back(argument);
  return complete;
}

Result<Arguments> with_absolute_paths(const EntryPoint& entry, Arguments complete, const fs::path& folder) {
  for (auto& [name, value] : complete)
    if (const Parameter* parameter = find_parameter(entry.parameters, name);
        parameter != nullptr && parameter->type == ParameterType::kPath)
      value = TRY_IN(parameter->place.to_string(), checked_path(*parameter, value, folder));
  return complete;
}

Result<std::string> command_line(const EntryPoint& entry, const Arguments& complete) {
  std::vector<bool> used(complete.size(), false);
  std::string command = TRY(substitute(entry, complete, used));
  for (const auto& [name, value] : complete)
    if (find_parameter(entry.parameters, name) == nullptr)
      command += fmt::format(" --{} {}", shell_quote(name), shell_quote(value));
  return command;
}

}  // namespace tidemill::config
