// Ctrl-C and SIGTERM as something one can poll.
#pragma once

namespace tidemill {

// Installs handlers for SIGINT and SIGTERM that only record the signal. A second SIGINT ends the process at
// once with 130. Also ignores SIGPIPE. Call once, from main.
void catch_interrupts();
// True once a signal has come; stays true.
bool interrupted();
// 0, or the signal that came.
int interrupt_signal();
// A descriptor that becomes readable when a signal has come (for poll); never read from it.
int interrupt_fd();

}  // namespace tidemill
