#include "engine/supervisor.h"

#include <poll.h>

#include <csignal>

#include "sys/signals.h"

namespace tidemill::engine {
namespace {

// A shell passes on with this status that a child was killed by SIGKILL.
constexpr int kKilledChild = 128 + SIGKILL;

bool was_killed(const Exit& exit) { return exit.signal == SIGKILL || exit.status == kKilledChild; }

}  // namespace

using std::chrono::milliseconds;
using std::chrono::steady_clock;

Result<Supervisor> Supervisor::start(milliseconds grace) {
  Supervisor supervisor(grace, TRY(ProcessGuard::start()));
  adopt_orphans();
  return supervisor;
}

Result<> Supervisor::launch(size_t step, const ProcessOptions& options,
                            std::optional<std::chrono::seconds> timeout) {
  Running running{.step = step, .process = TRY(Process::start(options))};
  guard_.add(running.process.pid());
  if (timeout) running.deadline = steady_clock::now() + *timeout;
  running_.push_back(std::move(running));
  return {};
}

milliseconds Supervisor::until_next_deadline(milliseconds most) const {
  auto now = steady_clock::now();
  for (const auto& running : running_) {
    const auto& next = running.kill_at ? running.kill_at : running.deadline;
    if (next) most = std::min(most, std::chrono::ceil<milliseconds>(std::max(*next, now) - now));
  }
  return most;
}

std::vector<Ended> Supervisor::wait(milliseconds patience) {
  std::vector<pollfd> fds;
  for (const auto& running : running_) fds.push_back({running.process.pidfd(), POLLIN, 0});
  if (!stopping_ && interrupt_fd() >= 0) fds.push_back({interrupt_fd(), POLLIN, 0});
  poll(fds.data(), fds.size(), static_cast<int>(until_next_deadline(patience).count()));

  std::vector<Ended> ended;
  for (auto it = running_.begin(); it != running_.end();) {
    auto exit = it->process.wait_for(milliseconds(0));
    if (!exit) {
      ++it;
      continue;
    }
    guard_.remove(it->process.pid());
    it->process.signal_group(SIGKILL);  // what a step leaves running in its group ends with it
    ended.push_back({.step = it->step,
                     .exit = *exit,
                     .stopped = it->stopped,
                     .seconds = it->watch.seconds(),
                     .out_of_memory = was_killed(*exit) && memory_.killed_something()});
    it = running_.erase(it);
  }
  enforce_deadlines();
  return ended;
}

void Supervisor::stop(Running& running, StopCause cause) {
  if (running.kill_at) return;
  running.stopped = cause;
  running.kill_at = steady_clock::now() + grace_;
  running.process.signal_group(SIGTERM);
}

void Supervisor::stop_all() {
  stopping_ = true;
  for (auto& running : running_) stop(running, StopCause::kInterrupt);
}

void Supervisor::enforce_deadlines() {
  auto now = steady_clock::now();
  for (auto& running : running_) {
    if (running.deadline && now >= *running.deadline) stop(running, StopCause::kTimeout);
    if (running.kill_at && now >= *running.kill_at) running.process.signal_group(SIGKILL);
  }
}

void Supervisor::end_all() {
  for (auto& running : running_) running.process.stop(grace_);
  running_.clear();
  kill_orphans({guard_.pid()});
}

}  // namespace tidemill::engine
