#include "oci/runtime.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <charconv>
#include <fstream>

#include "base/id.h"
#include "base/text.h"
#include "base/time.h"
#include "oci/runtime_parts.h"
#include "sys/signals.h"

namespace tidemill::oci {
namespace {

// Field 22 of /proc/<pid>/stat: a reused process id has another one. "" when there is no such process.
std::string start_time_of(pid_t pid) {
  std::ifstream in(fmt::format("/proc/{}/stat", pid));
  std::string text((std::istreambuf_iterator<char>(in)), {});
  size_t name_end = text.rfind(')');
  if (name_end == std::string::npos) return "";
  std::vector<std::string> fields = split(text.substr(name_end + 1), ' ');
  constexpr size_t kStartTime = 20;  // counted from the blank behind the name
  return fields.size() > kStartTime ? fields[kStartTime] : "";
}

}  // namespace

std::string owner_mark() { return fmt::format("{}-{}", ::getpid(), start_time_of(::getpid())); }

bool owner_is_gone(std::string_view mark) {
  size_t dash = mark.find('-');
  if (dash == std::string_view::npos) return false;
  const std::string_view digits = mark.substr(0, dash);
  pid_t pid = 0;
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), pid);
  if (error != std::errc{} || end != digits.data() + digits.size() || pid <= 0) return false;
  return start_time_of(pid) != mark.substr(dash + 1);
}

Result<TempDir> work_folder() {
  return TempDir::create({}, fmt::format("{}{}-", kFolderPrefix, owner_mark()));
}

Result<Unpacked> unpack_for_run(const fs::path& archive) {
  ImageArchive image = TRY(read_archive(archive));
  TempDir dir = TRY(work_folder());
  fs::path root = dir.path() / "root";
  TRY(make_dirs(root));
  std::error_code error;
  fs::permissions(root, fs::perms(0755), error);  // the image's user passes through it
  TRY(unpack_image(image, root));
  return Unpacked{std::move(dir), root, std::move(image.config)};
}

std::map<std::string, std::string> merged_env(const ImageConfig& config, const ContainerSpec& spec) {
  std::map<std::string, std::string> env;
  for (const std::string& line : config.env) {
    size_t equals = line.find('=');
    if (equals != std::string::npos && equals > 0) env[line.substr(0, equals)] = line.substr(equals + 1);
  }
  for (const auto& [key, value] : spec.env) env[key] = value;
  return env;
}

Result<std::vector<std::string>> command_of(const ImageConfig& config, const ContainerSpec& spec) {
  std::vector<std::string> command = config.entrypoint;
  const std::vector<std::string>& args = spec.args.empty() ? config.command : spec.args;
  command.insert(command.end(), args.begin(), args.end());
  if (command.empty()) return fail(Code::kInvalid, "{}: the image has no entry point", spec.archive.string());
  return command;
}

std::vector<std::string> bound_to_us(std::vector<std::string> argv, std::string_view signal) {
  auto setpriv = find_program("setpriv");
  if (!setpriv) return argv;
  std::vector<std::string> bound = {setpriv->string(), "--pdeathsig", std::string(signal), "--"};
  bound.insert(bound.end(), argv.begin(), argv.end());
  return bound;
}

std::string last_lines(const fs::path& log, size_t lines) {
  std::ifstream in(log);
  std::vector<std::string> last;
  for (std::string line; std::getline(in, line);) {
    std::string_view text = trim(line);
    if (text.empty()) continue;
    last.emplace_back(text.substr(0, 500));
    if (last.size() > lines) last.erase(last.begin());
  }
  return last.empty() ? "it printed nothing" : join(last, " | ");
}

std::string new_container_name() { return fmt::format("tidemill-{}-{:x}", owner_mark(), random_u64()); }

std::vector<std::string> run_arguments(const std::string& engine, const std::string& name) {
  return {
      engine,      "run", "--rm", "--name", name, "--label", fmt::format("{}={}", kOwnerLabel, owner_mark()),
      "--network", "host"};
}

