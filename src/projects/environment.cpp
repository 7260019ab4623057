#include "projects/environment.h"

#include <algorithm>
#include <cstdlib>

#include "base/hash.h"
#include "base/json.h"
#include "base/log.h"
#include "base/text.h"
#include "base/time.h"
#include "projects/cache_folder.h"
#include "projects/command.h"

namespace tidemill::projects {
namespace {

using config::EnvironmentKind;
using config::PythonEnvironment;

constexpr std::pair<std::string_view, Manager> kNames[] = {{"local", Manager::kLocal},
                                                           {"virtualenv", Manager::kVirtualenv},
                                                           {"uv", Manager::kUv},
                                                           {"conda", Manager::kConda}};
// Its last file: an environment without it was not finished.
constexpr std::string_view kDone = "tidemill-environment.json";
constexpr uint64_t kMostRequirementBytes = 1 << 20;

Result<Manager> manager_for(const config::Project& project, Manager wanted) {
  const auto& asked = project.environment;
  if (wanted == Manager::kLocal || asked.kind == EnvironmentKind::kNone) return Manager::kLocal;
  if (asked.kind == EnvironmentKind::kDocker) {
    if (wanted == Manager::kDeclared) return Manager::kContainer;
    return config::fail_at(asked.place, "docker_env is not for {}: leave --env-manager out, or give local",
                           to_string(wanted));
  }
  if (wanted == Manager::kConda && asked.kind == EnvironmentKind::kPython)
    return config::fail_at(asked.place, "python_env is not for conda: use --env-manager virtualenv or uv");
  if (wanted != Manager::kDeclared) return wanted;
  return asked.kind == EnvironmentKind::kConda ? Manager::kConda : Manager::kVirtualenv;
}

// "-r FILE", "--constraint=FILE" and so on: the file, or nothing.
std::optional<std::string> file_of(std::string_view requirement) {
  for (std::string_view option : {"-r", "--requirement", "-c", "--constraint"})
    if (requirement.starts_with(option)) {
      std::string_view rest = requirement.substr(option.size());
      if (!rest.empty() && rest[0] != ' ' && rest[0] != '=') continue;
      return std::string(trim(rest.substr(rest.empty() ? 0 : 1)));
    }
  return std::nullopt;
}

// What is to be installed, on lines as pip's requirements files have them, and its content as one text for
// the key: the files named are in it.
struct Requirements {
  std::string lines, content;
  std::vector<fs::path> files;

  Result<> add(const std::vector<std::string>& requirements, const fs::path& folder) {
    for (const auto& requirement : requirements) {
      auto file = file_of(requirement);
      if (!file) {
        lines += requirement + "\n";
        content += requirement + "\n";
        continue;
      }
      const fs::path path = fs::absolute(folder / *file).lexically_normal();
      lines += requirement.substr(0, requirement.find_first_of(" =")) + " " + path.string() + "\n";
      files.push_back(path);
      content += TRY(read_file(path, kMostRequirementBytes)) + "\n";
      TRY(add_nested(path, 0));
    }
    return {};
  }

