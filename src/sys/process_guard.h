// No process may be left behind by a program that is killed with SIGKILL.
#pragma once

#include <sys/types.h>

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

}  // namespace tidemill
