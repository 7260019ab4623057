#include "sys/child.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <utility>

extern char** environ;

namespace tidemill {

CStrings child_environment(const ProcessOptions& options) {
  CStrings env;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    std::string_view text = *entry;
    std::string name(text.substr(0, text.find('=')));
    bool replaced = options.extra_env.count(name) > 0;
    bool removed =
        std::find(options.unset_env.begin(), options.unset_env.end(), name) != options.unset_env.end();
    if (!replaced && !removed) env.strings.emplace_back(text);
  }
  for (const auto& [name, value] : options.extra_env) env.strings.push_back(name + "=" + value);
  return env;
}

[[noreturn]] void run_child(const ChildSetup& setup) {
  auto fail_with_errno = [&] {
    int error = errno;
    [[maybe_unused]] ssize_t ignored = ::write(setup.report, &error, sizeof error);
    _exit(127);
  };
  // A step must not outlive a runner that was killed; its own children are in its process group.
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != setup.parent) _exit(127);
  if (setup.new_group) setpgid(0, 0);
  if (setup.control_group >= 0 && ::write(setup.control_group, "0", 1) != 1) fail_with_errno();
  for (auto [from, to] :
       {std::pair{setup.input, STDIN_FILENO}, {setup.output, STDOUT_FILENO}, {setup.errors, STDERR_FILENO}})
    if (from >= 0 && dup2(from, to) < 0) fail_with_errno();
  if (setup.working_dir != nullptr && chdir(setup.working_dir) != 0) fail_with_errno();
  for (int signal : {SIGINT, SIGTERM, SIGPIPE, SIGHUP, SIGALRM, SIGUSR1}) ::signal(signal, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  execve(setup.program, setup.argv, setup.env);
  fail_with_errno();
  _exit(127);
}

Result<fs::path> resolve_program(const std::string& name) {
  if (name.find('/') != std::string::npos) return fs::path(name);
  auto found = find_program(name);
  if (!found) return fail(Code::kNotFound, "program '{}' is not in PATH", name);
  return *found;
}

Error start_error(const fs::path& program, const ProcessOptions& options, int error_number) {
  std::string what = fmt::format("start {}", program.string());
  if (error_number == ENOENT && !options.working_dir.empty() && !fs::is_directory(options.working_dir))
    what = fmt::format("start {} in {}", program.string(), options.working_dir.string());
  return errno_error(what, error_number);
}

Result<Streams> Streams::open(const ProcessOptions& options) {
  Streams streams;
  streams.null = TRY(open_file("/dev/null", O_RDWR));
  streams.input = streams.null.get();
  if (!options.output_file.empty()) {
    streams.output_file = TRY(open_file(options.output_file, O_WRONLY | O_CREAT | O_APPEND));
    streams.output = streams.errors = streams.output_file.get();
  } else if (options.discard_output) {
    streams.output = streams.errors = streams.null.get();
  }
  return streams;
}

Exit exit_from(int status, const rusage& usage) {
  auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
  };
  Exit exit;
  if (WIFSIGNALED(status)) {
    exit.signal = WTERMSIG(status);
  } else {
    exit.status = WEXITSTATUS(status);
  }
  exit.user_seconds = seconds(usage.ru_utime);
  exit.system_seconds = seconds(usage.ru_stime);
  exit.max_resident_bytes = static_cast<uint64_t>(usage.ru_maxrss) * 1024;
  return exit;
}

}  // namespace tidemill
