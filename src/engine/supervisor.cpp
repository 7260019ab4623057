#include "engine/supervisor.h"

#include <poll.h>

#include <csignal>

#include "sys/signals.h"

namespace tidemill::engine {
namespace {

// A shell passes on with this status that a child was killed by SIGKILL.
constexpr int kKilledChild = 128 + SIGKILL;

}  // namespace

bool was_killed(const Exit& exit) { return exit.signal == SIGKILL || exit.status == kKilledChild; }

Result<> Supervisor::launch(size_t step, const ProcessOptions& options, const Minding& minding) {
  MindedProcess process = TRY(MindedProcess::start(options, minding));
  running_.push_back({step, minding.record, std::move(process)});
  return {};
}

void Supervisor::take_over(size_t step, const fs::path& record, MindedProcess process) {
  running_.push_back({step, record, std::move(process)});
}

std::vector<Ended> Supervisor::wait(std::chrono::milliseconds patience, int other) {
  std::vector<pollfd> fds;
  for (const auto& running : running_) fds.push_back({running.process.pidfd(), POLLIN, 0});
  if (!stopping_ && interrupt_fd() >= 0) fds.push_back({interrupt_fd(), POLLIN, 0});
  if (other >= 0) fds.push_back({other, POLLIN, 0});
  poll(fds.data(), fds.size(), static_cast<int>(patience.count()));

  std::vector<Ended> ended;
  size_t polled = 0;
  for (auto it = running_.begin(); it != running_.end(); ++polled) {
    if (fds[polled].revents == 0) {
      ++it;
      continue;
    }
    auto end = read_end(it->record);
    bool out_of_memory = end && (end->out_of_memory || (was_killed(end->exit) && memory_.killed_something()));
    ended.push_back({it->step, std::move(end), out_of_memory});
    it = running_.erase(it);
  }
  return ended;
}

void Supervisor::stop(size_t step) {
  for (auto& running : running_)
    if (running.step == step) running.process.stop();
}

void Supervisor::stop_all() {
  stopping_ = true;
  for (auto& running : running_) running.process.stop();
}

void Supervisor::end_all() {
  for (auto& running : running_) running.process.stop();
  for (auto& running : running_) running.process.wait();
  running_.clear();
}

}  // namespace tidemill::engine
