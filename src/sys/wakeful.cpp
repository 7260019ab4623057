#include "sys/wakeful.h"

#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <system_error>
#include <thread>

#include "base/log.h"
#include "sys/control_group.h"

namespace tidemill {
namespace {

constexpr std::chrono::microseconds kMost{500};

bool take_idle_time_only() {
  sched_param none{};
  return pthread_setschedparam(pthread_self(), SCHED_IDLE, &none) == 0;
}

void pause_processor() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

Wakeful::~Wakeful() {
  // It ends sooner where it may run on any processor that is idle.
  cpu_set_t anywhere;
  if (pid_t thread = shared_->thread; thread != 0 && sched_getaffinity(0, sizeof anywhere, &anywhere) == 0)
    (void)sched_setaffinity(thread, sizeof anywhere, &anywhere);
  shared_->stopping = true;
  ++shared_->changes;
  shared_->changes.notify_one();
}

void Wakeful::begin() {
  if (last_ > kMost || alone_ > Clock::duration{}) return;
  go_to(sched_getcpu());
  shared_->waiting = true;
  ++shared_->changes;
  if (started_)
    shared_->changes.notify_one();
  else
    start();
}

void Wakeful::end(Clock::duration waited) {
  last_ = waited;
  alone_ -= std::min(waited, alone_);
  shared_->waiting = false;
}

void Wakeful::start() {
  started_ = true;
  try {
    std::thread([shared = shared_] { accompany(*shared); }).detach();
  } catch (const std::system_error& error) {
    log_debug("no thread to stay awake with: {}", error.what());
  }
}

// An answer comes soonest where the processor that has asked, and mostly gets the interrupt, is awake; and a
// thread on the same one need not be woken from afar.
void Wakeful::go_to(int processor) {
  pid_t thread = shared_->thread;
  if (thread == 0 || processor == processor_ || processor < 0 || processor >= CPU_SETSIZE) return;
  cpu_set_t there;
  CPU_ZERO(&there);
  CPU_SET(static_cast<size_t>(processor), &there);
  if (sched_setaffinity(thread, sizeof there, &there) == 0) processor_ = processor;
}

void Wakeful::accompany(Shared& shared) {
  if (is_rationed() || !take_idle_time_only()) return;
  shared.thread = gettid();
  for (int seen = shared.changes; !shared.stopping; seen = shared.changes) {
    auto end = Clock::now() + kMost;
    while (shared.waiting && Clock::now() < end) pause_processor();
    shared.changes.wait(seen);
  }
}

}  // namespace tidemill
