// The image's program as a plain process on its unpacked files, in the best cage this machine allows: its own
// mounts and process ids (root, or user namespaces), chroot alone, or the image's own dynamic loader with no
// cage at all.
#include <unistd.h>

#include <set>

#include "base/text.h"
#include "oci/elf.h"
#include "oci/runtime_parts.h"
#include "sys/process_guard.h"

namespace tidemill::oci {
namespace {

enum class Cage { kNamespaces, kChroot, kLoader };

std::string_view describe(Cage cage) {
  switch (cage) {
    case Cage::kNamespaces:
      return "plain process with its own mounts and process ids, from the unpacked image";
    case Cage::kChroot:
      return "plain process under chroot, from the unpacked image";
    case Cage::kLoader:
      return "plain process with the image's own loader, from the unpacked image";
  }
  return "";
}

class PlainProcess final : public ProcessContainer {
 public:
  PlainProcess(Cage cage, Unpacked files, Process process, Result<ProcessGuard> guard)
      : ProcessContainer(std::move(process)), cage_(cage), files_(std::move(files)), group_(process_.pid()) {
    if (!guard) return;
    guard->add(group_);
    guard_.emplace(std::move(*guard));
  }
  ~PlainProcess() override { stop(std::chrono::seconds(3)); }

  std::string description() const override { return std::string(describe(cage_)); }
  void stop(std::chrono::milliseconds grace) override {
    if (!ended()) exit_ = process_.stop(grace);
    if (guard_) guard_->remove(group_);
    guard_.reset();
  }

 private:
  Cage cage_;
  Unpacked files_;
  // Kills the program when this process is killed: unshare and chroot change the user after they have asked
  // for a signal at their parent's end, and the kernel forgets it then.
  pid_t group_;
  std::optional<ProcessGuard> guard_;
};

bool works(const std::vector<std::string>& argv) {
  auto captured = run_command(argv, std::chrono::seconds(10));
  return captured && captured->exit.ok();
}

struct Tools {
  std::string unshare, chroot;
};

Cage best_cage(const Tools& tools) {
  if (!tools.unshare.empty() && ::geteuid() == 0 &&
      works({tools.unshare, "--mount", "--pid", "--fork", "--mount-proc", "true"}))
    return Cage::kNamespaces;
  if (!tools.chroot.empty() && ::geteuid() == 0 && works({tools.chroot, "/", "true"})) return Cage::kChroot;
  return Cage::kLoader;
}

std::pair<std::string, std::string> user_and_group(const std::string& user) {
  size_t colon = user.find(':');
  std::string uid = user.substr(0, colon);
  bool number = !uid.empty() && uid.find_first_not_of("0123456789") == std::string::npos;
  if (!number) return {"0", "0"};
  return {uid, colon == std::string::npos ? uid : user.substr(colon + 1)};
}

// A path of the image as this machine sees it; anything else stays as it is.
std::string outside(const fs::path& root, const std::string& text) {
  if (!text.starts_with('/')) return text;
  auto path = path_inside(root, text.substr(1));
  std::error_code error;
  return path && fs::exists(*path, error) ? path->string() : text;
}

std::string library_path(const fs::path& root) {
  std::set<std::string> folders;
  std::error_code error;
  for (fs::recursive_directory_iterator it(root, error), end; !error && it != end; it.increment(error))
    if (it->path().filename().string().find(".so") != std::string::npos)
      folders.insert(it->path().parent_path().string());
  return join({folders.begin(), folders.end()}, ":");
}

Result<std::vector<std::string>> with_loader(const fs::path& root, std::vector<std::string> command) {
  fs::path program = TRY(path_inside(root, command[0].substr(command[0].starts_with('/') ? 1 : 0)));
  ElfFile elf = TRY_IN(program.string(), parse_elf(TRY(read_file(program))));
  for (std::string& word : command) word = outside(root, word);
  if (elf.interpreter.empty()) return command;
  std::vector<std::string> argv = {outside(root, elf.interpreter), "--library-path", library_path(root)};
  argv.insert(argv.end(), command.begin(), command.end());
  return argv;
}

// `env -i KEY=value ... command`: the image's environment and nothing of ours.
std::vector<std::string> with_environment(const std::map<std::string, std::string>& env,
                                          const std::vector<std::string>& command) {
  std::vector<std::string> argv = {"/usr/bin/env", "-i"};
  for (const auto& [key, value] : env) argv.push_back(fmt::format("{}={}", key, value));
  argv.insert(argv.end(), command.begin(), command.end());
  return argv;
}

Result<std::vector<std::string>> caged(Cage cage, const Tools& tools, const Unpacked& files,
                                       const std::vector<std::string>& command) {
  auto [uid, gid] = user_and_group(files.config.user);
  std::vector<std::string> argv;
  switch (cage) {
    case Cage::kNamespaces:
      argv = {tools.unshare,
              "--mount",
              "--pid",
              "--fork",
              "--kill-child=TERM",
              "--root=" + files.root.string(),
              "--mount-proc=/proc",
              "--setgid",
              gid,
              "--setuid",
              uid};
      break;
    case Cage::kChroot:
      argv = {tools.chroot, "--userspec=" + uid + ":" + gid, files.root.string()};
      break;
    case Cage::kLoader:
      return with_loader(files.root, command);
  }
  argv.insert(argv.end(), command.begin(), command.end());
  return argv;
}

class PlainRuntime : public ContainerRuntime {
 public:
  std::string name() const override { return "process"; }

  Result<std::unique_ptr<Container>> start(const ContainerSpec& spec) override {
    auto unshare = find_program("unshare"), chroot = find_program("chroot");
    Tools tools{unshare ? unshare->string() : "", chroot ? chroot->string() : ""};
    Unpacked files = TRY(unpack_for_run(spec.archive));
    std::vector<std::string> command = TRY(command_of(files.config, spec));
    Cage cage = best_cage(tools);
    auto env = merged_env(files.config, spec);
    if (cage == Cage::kLoader)
      for (auto& [key, value] : env) value = outside(files.root, value);
    ProcessOptions options;
    // In its own process-id namespace unshare dies first, and its child is told (--kill-child).
    options.argv = with_environment(env, bound_to_us(TRY(caged(cage, tools, files, command)),
                                                     cage == Cage::kNamespaces ? "KILL" : "TERM"));
    options.output_file = spec.log_file;
    auto guard = ProcessGuard::start();
    Process process = TRY(Process::start(options));
    return std::make_unique<PlainProcess>(cage, std::move(files), std::move(process), std::move(guard));
  }
};

}  // namespace

std::unique_ptr<ContainerRuntime> process_runtime() { return std::make_unique<PlainRuntime>(); }

}  // namespace tidemill::oci
