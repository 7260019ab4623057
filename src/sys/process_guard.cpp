#include "sys/process_guard.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

namespace tidemill {
namespace {

constexpr size_t kMaxGroups = 1024;

// The guard's whole life. Runs in a forked child of a program with threads: only async-signal-safe calls.
[[noreturn]] void guard_groups(int pipe) {
  setpgid(0, 0);
  for (int signal : {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGQUIT}) ::signal(signal, SIG_IGN);
  // Nobody may wait for an end of file that this process holds back.
  dup2(pipe, 0);
  syscall(SYS_close_range, 1u, ~0u, 0u);
  static std::array<pid_t, kMaxGroups> groups;
  size_t count = 0;
  for (;;) {
    pid_t message = 0;
    ssize_t got = ::read(0, &message, sizeof message);
    if (got < 0 && errno == EINTR) continue;
    if (got != sizeof message) break;
    if (message > 0) {
      if (count < kMaxGroups) groups[count++] = message;
      continue;
    }
    for (size_t i = 0; i < count; ++i)
      if (groups[i] == -message) groups[i--] = groups[--count];
  }
  for (size_t i = 0; i < count; ++i) kill(-groups[i], SIGKILL);
  _exit(0);
}

}  // namespace

Result<ProcessGuard> ProcessGuard::start() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return tl::unexpected<Error>(errno_error("pipe", errno));
  Fd read_end(ends[0]), write_end(ends[1]);
  pid_t pid = fork();
  if (pid < 0) return tl::unexpected<Error>(errno_error("fork", errno));
  if (pid == 0) {
    close(write_end.get());
    guard_groups(read_end.get());
  }
  return ProcessGuard(pid, std::move(write_end));
}

ProcessGuard::~ProcessGuard() {
  if (pid_ < 0) return;
  pipe_.reset();
  while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

void ProcessGuard::add(pid_t group) {
  [[maybe_unused]] ssize_t written = ::write(pipe_.get(), &group, sizeof group);
}

void ProcessGuard::remove(pid_t group) { add(-group); }

}  // namespace tidemill
