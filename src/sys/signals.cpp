#include "sys/signals.h"

#include <fcntl.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>

#include <atomic>

namespace tidemill {
namespace {

// A signal handler can reach nothing but what is global.
std::atomic<int> received{0};
std::atomic<int> read_end{-1}, write_end{-1};

extern "C" void on_signal(int signal) {
  int saved_errno = errno;
  if (received.exchange(signal) != 0 && signal == SIGINT) _exit(130);
  char byte = 0;
  [[maybe_unused]] ssize_t written = ::write(write_end.load(), &byte, 1);
  errno = saved_errno;
}

}  // namespace

void catch_interrupts() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) std::abort();
  read_end = ends[0];
  write_end = ends[1];
  struct sigaction action{};
  action.sa_handler = on_signal;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  // A closed pipe is an error of write(2), not the end of the program.
  signal(SIGPIPE, SIG_IGN);
}

bool interrupted() { return received.load() != 0; }
int interrupt_signal() { return received.load(); }
int interrupt_fd() { return read_end.load(); }

}  // namespace tidemill
