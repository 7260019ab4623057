// A small process that outlives a runner killed with SIGKILL just long enough to end what it had started.
#pragma once

#include <sys/types.h>

#include "base/files.h"
#include "base/result.h"

namespace tidemill {

// Keeps a list of process groups in a forked process. When this process ends for whatever reason, the groups
// still on the list get SIGKILL. (PR_SET_PDEATHSIG alone reaches only direct children.)
class Guardian {
 public:
  static Result<Guardian> start();
  Guardian(Guardian&&) noexcept = default;
  Guardian& operator=(Guardian&&) noexcept = default;
  ~Guardian();

  void watch(pid_t group);
  void release(pid_t group);  // it has ended

 private:
  Guardian(pid_t pid, Fd commands) : pid_(pid), commands_(std::move(commands)) {}
  void send(pid_t message);
  pid_t pid_ = -1;
  Fd commands_;
};

}  // namespace tidemill
