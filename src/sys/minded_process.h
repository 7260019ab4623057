// A child process that may outlive the process that started it. It runs under a small parent of its own, the
// minder: a fork of the starter that waits for it, ends it in time together with all that it has started, and
// writes down how it ended. Whoever looks later at that record learns it, even when the starter is long gone.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/files.h"
#include "base/result.h"
#include "sys/process.h"

namespace tidemill {

struct Minding {
  enum class Survival {
    kEndsWithStarter,  // it is stopped when the thread that started it ends, however it does
    kOutlivesStarter
  };

  // A file of this process alone, in a folder that exists. The minder holds a lock on it while it lives.
  fs::path record;
  Survival survival = Survival::kEndsWithStarter;
  std::optional<std::chrono::milliseconds> timeout;
  std::chrono::milliseconds grace{10'000};  // between SIGTERM and SIGKILL
  std::vector<int> keep_open;               // descriptors that the minder holds until the process has ended
  // Of the output file, bytes: beyond that only its beginning and its end are kept. 0: all.
  uint64_t output_limit = 0;
  std::vector<std::string> secrets;  // the minder sees to it that the output file does not hold them
  fs::path control_group;  // of make_control_group(), for this process alone; removed at its end. "": none
  // Run by the minder when the process was stopped or killed: ends what it has left in somebody else's care,
  // as a container in that of its engine. Empty: nothing. It has kCleaningSeconds.
  std::vector<std::string> clean_up;
};
inline constexpr int kCleaningSeconds = 30;

enum class StopCause { kNone, kTimeout, kAsked };

struct MindedEnd {
  Exit exit;
  StopCause stopped = StopCause::kNone;
  double seconds = 0;
  bool out_of_memory = false;  // the kernel has killed some of its control group for want of memory
  int start_errno = 0;         // why its program could not be executed; the rest means nothing then
};

class MindedProcess {
 public:
  // The process leads a group and a session of its own. Does not wait until its program runs: of the errors
  // of Process::start, those that only executing it shows are told by read_end().
  static Result<MindedProcess> start(const ProcessOptions& options, const Minding& minding);
  // The one that this file is the record of, perhaps started by another process; nullopt when it has ended,
  // or never was.
  static Result<std::optional<MindedProcess>> find(const fs::path& record);
  MindedProcess(MindedProcess&&) noexcept;
  MindedProcess& operator=(MindedProcess&&) noexcept;
  // Kills it, and waits for its end.
  ~MindedProcess();

  // Readable (poll) once it has ended, and its record is complete.
  int pidfd() const;
  bool has_ended() const;
  void wait() const;
  // SIGTERM to it and all that it has started, SIGKILL after the grace period, also when this process ends
  // meanwhile. Returns at once.
  void stop();
  // SIGKILL to all of it.
  void kill();

 private:
  struct State;
  explicit MindedProcess(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// Whether the process still runs that this file is the record of.
bool is_minded(const fs::path& record);
// The minder, while it lives: what it minds is below it.
std::optional<pid_t> minder_of(const fs::path& record);
// Whether it was ever started.
bool was_minded(const fs::path& record);
// How it ended; nullopt when it has not, or when its minder was killed or went down with the machine.
std::optional<MindedEnd> read_end(const fs::path& record);

}  // namespace tidemill