 private:
  // Files that a requirements file names in its turn.
  Result<> add_nested(const fs::path& path, int depth) {
    constexpr int kDeepest = 16;
    if (depth > kDeepest)
      return fail(Code::kInvalid, "{}: requirements files name each other too deep", path.string());
    for (const auto& line : split(TRY(read_file(path, kMostRequirementBytes)), '\n'))
      if (auto file = file_of(trim(line))) {
        const fs::path nested = path.parent_path() / *file;
        content += TRY(read_file(nested, kMostRequirementBytes)) + "\n";
        TRY(add_nested(nested, depth + 1));
      }
    return {};
  }
};

// Whether the text has the word, and not only within a longer one.
bool says(std::string_view text, std::string_view word) {
  auto is_part = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' || c == '/';
  };
  for (size_t at = text.find(word); at != std::string_view::npos; at = text.find(word, at + 1)) {
    const size_t end = at + word.size();
    if ((at == 0 || !is_part(text[at - 1])) && (end == text.size() || !is_part(text[end]))) return true;
  }
  return false;
}

// "numpy" of a line such as "  - 'numpy==99'".
std::string_view package_in(std::string_view line) {
  line = trim(line);
  if (line.starts_with("- ")) line = trim(line.substr(2));
  if (line.starts_with('"') || line.starts_with('\'')) line.remove_prefix(1);
  return line.substr(0, line.find_first_of("=<>!~[;@ \"'"));
}

// Neither a key nor an option of pip.
bool is_package(std::string_view word) {
  return !word.empty() && std::isalnum(static_cast<unsigned char>(word[0])) && word.find(':') == word.npos;
}

// Where the package stands that the package manager has spoken of last, as "FILE:LINE:1"; else the first
// file.
std::string place_of_culprit(const std::vector<fs::path>& files, const std::string& message) {
  const std::vector<std::string> said = split(message, '\n');
  for (size_t last = said.size(); --last > 0;) {  // the first line is the command
    if (said[last].starts_with("[notice]")) continue;
    for (const auto& file : files) {
      const std::vector<std::string> lines = split(read_file(file, kMostRequirementBytes).value_or(""), '\n');
      for (size_t i = 0; i < lines.size(); ++i)
        if (const auto package = package_in(lines[i]); is_package(package) && says(said[last], package))
          return fmt::format("{}:{}:1", file.string(), i + 1);
    }
  }
  return files[0].string();
}

bool is_version(std::string_view version, std::string_view wanted) {
  return version == wanted || (version.starts_with(wanted) && version[wanted.size()] == '.');
}

// The interpreter of this version on this machine, and its full version.
struct Interpreter {
  std::string program, version;
};
Result<Interpreter> find_python(const std::string& wanted) {
  std::vector<std::string> parts = split(wanted, '.'), names = {"python3", "python"}, seen;
  if (parts.size() >= 2) names.insert(names.begin(), "python" + parts[0] + "." + parts[1]);
  for (const auto& name : names) {
    auto program = find_program(name);
    if (!program) continue;
    auto run = run_command({program->string(), "-c", "import platform; print(platform.python_version())"},
                           std::chrono::seconds(30));
    if (!run || !run->exit.ok()) continue;
    std::string version(trim(run->output));
    if (wanted.empty() || is_version(version, wanted)) return Interpreter{program->string(), version};
    if (std::ranges::find(seen, version) == seen.end()) seen.push_back(version);
  }
  return fail(Code::kNotFound,
              "the project asks for Python {}, and this machine has {}; install it, or let uv fetch it with "
              "--env-manager uv",
              wanted, seen.empty() ? "none" : join(seen, ", "));
}

Result<std::string> program(std::string_view name, std::string_view fix) {
  if (auto found = find_program(name)) return found->string();
  return fail(Code::kNotFound, "{} is not installed: {}", name, fix);
}

std::vector<std::string> list_with_pip(const fs::path& folder) {
  return {(folder / "bin" / "python").string(), "-m", "pip", "freeze", "--all",
          "--disable-pip-version-check"};
}

// One environment of pip's packages.
class PythonMaker {
 public:
  PythonMaker(Manager manager, const PythonEnvironment& wanted, fs::path file)
      : manager_(manager), wanted_(wanted), file_(std::move(file)), base_(file_.parent_path()) {}

  Result<> prepare() {
    if (manager_ == Manager::kUv) {
      uv_ = TRY(program("uv", "`pip install uv`, or use --env-manager virtualenv"));
    } else {
      python_ = TRY(find_python(wanted_.python));
    }
    TRY(build_.add(wanted_.build_dependencies, base_));
    return all_.add(wanted_.dependencies, base_);
  }

  // What the project says of it, the file that its MLproject names first.
  std::vector<fs::path> files() const {
    std::vector<fs::path> files = {file_};
    for (const auto* named : {&build_.files, &all_.files})
      files.insert(files.end(), named->begin(), named->end());
    return files;
  }

  std::string content() const {
    return fmt::format("{}\n{}\n{}\n--\n{}", to_string(manager_),
                       manager_ == Manager::kUv ? wanted_.python : python_.version, build_.content,
                       all_.content);
  }