void add_environment(std::vector<std::string>& argv, const std::map<std::string, std::string>& env) {
  for (const auto& [key, value] : env) argv.insert(argv.end(), {"--env", fmt::format("{}={}", key, value)});
}

Result<> wait_started(const StartWait& wait, const fs::path& log) {
  for (Stopwatch waited; !wait.running();) {
    if (wait.ended_within(wait.pause))
      return fail(Code::kUnavailable, "cannot start a container: {}", last_lines(log, 1));
    if (interrupted()) return fail(Code::kCancelled, "interrupted");
    if (waited.seconds() > std::chrono::duration<double>(wait.patience).count())
      return fail(Code::kTimeout, "the container did not start in {} s", wait.patience.count());
  }
  return {};
}

void remove_leftover_containers(const std::string& engine) {
  constexpr std::chrono::seconds kPatience{20};
  if (!find_program(engine)) return;
  auto listed = run_command({engine, "ps", "-a", "--filter", fmt::format("label={}", kOwnerLabel), "--format",
                             "{{.ID}} {{.Labels}}"},
                            kPatience);
  if (!listed || !listed->exit.ok()) return;
  for (const std::string& line : split(listed->output, '\n')) {
    size_t label = line.find(kOwnerLabel);
    if (label == std::string::npos) continue;
    // podman prints map[key:value ...], docker key=value,...
    std::string mark = line.substr(label + kOwnerLabel.size() + 1);
    mark = mark.substr(0, mark.find_first_not_of("0123456789-"));
    if (!owner_is_gone(mark)) continue;
    (void)run_command({engine, "rm", "-f", line.substr(0, line.find(' '))}, kPatience);
  }
}

void remove_leftovers() {
  for (const char* engine : {"podman", "docker"}) remove_leftover_containers(engine);
  std::error_code error;
  std::vector<fs::path> gone;
  for (fs::directory_iterator it(fs::temp_directory_path(error), error), end; !error && it != end;
       it.increment(error)) {
    std::string name = it->path().filename().string();
    if (!name.starts_with(kFolderPrefix)) continue;
    std::string mark = name.substr(kFolderPrefix.size());
    mark = mark.substr(0, mark.find('-', mark.find('-') + 1));
    if (owner_is_gone(mark)) gone.push_back(it->path());
  }
  for (const fs::path& folder : gone) (void)tidemill::remove_all(folder);
}

Result<std::vector<std::unique_ptr<ContainerRuntime>>> runtimes_for(std::string_view choice) {
  std::vector<std::unique_ptr<ContainerRuntime>> runtimes;
  if (choice == "podman" || choice == "auto") runtimes.push_back(podman_runtime());
  if (choice == "docker" || choice == "auto") runtimes.push_back(docker_runtime());
  if (choice == "process" || choice == "auto") runtimes.push_back(process_runtime());
  if (runtimes.empty())
    return fail(Code::kInvalid, "unknown container runtime '{}'{}", choice,
                did_you_mean(choice, {"auto", "podman", "docker", "process"}));
  return runtimes;
}

Result<Started> start_container(const std::vector<std::unique_ptr<ContainerRuntime>>& runtimes,
                                const ContainerSpec& spec) {
  Started started;
  for (const auto& runtime : runtimes) {
    auto container = runtime->start(spec);
    if (container) {
      started.container = std::move(*container);
      started.runtime = runtime->name();
      return started;
    }
    Error error = std::move(container).error();
    bool hopeless = error.code == Code::kInvalid || error.code == Code::kCancelled;
    if (hopeless) return tl::unexpected(std::move(error));
    if (runtimes.size() == 1) return tl::unexpected(std::move(error).in(runtime->name()));
    started.not_used.push_back(fmt::format("{}: {}", runtime->name(), error.message));
  }
  return fail(Code::kUnavailable, "no container runtime could start the image: {}",
              join(started.not_used, "; "));
}

Result<uint16_t> free_port() {
  Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (!socket || ::bind(socket.get(), generic, size) != 0 || ::getsockname(socket.get(), generic, &size) != 0)
    return tl::unexpected(errno_error("find a free port", errno));
  return ntohs(address.sin_port);
}

}  // namespace tidemill::oci
