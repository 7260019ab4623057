#include "projects/container.h"

#include <unistd.h>

#include "base/json.h"
#include "base/log.h"
#include "base/text.h"
#include "oci/podman_settings.h"
#include "projects/command.h"

namespace tidemill::projects {
namespace {

constexpr std::chrono::seconds kPatience{30};

// The first process of a container ignores SIGTERM unless it has asked for it: this one passes it on to what
// it runs, and waits for its end.
constexpr const char* kFirstProcess =
    "trap 'kill -TERM -1' TERM; sh -c \"$0\" & wait $!; status=$?; "
    "while kill -0 $! 2>/dev/null; do wait $!; status=$?; done; exit $status";
constexpr const char* kLabel = "tidemill.step";

bool is_podman(const std::string& engine) { return fs::path(engine).filename() == "podman"; }

Result<std::string> find_engine() {
  for (const char* name : {"podman", "docker"})
    if (auto found = find_program(name)) return found->string();
  return fail(Code::kUnavailable,
              "the project asks for a container (docker_env), and neither podman nor docker is installed; "
              "install one (Debian: podman and runc), or run it with what is on this machine: --env-manager "
              "local");
}

// An image that is on this machine; its id is "" when it is not.
struct Image {
  std::string id, digest;
};
Result<Image> find_image(const std::string& engine, const std::string& name) {
  Captured run = TRY(run_command(
      {engine, "image", "inspect", "--format", "{{.Id}}{{range .RepoDigests}} {{.}}{{end}}", name},
      kPatience));
  if (!run.exit.ok()) return Image{};
  std::vector<std::string> words = split(trim(run.output), ' ');
  return Image{words[0], words.size() > 1 ? words[1] : ""};
}

std::vector<std::string> absolute(const std::vector<std::string>& volumes, const fs::path& folder) {
  std::vector<std::string> out;
  for (const std::string& volume : volumes)
    out.push_back(volume.starts_with(".") ? (folder / volume).lexically_normal().string() : volume);
  return out;
}

// As MLflow calls it, so that paths in commands stay what they are.
constexpr const char* kCode = "/mlflow/projects/code";

Container container_of(const config::DockerEnvironment& wanted, const fs::path& folder,
                       const ContainerOptions& options, std::string engine, Image image) {
  return {.engine = std::move(engine),
          .image = std::move(image.id),
          .digest = std::move(image.digest),
          .image_name = options.build ? options.name : wanted.image,
          .volumes = absolute(wanted.volumes, folder),
          .variables = wanted.variables,
          .arguments = options.arguments,
          .code = options.build ? kCode : ""};
}

// The image with the project's folder on top. What does not change is not built again.
Result<Image> build_image(const std::string& engine, const std::string& base, const fs::path& folder,
                          const std::string& name, const fs::path& kept) {
  TempDir scratch = TRY(TempDir::create());
  const fs::path file = scratch.path() / "Dockerfile";
  TRY(write_file_atomic(file, fmt::format("FROM {}\nCOPY . {}/\nWORKDIR {}\n", base, kCode, kCode)));
  log_info("image {}: building it of {} (log: {})", name, folder.string(), (kept / "build.log").string());
  TRY_IN(
      fmt::format("image {}", name),
      run_long({{engine, "build", "--file", file.string(), "--tag", name, "."}, folder, kept / "build.log"}));
  return find_image(engine, name);
}

fs::path settings_file(const fs::path& kept) { return kept / "containers.conf"; }
fs::path mark_of(const fs::path& kept, const std::string& image) {
  return kept / fmt::format("image-{}.json", image.substr(image.find(':') + 1).substr(0, 16));
}

// How the image runs on this machine.
struct Trial {
  fs::path settings;
  bool takes_limits = false;
};

// What an earlier trial has found.
std::optional<Trial> known_trial(const fs::path& kept, const std::string& image) {
  auto text = read_file(mark_of(kept, image), 4096);
  auto mark = text ? parse_json(*text) : Result<Json>(Json());
  if (!mark || !mark->is_object() || !mark->contains("takes_limits")) return std::nullopt;
  const fs::path settings = json_string(*mark, "settings");
  std::error_code ignored;
  if (!settings.empty() && !fs::exists(settings, ignored)) return std::nullopt;
  return Trial{settings, mark->at("takes_limits") == true};
}

Result<> try_to_run(const Container& container, const fs::path& settings) {
  constexpr uint64_t kSomeMemory = 64 << 20;
  const std::vector<std::string> argv =
      command_line(container, {.name = fmt::format("tidemill-trial-{}", ::getpid()),
                               .command = "true",
                               .folder = "/",
                               .mounts = {},
                               .variables = {},
                               .memory = kSomeMemory,
                               .cpus = 1});
  std::map<std::string, std::string> variables;
  if (!settings.empty()) variables["CONTAINERS_CONF"] = settings.string();
  return run_long({argv, "/", settings.empty() ? "/dev/null" : settings.string() + ".log", variables});
}

// The first settings with which the image runs.
Result<fs::path> find_settings(const Container& container, const fs::path& kept) {
  auto own = try_to_run(container, "");
  if (own) return fs::path();
  if (!is_podman(container.engine) || own.error().code == Code::kCancelled)
    return tl::unexpected<Error>(std::move(own).error());
  TRY(write_file_atomic(settings_file(kept), oci::kPlainPodmanSettings));
  TRY(try_to_run(container, settings_file(kept)));
  return settings_file(kept);
}

Result<Trial> try_out(Container container, const fs::path& kept) {
  Trial trial{.settings = TRY(find_settings(container, kept))};
  container.takes_limits = true;
  auto limited = try_to_run(container, trial.settings);
  if (!limited && limited.error().code == Code::kCancelled) return tl::unexpected<Error>(limited.error());
  trial.takes_limits = limited.has_value();
  return trial;
}

FoundContainer as_tried(Container container, const Trial& trial) {
  container.takes_limits = trial.takes_limits;
  return {std::move(container), trial.settings};
}

}  // namespace

Result<FoundContainer> find_container(const config::DockerEnvironment& wanted, const fs::path& folder,
                                      const ContainerOptions& options, const fs::path& kept) {
  std::string engine = TRY(find_engine());
  // What is not there has its name for an id: whatever it will be, no result was made with it.
  Image image = options.build ? Image{.id = options.name} : TRY(find_image(engine, wanted.image));
  if (image.id.empty()) image.id = wanted.image;
  const Trial trial = known_trial(kept, image.id).value_or(Trial{});
  return as_tried(container_of(wanted, folder, options, std::move(engine), std::move(image)), trial);
}

Result<FoundContainer> make_container(const config::DockerEnvironment& wanted, const fs::path& folder,
                                      const ContainerOptions& options, const fs::path& kept) {
  std::string engine = TRY(find_engine());
  Image image = TRY(find_image(engine, wanted.image));
  TRY(make_dirs(kept));
  // What is left of steps whose engine was killed with them; young ones may be about to start.
  (void)run_command({engine, "container", "prune", "--force", "--filter", fmt::format("label={}", kLabel),
                     "--filter", "until=10m"},
                    kPatience);
  if (image.id.empty()) {
    log_info("image {}: pulling it (log: {})", wanted.image, (kept / "pull.log").string());
    TRY_IN(fmt::format("image {}", wanted.image),
           run_long({{engine, "pull", wanted.image}, "/", kept / "pull.log"}));
    image = TRY(find_image(engine, wanted.image));
  }
  if (options.build) image = TRY(build_image(engine, image.id, folder, options.name, kept));
  Container container = container_of(wanted, folder, options, std::move(engine), image);
  if (auto known = known_trial(kept, image.id)) return as_tried(std::move(container), *known);
  const Trial trial = TRY_IN(fmt::format("image {}", wanted.image), try_out(container, kept));
  TRY(write_file_atomic(mark_of(kept, image.id), dump_json(Json{{"settings", trial.settings.string()},
                                                                {"takes_limits", trial.takes_limits}})));
  return as_tried(std::move(container), trial);
}

std::vector<std::string> removal(const Container& container, const std::string& name) {
  return {container.engine, "rm", "--force", name};
}

std::vector<std::string> command_line(const Container& container, const ContainedCommand& contained) {
  std::vector<std::string> argv = {
      container.engine,          "run",     "--rm", "--name", contained.name, "--workdir",
      contained.folder.string(), "--label", kLabel};
  auto add = [&argv](std::string option, std::string value) {
    argv.push_back(std::move(option));
    argv.push_back(std::move(value));
  };
  auto names = [&](std::string_view option) {
    return std::find(container.arguments.begin(), container.arguments.end(), option) !=
           container.arguments.end();
  };
  if (!names("--network") && !names("--net")) add("--network", "host");  // the tracking server is on loopback
  if (is_podman(container.engine))
    // Output straight into our file: attaching can miss some.
    argv.insert(argv.end(), {"--log-driver", "passthrough", "--security-opt", "label=disable"});
  else if (::geteuid() != 0)
    add("--user", fmt::format("{}:{}", ::geteuid(), ::getegid()));  // who owns what it writes
  if (container.takes_limits && contained.memory > 0 && !names("--memory"))
    for (const char* limit : {"--memory", "--memory-swap"}) add(limit, std::to_string(contained.memory));
  if (container.takes_limits && contained.cpus > 0 && !names("--cpus"))
    add("--cpus", std::to_string(contained.cpus));
  for (const fs::path& path : contained.mounts) add("--volume", fmt::format("{0}:{0}", path.string()));
  for (const std::string& volume : container.volumes) add("--volume", volume);
  for (const auto& [name, value] : container.variables)
    add("--env", value ? fmt::format("{}={}", name, *value) : name);
  // By name: values may be secrets, and others can read a command line.
  for (const std::string& name : contained.variables) add("--env", name);
  argv.insert(argv.end(), container.arguments.begin(), container.arguments.end());
  argv.insert(argv.end(), {container.image, "sh", "-c", kFirstProcess, contained.command});
  return argv;
}

}  // namespace tidemill::projects
