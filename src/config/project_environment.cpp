#include "config/project_environment.h"

#include "base/text.h"

namespace tidemill::config {
namespace {

constexpr std::pair<std::string_view, EnvironmentKind> kKinds[] = {{"python_env", EnvironmentKind::kPython},
                                                                   {"conda_env", EnvironmentKind::kConda},
                                                                   {"docker_env", EnvironmentKind::kDocker}};

Result<std::vector<std::string>> texts_of(const Node& node, std::string_view what) {
  if (node.kind == Node::Kind::kNull) return std::vector<std::string>{};
  if (node.kind != Node::Kind::kList) return fail_at(node.place, "{} must be a list", what);
  std::vector<std::string> texts;
  for (const Node& item : node.items) texts.push_back(TRY(as_text(item, fmt::format("an item of {}", what))));
  return texts;
}

void read_variables(const Node& list, DockerEnvironment& docker, Problems& problems) {
  if (list.kind != Node::Kind::kList) {
    problems.keep(fail_at(list.place, "environment must be a list of names, or of [NAME, VALUE]"));
    return;
  }
  for (const Node& item : list.items) {
    const bool is_pair = item.kind == Node::Kind::kList && item.items.size() == 2;
    if (!is_pair && item.kind != Node::Kind::kScalar) {
      problems.keep(fail_at(item.place, "a variable is a NAME to copy from this machine, or [NAME, VALUE]"));
      continue;
    }
    std::optional<std::string> value;
    if (is_pair) value = problems.keep(as_text(item.items[1], "the variable's value"));
    if (auto name = problems.keep(as_text(is_pair ? item.items[0] : item, "the variable's name")))
      docker.variables.emplace_back(std::move(*name), std::move(value));
  }
}

DockerEnvironment read_docker(const Node::Entry& entry, Problems& problems) {
  DockerEnvironment docker;
  const size_t before = problems.count();
  if (entry.value.is_map())
    check_keys(entry.value, {"image", "volumes", "environment"}, "docker_env", problems);
  const Node* image = entry.value.is_map() ? entry.value.find("image") : nullptr;
  if (image == nullptr) {
    // An unknown key is what it was meant to be.
    if (problems.count() == before) problems.keep(fail_at(entry.place, "docker_env needs an image"));
    return docker;
  }
  docker.image = problems.keep(as_text(*image, "image")).value_or("");
  if (docker.image.empty() || docker.image[0] == '-')
    problems.keep(fail_at(image->place, "'{}' is not an image's name", docker.image));
  if (const Node* volumes = entry.value.find("volumes"))
    docker.volumes = problems.keep(texts_of(*volumes, "volumes")).value_or(std::vector<std::string>{});
  if (const Node* variables = entry.value.find("environment")) read_variables(*variables, docker, problems);
  return docker;
}

// python=3.11, python==3.11.*: the version; pip cannot choose one from a range.
Result<std::string> conda_python(const Node& item, std::string_view requirement) {
  if (requirement.find_first_of("<>!~") != std::string_view::npos)
    return fail_at(item.place, "'{}' is a range: name one version of Python (python=3.11)", requirement);
  size_t equals = requirement.find('=');
  if (equals == std::string_view::npos) return std::string();
  std::string version(requirement.substr(requirement.find_first_not_of('=', equals)));
  version = version.substr(0, version.find('='));  // the build
  if (version.ends_with(".*")) version.resize(version.size() - 2);
  return version;
}

Result<> read_conda_item(const Node& item, PythonEnvironment& environment) {
  if (item.is_map()) {
    const Node* pip = item.find("pip");
    if (pip == nullptr || item.entries.size() != 1)
      return fail_at(item.place, "a dependency is a package, or a map with a list named pip");
    environment.dependencies = TRY(texts_of(*pip, "pip"));
    return {};
  }
  std::string text = TRY(as_text(item, "a dependency"));
  std::string name(trim(text.substr(0, text.find_first_of("=<>!~ ["))));
  if (name == "python") {
    environment.python = TRY(conda_python(item, text));
  } else if (name == "pip" || name == "setuptools" || name == "wheel") {
    size_t equals = text.find('=');
    bool is_exact =
        equals != std::string::npos && text.find_first_of("=<>!~") == equals && text[equals + 1] != '=';
    environment.build_dependencies.push_back(is_exact ? text.insert(equals, "=") : text);
  } else {
    environment.left_out.push_back(std::move(text));
  }
  return {};
}

}  // namespace

std::string_view to_string(EnvironmentKind kind) {
  for (const auto& [name, named] : kKinds)
    if (named == kind) return name;
  return "none";
}

ProjectEnvironment read_environment(const Node& mlproject, Problems& problems) {
  ProjectEnvironment environment;
  for (const auto& entry : mlproject.entries)
    for (const auto& [key, kind] : kKinds) {
      if (entry.key != key) continue;
      if (environment.kind != EnvironmentKind::kNone)
        problems.keep(
            fail_at(entry.place, "a project can have only one of python_env, conda_env and docker_env"));
      environment.kind = kind;
      environment.place = entry.value.place;
      if (kind == EnvironmentKind::kDocker)
        environment.docker = read_docker(entry, problems);
      else
        environment.file = problems.keep(as_text(entry.value, entry.key)).value_or("");
    }
  return environment;
}

void locate_environment(const fs::path& folder, ProjectEnvironment& environment, Problems& problems) {
  std::error_code ignored;
  auto use = [&](const fs::path& file) { environment.file = (folder / file).lexically_normal(); };
  if (environment.kind == EnvironmentKind::kPython || environment.kind == EnvironmentKind::kConda) {
    use(environment.file);
    if (!fs::is_regular_file(environment.file, ignored))
      problems.keep(fail_at(environment.place, "there is no file {}, which {} names",
                            environment.file.string(), to_string(environment.kind)));
  }
  for (auto [name, kind] : {std::pair{"python_env.yaml", EnvironmentKind::kPython},
                            std::pair{"conda.yaml", EnvironmentKind::kConda}}) {
    if (environment.kind != EnvironmentKind::kNone || !fs::is_regular_file(folder / name, ignored)) continue;
    environment.kind = kind;
    environment.place = {(folder / name).string(), 1, 1};
    use(name);
  }
}

Result<PythonEnvironment> load_python_env(const fs::path& file) {
  Node root = TRY(load_yaml(file));
  PythonEnvironment environment;
  if (root.kind == Node::Kind::kNull) return environment;
  if (!root.is_map()) return fail_at(root.place, "a python_env file is a map with python and dependencies");
  TRY(check_keys(root, {"python", "build_dependencies", "dependencies"}, "python_env"));
  if (const Node* python = root.find("python")) {
    if (!python->quoted && split(python->text, '.').size() == 2 && python->text.ends_with("0"))
      return fail_at(python->place, "write the version in quotes: YAML reads {} as a number", python->text);
    environment.python = TRY(as_text(*python, "python"));
  }
  if (const Node* list = root.find("build_dependencies"))
    environment.build_dependencies = TRY(texts_of(*list, "build_dependencies"));
  if (const Node* list = root.find("dependencies"))
    environment.dependencies = TRY(texts_of(*list, "dependencies"));
  return environment;
}

Result<PythonEnvironment> load_conda_env(const fs::path& file) {
  Node root = TRY(load_yaml(file));
  PythonEnvironment environment;
  if (!root.is_map()) return fail_at(root.place, "a conda environment is a map with dependencies");
  const Node* list = root.find("dependencies");
  if (list == nullptr || list->kind != Node::Kind::kList) return environment;
  for (const Node& item : list->items) TRY(read_conda_item(item, environment));
  return environment;
}

}  // namespace tidemill::config
