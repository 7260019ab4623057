#include "sys/guardian.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

namespace tidemill {
namespace {

// Runs in the forked process, so only async-signal-safe calls and no allocation. A positive number on the pipe
// adds a group, a negative one removes it; the end of the pipe means that the runner is gone.
[[noreturn]] void guard(int commands) {
  constexpr int kMostGroups = 4096;
  static pid_t groups[kMostGroups];
  int count = 0;
  setsid();
  for (int signal : {SIGINT, SIGTERM, SIGHUP}) ::signal(signal, SIG_IGN);
  pid_t message = 0;
  for (;;) {
    ssize_t got = ::read(commands, &message, sizeof message);
    if (got < 0 && errno == EINTR) continue;
    if (got != sizeof message) break;
    if (message > 0 && count < kMostGroups) groups[count++] = message;
    for (int i = 0; message < 0 && i < count; ++i)
      if (groups[i] == -message) groups[i] = groups[--count], message = 0;
  }
  for (int i = 0; i < count; ++i) ::kill(-groups[i], SIGKILL);
  _exit(0);
}

}  // namespace

Result<Guardian> Guardian::start() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return tl::unexpected<Error>(errno_error("pipe", errno));
  Fd read_end(ends[0]), write_end(ends[1]);
  pid_t pid = fork();
  if (pid < 0) return tl::unexpected<Error>(errno_error("fork", errno));
  if (pid == 0) {
    // Every inherited descriptor but the pipe is closed: locks and listening sockets belong to the runner.
    if (read_end.get() > 3) close_range(3, read_end.get() - 1, 0);
    close_range(read_end.get() + 1, ~0U, 0);
    guard(read_end.get());
  }
  return Guardian(pid, std::move(write_end));
}

Guardian::~Guardian() {
  if (!commands_) return;
  commands_.reset();
  waitpid(pid_, nullptr, 0);
}

void Guardian::watch(pid_t group) { send(group); }
void Guardian::release(pid_t group) { send(-group); }

void Guardian::send(pid_t message) {
  [[maybe_unused]] ssize_t ignored = ::write(commands_.get(), &message, sizeof message);
}

}  // namespace tidemill