  Result<> make(const fs::path& folder, const fs::path& log) const {
    const std::string inside = (folder / "bin" / "python").string();
    if (manager_ == Manager::kUv) {
      std::vector<std::string> argv = {uv_, "venv", "--quiet", folder.string()};
      if (!wanted_.python.empty()) argv.insert(argv.end() - 1, {"--python", wanted_.python});
      TRY(run_long({argv, base_, log}));
    } else {
      TRY(run_long({{python_.program, "-m", "venv", folder.string()}, base_, log}));
    }
    for (const auto& [requirements, name] :
         {std::pair{&build_, "build-requirements.txt"}, std::pair{&all_, "requirements.txt"}}) {
      if (requirements->lines.empty()) continue;
      const fs::path file = folder / name;
      TRY(write_file_atomic(file, requirements->lines));
      std::vector<std::string> argv =
          manager_ == Manager::kUv
              ? std::vector<std::string>{uv_, "pip", "install", "--python", inside}
              : std::vector<std::string>{inside, "-m", "pip", "install", "--disable-pip-version-check"};
      argv.insert(argv.end(), {"-r", file.string()});
      TRY(run_long({argv, base_, log}));
    }
    return {};
  }

  // uv puts no pip into an environment.
  std::vector<std::string> list_packages(const fs::path& folder) const {
    if (manager_ != Manager::kUv) return list_with_pip(folder);
    return {uv_, "pip", "freeze", "--quiet", "--python", (folder / "bin" / "python").string()};
  }

 private:
  Manager manager_;
  const PythonEnvironment& wanted_;
  fs::path file_, base_;  // base_: of relative names
  std::string uv_;
  Interpreter python_;
  Requirements build_, all_;
};

class CondaMaker {
 public:
  explicit CondaMaker(fs::path file) : file_(std::move(file)) {}

  Result<> prepare() {
    text_ = TRY(read_file(file_, kMostRequirementBytes));
    if (const char* home = std::getenv("MLFLOW_CONDA_HOME"); home != nullptr && *home != '\0') {
      conda_ = (fs::path(home) / "bin" / "conda").string();
      return {};
    }
    for (const char* name : {"micromamba", "mamba", "conda"})
      if (auto found = find_program(name)) {
        conda_ = found->string();
        return {};
      }
    return fail(Code::kNotFound,
                "the project asks for a conda environment, and neither micromamba, mamba nor conda is "
                "installed; install one, or take the packages from pip with --env-manager virtualenv");
  }

  std::vector<fs::path> files() const { return {file_}; }
  std::string content() const { return fmt::format("conda\n{}", text_); }

  Result<> make(const fs::path& folder, const fs::path& log) const {
    std::vector<std::string> argv = {conda_};
    if (fs::path(conda_).filename() == "micromamba")
      argv.insert(argv.end(), {"create", "--yes"});
    else
      argv.insert(argv.end(), {"env", "create"});
    argv.insert(argv.end(), {"--prefix", folder.string(), "--file", file_.string()});
    return run_long({argv, file_.parent_path(), log});
  }

  std::vector<std::string> list_packages(const fs::path& folder) const { return list_with_pip(folder); }

