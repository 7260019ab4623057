// Child processes: each in a process group of its own, watched through a pidfd, its output in a file.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/files.h"
#include "base/result.h"

namespace tidemill {

struct ProcessOptions {
  std::vector<std::string> argv;                 // argv[0] is looked up in PATH unless it has a slash
  fs::path working_dir;                          // empty: this process's
  std::map<std::string, std::string> extra_env;  // added to, or replacing, this process's environment
  std::vector<std::string> unset_env;            // removed from it
  fs::path output_file;                          // stdout and stderr, appended; empty: inherited
  bool discard_output = false;
  bool new_group = true;  // leader of a process group of its own, so that grandchildren can be signalled
};

struct Exit {
  int status = 0;  // exit status when signal == 0
  int signal = 0;  // the signal that ended it, or 0
  double user_seconds = 0, system_seconds = 0;
  uint64_t max_resident_bytes = 0;

  bool ok() const { return signal == 0 && status == 0; }
  std::string describe() const;  // "exit status 3", "killed by SIGKILL"
};

// A running child. It is killed when the thread that started it ends (PR_SET_PDEATHSIG): start it on one that
// stays. Destroying it kills the whole group (SIGKILL) and reaps the child.
class Process {
 public:
  // kNotFound names the program when it cannot be found or executed.
  static Result<Process> start(const ProcessOptions& options);
  Process(Process&&) noexcept;
  Process& operator=(Process&&) noexcept;
  ~Process();

  pid_t pid() const;
  int pidfd() const;  // readable (poll) once the child has ended
  // Waits until the child ends or the time is up; nullopt when it still runs.
  std::optional<Exit> wait_for(std::chrono::milliseconds timeout);
  Exit wait();
  // To every process of the group.
  void signal_group(int signal);
  // SIGTERM to the group, SIGKILL after the grace period; returns how the child ended.
  Exit stop(std::chrono::milliseconds grace);

 private:
  friend Result<struct Captured> run_command(const ProcessOptions&, std::chrono::milliseconds, size_t);
  struct State;
  explicit Process(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

struct Captured {
  Exit exit;
  std::string output;  // stdout
  std::string errors;  // stderr
};
// Runs a command to its end and returns what it printed (each stream bounded to max_bytes, the rest dropped).
// kTimeout when it does not end in time; it is killed then.
Result<Captured> run_command(const ProcessOptions& options, std::chrono::milliseconds timeout,
                             size_t max_bytes = 1 << 20);
inline Result<Captured> run_command(const std::vector<std::string>& argv, std::chrono::milliseconds timeout,
                                    size_t max_bytes = 1 << 20) {
  return run_command(ProcessOptions{.argv = argv}, timeout, max_bytes);
}

// The absolute path of a program in PATH, or nullopt.
std::optional<fs::path> find_program(std::string_view name);

}  // namespace tidemill
