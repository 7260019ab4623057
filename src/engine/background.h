// Work that takes long, beside the engine's loop: it is done on threads of its own, and what follows from it
// on the thread of the loop.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <stop_token>
#include <thread>
#include <vector>

#include "base/files.h"
#include "base/result.h"

namespace tidemill::engine {

class Background {
 public:
  using Then = std::function<Result<>()>;
  // Ends early, with an error, when the token asks for it; returns what the loop does then.
  using Work = std::function<Then(const std::stop_token&)>;

  explicit Background(size_t most_threads);
  // Stops, and waits for what is under way. What follows from it is not done.
  ~Background();

  void add(Work work);
  // Asks all work that was added so far to end early, also what has not begun.
  void stop();
  // What follows from the work that has ended since the last call.
  std::vector<Then> take_ended();
  // Readable (poll) while there is something to take; -1 when the system has no more descriptors.
  int descriptor() const { return wake_.get(); }

 private:
  void work();

  const size_t most_threads_;
  Fd wake_;
  std::stop_source stop_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::pair<Work, std::stop_token>> waiting_;
  std::vector<Then> ended_;
  size_t idle_ = 0;
  bool ending_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace tidemill::engine
