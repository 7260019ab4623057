// No process may be left behind by a runner: not when it is killed with SIGKILL, and not by programs that
// fork twice to leave their process group.
#pragma once

#include <sys/types.h>

#include <vector>

#include "base/files.h"
#include "base/result.h"

namespace tidemill {

// A small process that waits for the end of this one, however it comes, and then kills the process groups
// that are still registered. PR_SET_PDEATHSIG reaches a direct child only, not the children of the child's
// shell.
class ProcessGuard {
 public:
  static Result<ProcessGuard> start();
  ProcessGuard(ProcessGuard&& other) noexcept
      : pid_(std::exchange(other.pid_, -1)), pipe_(std::move(other.pipe_)) {}
  ProcessGuard& operator=(ProcessGuard&& other) noexcept {
    std::swap(pid_, other.pid_);
    std::swap(pipe_, other.pipe_);
    return *this;
  }
  ~ProcessGuard();

  pid_t pid() const { return pid_; }
  // At most 1024 groups at a time; more are not guarded.
  void add(pid_t group);
  void remove(pid_t group);

 private:
  ProcessGuard(pid_t pid, Fd pipe) : pid_(pid), pipe_(std::move(pipe)) {}
  pid_t pid_ = -1;
  Fd pipe_;
};

// From now on, descendants whose parents have ended become children of this process instead of init's.
void adopt_orphans();
// Kills and reaps all children of this process but those in `keep`, until there are none. Returns how many
// there were. For the end of a run: what is left then are programs that left their step's process group.
int kill_orphans(const std::vector<pid_t>& keep);

}  // namespace tidemill
