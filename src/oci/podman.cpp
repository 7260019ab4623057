// podman run on the image's unpacked files (--rootfs): nothing is copied into podman's store, which would
// take longer than unpacking and starting together.
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"
#include "oci/podman_settings.h"
#include "oci/runtime_parts.h"
#include "sys/process_guard.h"

namespace tidemill::oci {
namespace {

constexpr std::chrono::seconds kPatience{30};
// podman ends a container by itself after this time, should everything else have failed.
constexpr int kLongestRunSeconds = 6 * 3600;

// The process group of the container's first process; nothing that could be ours.
std::optional<pid_t> group_of(const fs::path& pid_file) {
  auto text = read_file(pid_file, 64);
  pid_t pid = text ? std::atoi(text->c_str()) : 0;
  pid_t group = pid > 1 ? ::getpgid(pid) : -1;
  if (group <= 1 || group == ::getpgrp()) return std::nullopt;
  return group;
}

class PodmanContainer final : public ProcessContainer {
 public:
  PodmanContainer(std::string podman, std::string name, std::string description, Unpacked files,
                  Process process)
      : ProcessContainer(std::move(process)),
        podman_(std::move(podman)),
        name_(std::move(name)),
        description_(std::move(description)),
        files_(std::move(files)),
        group_(group_of(files_.dir.path() / "pid")) {
    // Kills the container when this process is killed and cannot stop it itself.
    if (auto guard =
            group_ ? ProcessGuard::start() : Result<ProcessGuard>(fail(Code::kNotFound, "no group"))) {
      guard->add(*group_);
      guard_.emplace(std::move(*guard));
    }
  }
  ~PodmanContainer() override { stop(std::chrono::seconds(3)); }

  std::string description() const override { return description_; }

  void stop(std::chrono::milliseconds grace) override {
    if (stopped_) return;
    stopped_ = true;
    if (!ended()) {
      auto seconds = std::chrono::duration_cast<std::chrono::seconds>(grace).count();
      (void)run_command({podman_, "stop", "-t", std::to_string(seconds), name_}, grace + kPatience);
      exit_ = process_.wait_for(std::chrono::seconds(5));
    }
    if (guard_) guard_->remove(*group_);
    // --rm has removed it, unless podman itself was killed.
    if (!exit_ || exit_->signal != 0) (void)run_command({podman_, "rm", "-f", "-t", "0", name_}, kPatience);
    if (!exit_) exit_ = process_.stop(std::chrono::seconds(5));
  }

 private:
  std::string podman_, name_, description_;
  Unpacked files_;
  std::optional<pid_t> group_;
  std::optional<ProcessGuard> guard_;
  bool stopped_ = false;
};

// The limits this process has: containers may not have higher ones without a right we may lack. podman lowers
// its own to 32768 processes.
void add_limits(std::vector<std::string>& argv) {
  auto add = [&argv](std::string_view name, decltype(RLIMIT_NOFILE) which, rlim_t most) {
    rlimit limit{};
    if (::getrlimit(which, &limit) != 0) return;
    rlim_t value = std::min(limit.rlim_max, most);
    argv.insert(argv.end(), {"--ulimit", fmt::format("{}={}:{}", name, value, value)});
  };
  add("nofile", RLIMIT_NOFILE, 65536);
  add("nproc", RLIMIT_NPROC, 32768);
}

std::vector<std::string> podman_arguments(const std::string& podman, const std::string& name,
                                          const Unpacked& files, const ContainerSpec& spec,
                                          const std::vector<std::string>& command) {
  std::vector<std::string> argv = run_arguments(podman, name);
  // Output straight into our file: attaching can miss some.
  argv.insert(argv.end(),
              {"--pidfile", (files.dir.path() / "pid").string(), "--log-driver", "passthrough", "--timeout",
               std::to_string(kLongestRunSeconds), "--security-opt", "label=disable"});
  add_limits(argv);
  const ImageConfig& config = files.config;
  if (!config.user.empty()) argv.insert(argv.end(), {"--user", config.user});
  if (!config.working_dir.empty()) argv.insert(argv.end(), {"--workdir", config.working_dir});
  if (!config.stop_signal.empty()) argv.insert(argv.end(), {"--stop-signal", config.stop_signal});
  add_environment(argv, merged_env(config, spec));
  argv.insert(argv.end(), {"--rootfs", files.root.string()});
  argv.insert(argv.end(), command.begin(), command.end());
  return argv;
}

class Podman : public ContainerRuntime {
 public:
  std::string name() const override { return "podman"; }

  Result<std::unique_ptr<Container>> start(const ContainerSpec& spec) override {
    auto program = find_program("podman");
    if (!program) return fail(Code::kUnavailable, "not installed (Debian packages podman and runc)");
    Unpacked files = TRY(unpack_for_run(spec.archive));
    std::vector<std::string> command = TRY(command_of(files.config, spec));
    std::string container_name = new_container_name();
    auto argv = podman_arguments(program->string(), container_name, files, spec, command);

    auto process = attempt(argv, {}, files, spec);
    if (!process && process.error().code == Code::kUnavailable && !std::getenv("CONTAINERS_CONF")) {
      log_debug("podman with its own settings: {}", process.error().message);
      fs::path settings = files.dir.path() / "containers.conf";
      TRY(write_file_atomic(settings, kPlainPodmanSettings, Durable::no));
      process = attempt(argv, {{"CONTAINERS_CONF", settings.string()}}, files, spec);
    }
    if (!process) {
      (void)run_command({program->string(), "rm", "-f", "-t", "0", container_name}, kPatience);
      return tl::unexpected(std::move(process).error());
    }
    return std::make_unique<PodmanContainer>(program->string(), container_name,
                                             "podman, from the unpacked image", std::move(files),
                                             std::move(*process));
  }

 private:
  static Result<Process> attempt(const std::vector<std::string>& argv, std::map<std::string, std::string> env,
                                 const Unpacked& files, const ContainerSpec& spec) {
    ProcessOptions options;
    options.argv = bound_to_us(argv);
    options.extra_env = std::move(env);
    options.output_file = spec.log_file;
    Process process = TRY(Process::start(options));
    // podman writes the file once the container's first process runs.
    auto running = [file = files.dir.path() / "pid"] {
      std::error_code error;
      const auto size = fs::file_size(file, error);
      return !error && size > 0;
    };
    auto ended_within = [&](std::chrono::milliseconds wait) { return process.wait_for(wait).has_value(); };
    TRY(wait_started({running, ended_within, std::chrono::milliseconds(3), kPatience}, spec.log_file));
    return process;
  }
};

}  // namespace

std::unique_ptr<ContainerRuntime> podman_runtime() { return std::make_unique<Podman>(); }

}  // namespace tidemill::oci
