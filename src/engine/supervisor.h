// The processes of steps: starts them, waits for them, and ends those that take too long.
#pragma once

#include <chrono>
#include <list>
#include <optional>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "sys/memory_watch.h"
#include "sys/process.h"
#include "sys/process_guard.h"

namespace tidemill::engine {

enum class StopCause { kNone, kTimeout, kInterrupt };

// A process that has ended. What it had started in its process group is dead by then.
struct Ended {
  size_t step;
  Exit exit;
  StopCause stopped = StopCause::kNone;
  double seconds = 0;
  bool out_of_memory = false;  // the kernel has killed something for want of memory, most likely this
};

// To be used on one thread, the one that made it.
class Supervisor {
 public:
  // grace: between SIGTERM and SIGKILL.
  static Result<Supervisor> start(std::chrono::milliseconds grace);
  Supervisor(Supervisor&&) = default;
  Supervisor& operator=(Supervisor&&) = default;

  Result<> launch(size_t step, const ProcessOptions& options, std::optional<std::chrono::seconds> timeout);
  // What has ended, after at most `patience`; sooner when something ends or the user interrupts.
  std::vector<Ended> wait(std::chrono::milliseconds patience);
  // SIGTERM to all; they end by wait().
  void stop_all();
  // Ends all of them here and now, and whatever left its process group.
  void end_all();
  size_t running() const { return running_.size(); }

 private:
  struct Running {
    size_t step;
    Process process;
    Stopwatch watch;
    std::optional<std::chrono::steady_clock::time_point> deadline, kill_at;
    StopCause stopped = StopCause::kNone;
  };

  Supervisor(std::chrono::milliseconds grace, ProcessGuard guard) : grace_(grace), guard_(std::move(guard)) {}
  void stop(Running& running, StopCause cause);
  void enforce_deadlines();
  std::chrono::milliseconds until_next_deadline(std::chrono::milliseconds most) const;

  std::chrono::milliseconds grace_;
  ProcessGuard guard_;
  MemoryWatch memory_;
  std::list<Running> running_;
  bool stopping_ = false;
};

}  // namespace tidemill::engine
