// The processes of steps: starts them, takes over those that an earlier runner has left, waits for them.
#pragma once

#include <chrono>
#include <list>
#include <optional>
#include <vector>

#include "base/result.h"
#include "sys/memory_watch.h"
#include "sys/minded_process.h"

namespace tidemill::engine {

// A process that has ended, with all that it had started.
struct Ended {
  size_t step;
  std::optional<MindedEnd>
      end;  // nullopt: nobody knows how, its minder was killed or went down with the machine
  bool out_of_memory = false;  // the kernel has killed something for want of memory, most likely this
  std::optional<int64_t> at;   // ms, when nobody was there; nullopt: now
};

// By SIGKILL, as a shell tells it too.
bool was_killed(const Exit& exit);

// To be used on one thread.
class Supervisor {
 public:
  Result<> launch(size_t step, const ProcessOptions& options, const Minding& minding);
  void take_over(size_t step, const fs::path& record, MindedProcess process);
  // What has ended, after at most `patience`; sooner when something ends, the user interrupts, or `other`, a
  // descriptor (-1: none), becomes readable.
  std::vector<Ended> wait(std::chrono::milliseconds patience, int other);
  // SIGTERM to all, or to one; they end by wait().
  void stop_all();
  void stop(size_t step);
  // Ends all of them here and now.
  void end_all();

 private:
  struct Running {
    size_t step;
    fs::path record;
    MindedProcess process;
  };

  MemoryWatch memory_;
  std::list<Running> running_;
  bool stopping_ = false;
};

}  // namespace tidemill::engine