 private:
  fs::path file_;
  std::string conda_, text_;
};

Result<fs::path> environment_root() {
  if (const char* root = std::getenv("MLFLOW_ENV_ROOT"); root != nullptr && *root != '\0')
    return fs::absolute(root);
  return TRY(cache_folder()) / "environments";
}

Environment describe(Manager manager, const std::string& id, const fs::path& folder) {
  const char* variable = manager == Manager::kConda ? "CONDA_PREFIX" : "VIRTUAL_ENV";
  return {.manager = manager,
          .id = id,
          .folder = folder,
          .variables = {{variable, folder.string()}},
          .container = {}};
}

// For whoever wants to know later: what was installed.
std::string output_of(const std::vector<std::string>& list_packages) {
  auto run = run_command(list_packages, std::chrono::minutes(1));
  return run && run->exit.ok() ? run->output : "";
}

enum class Make { kNo, kYes };

template <class Maker>
Result<Environment> make_with(Maker maker, Manager manager, Make make) {
  TRY_IN(maker.files()[0].string(), maker.prepare());
  const std::string id = sha256_hex(maker.content());
  const std::string name = fmt::format("{}-{}", to_string(manager), id.substr(0, 16));
  const fs::path root = TRY(environment_root()), folder = root / name, log = root / (name + ".log");
  std::error_code ignored;
  if (make == Make::kNo || fs::exists(folder / kDone, ignored)) return describe(manager, id, folder);
  Fd lock = TRY(lock_file(root / (name + ".lock"),
                          [&] { log_info("environment {}: another process is making it, waiting", name); }));
  if (fs::exists(folder / kDone, ignored)) return describe(manager, id, folder);
  TRY(tidemill::remove_all(folder));
  log_info("environment {}: making it (log: {})", name, log.string());
  Stopwatch watch;
  if (auto made = maker.make(folder, log); !made) {
    (void)tidemill::remove_all(folder);
    if (made.error().code == Code::kCancelled) return tl::unexpected(std::move(made).error());
    const std::string place = place_of_culprit(maker.files(), made.error().message);
    return tl::unexpected(std::move(made).error().in(fmt::format("{}: environment {}", place, name)));
  }
  const Json done = {
      {"manager", to_string(manager)}, {"id", id}, {"packages", output_of(maker.list_packages(folder))}};
  TRY(write_file_atomic(folder / kDone, dump_json(done, 2) + "\n"));
  log_info("environment {}: ready after {}", name, human_duration(watch.seconds()));
  return describe(manager, id, folder);
}

// "churn:1a2b3c4", as engines allow it.
std::string image_name(const std::string& project, const std::string& version) {
  std::string name;
  for (unsigned char c : to_lower(project))
    name += std::isalnum(c) || c == '.' || c == '_' || c == '-' || c == '/' ? static_cast<char>(c) : '-';
  return version.empty() ? name : name + ":" + version;
}

// Arguments decide what a command does, too. They may hold what nobody is to see.
std::string container_id(const Container& container) {
  if (container.arguments.empty()) return container.image;
  return fmt::format("{} {}", container.image, sha256_hex(join(container.arguments, "\n")).substr(0, 16));
}

Result<Environment> environment_of(const config::Project& project, Manager wanted,
                                   const ContainerWishes& wishes, Make make) {
  const Manager manager = TRY(manager_for(project, wanted));
  const auto& asked = project.environment;
  if (manager == Manager::kLocal) return Environment{};
  if (manager == Manager::kContainer) {
    const fs::path root = TRY(environment_root());
    const ContainerOptions options{wishes.arguments, wishes.build, image_name(project.name, wishes.version)};
    auto found = TRY_IN(asked.place.to_string(), (make == Make::kYes ? make_container : find_container)(
                                                     asked.docker, project.folder, options, root));
    Environment environment{.manager = manager,
                            .id = container_id(found.container),
                            .folder = {},
                            .variables = {},
                            .container = {}};
    if (!found.settings.empty()) environment.variables["CONTAINERS_CONF"] = found.settings.string();
    environment.container = std::move(found.container);
    return environment;
  }
  if (manager == Manager::kConda) return make_with(CondaMaker(asked.file), manager, make);
  const bool is_conda = asked.kind == EnvironmentKind::kConda;
  const PythonEnvironment python =
      TRY(is_conda ? config::load_conda_env(asked.file) : config::load_python_env(asked.file));
  if (!python.left_out.empty() && make == Make::kYes)
    log_warning("{}: pip has no {}; left out", asked.file.string(), join(python.left_out, ", "));
  return make_with(PythonMaker(manager, python, asked.file), manager, make);
}

}  // namespace

std::string_view to_string(Manager manager) {
  for (const auto& [name, named] : kNames)
    if (named == manager) return name;
  return manager == Manager::kContainer ? "docker" : "declared";
}

Result<Manager> parse_manager(std::string_view name) {
  std::vector<std::string> names;
  for (const auto& [known, manager] : kNames) {
    if (known == name) return manager;
    names.emplace_back(known);
  }
  return fail(Code::kInvalid, "unknown environment manager '{}': use {}", name, join(names, ", "));
}

Result<Environment> find_environment(const config::Project& project, Manager wanted,
                                     const ContainerWishes& container) {
  return environment_of(project, wanted, container, Make::kNo);
}

Result<Environment> make_environment(const config::Project& project, Manager wanted,
                                     const ContainerWishes& container) {
  return environment_of(project, wanted, container, Make::kYes);
}

}  // namespace tidemill::projects
