// Keeps the processor of whoever waits for something short from going to sleep. A processor with nothing to
// do halts, and where it is a virtual machine's it goes back to the host: to have it woken by the disk's
// answer takes up to a third of a flush. Here a thread turns there meanwhile. It is of the class SCHED_IDLE
// (sched(7)), so it has only the time that nothing else wants, and where the system does not grant that class
// it does nothing. On a busy machine its end takes up to seconds. Nobody waits for that but, when the process
// ends, the system: so there is no thread before so much was waited for that this hardly counts.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <memory>

namespace tidemill {

class Wakeful {
 public:
  using Clock = std::chrono::steady_clock;

  // Waits are accompanied after so much waiting.
  explicit Wakeful(Clock::duration alone = std::chrono::milliseconds(100)) : alone_(alone) {}
  Wakeful(const Wakeful&) = delete;
  Wakeful& operator=(const Wakeful&) = delete;
  ~Wakeful();

  // One at a time, by any thread; the first one that is accompanied starts the other thread. After one that
  // was long the next is not: where a disk takes milliseconds, nothing is won.
  class Wait {
   public:
    explicit Wait(Wakeful& owner) : owner_(owner), start_(Clock::now()) { owner_.begin(); }
    ~Wait() { owner_.end(Clock::now() - start_); }
    Wait(const Wait&) = delete;
    Wait& operator=(const Wait&) = delete;

   private:
    Wakeful& owner_;
    Clock::time_point start_;
  };

 private:
  // With the thread, which may outlive its owner.
  struct Shared {
    std::atomic<pid_t> thread = 0;  // 0: none that turns, or not yet
    std::atomic<int> changes = 0;   // of the next
    std::atomic<bool> waiting = false, stopping = false;
  };

  void begin();
  void end(Clock::duration waited);
  void start();
  void go_to(int processor);
  static void accompany(Shared& shared);

  Clock::duration alone_, last_{};
  bool started_ = false;
  int processor_ = -1;  // of the thread
  std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
};

}  // namespace tidemill
