#include "sys/signals.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <csignal>

namespace tidemill {
namespace {

std::atomic<int> caught_signal = 0;
int pipe_ends[2] = {-1, -1};

extern "C" void on_interrupt(int signal) {
  if (caught_signal.exchange(signal) == 0) {
    [[maybe_unused]] ssize_t ignored = ::write(pipe_ends[1], "!", 1);
  } else if (signal == SIGINT) {
    _exit(130);
  }
}

}  // namespace

void catch_interrupts() {
  if (pipe_ends[0] >= 0 || pipe2(pipe_ends, O_CLOEXEC | O_NONBLOCK) != 0) return;
  struct sigaction action {};
  action.sa_handler = on_interrupt;
  sigemptyset(&action.sa_mask);
  // No SA_RESTART: a blocking read or wait in main returns and sees interrupted().
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
}

bool interrupted() { return caught_signal != 0; }
int interrupt_signal() { return caught_signal; }
int interrupt_fd() { return pipe_ends[0]; }

}  // namespace tidemill
