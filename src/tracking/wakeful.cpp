#include "tracking/wakeful.h"

#include <pthread.h>
#include <sched.h>

#include <system_error>

#include "base/log.h"

namespace tidemill::tracking {
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
  if (!thread_.joinable()) return;
  stopping_ = true;
  ++changes_;
  changes_.notify_one();
  thread_.join();
}

void Wakeful::begin() {
  if (last_ > kMost) return;
  waiting_ = true;
  ++changes_;
  if (started_)
    changes_.notify_one();
  else
    start();
}

void Wakeful::end(Clock::duration waited) {
  last_ = waited;
  waiting_ = false;
}

void Wakeful::start() {
  started_ = true;
  try {
    thread_ = std::thread([this] { accompany(); });
  } catch (const std::system_error& error) {
    log_debug("no thread to stay awake with: {}", error.what());
  }
}

void Wakeful::accompany() {
  if (!take_idle_time_only()) return;
  for (int seen = changes_; !stopping_; seen = changes_) {
    auto end = Clock::now() + kMost;
    while (waiting_ && Clock::now() < end) pause_processor();
    changes_.wait(seen);
  }
}

}  // namespace tidemill::tracking
