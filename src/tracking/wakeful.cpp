#include "tracking/wakeful.h"

#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <system_error>
#include <thread>

#include "base/log.h"
#include "base/text.h"

namespace tidemill::tracking {
namespace {

constexpr std::chrono::microseconds kMost{500};

bool take_idle_time_only() {
  sched_param none{};
  return pthread_setschedparam(pthread_self(), SCHED_IDLE, &none) == 0;
}

// A quota of version 2 is "max" or "50000 100000", one of version 1 -1 or 50000: microseconds.
bool has_quota(const fs::path& file) {
  auto text = read_file(file);
  return text && !text->empty() && std::isdigit(static_cast<unsigned char>(text->front())) != 0;
}

bool any_has_quota(fs::path group, const fs::path& mount, std::string_view file) {
  while (!has_quota(group / file)) {
    if (group == mount || !group.has_relative_path()) return false;
    group = group.parent_path();
  }
  return true;
}

void pause_processor() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

bool is_rationed(std::string_view own_groups, const fs::path& mount) {
  for (std::string_view line : split(own_groups, '\n')) {  // "0::/a/b" or "3:cpu,cpuacct:/a/b"
    size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string_view::npos) continue;
    std::string_view kinds = line.substr(first + 1, second - first - 1), group = line.substr(second + 1);
    group.remove_prefix(std::min(group.size(), group.find_first_not_of('/')));
    if (kinds.empty() && any_has_quota(mount / group, mount, "cpu.max")) return true;
    for (std::string_view kind : split(kinds, ','))
      if (kind == "cpu" && any_has_quota(mount / kinds / group, mount / kinds, "cpu.cfs_quota_us"))
        return true;
  }
  return false;
}

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
  auto own_groups = read_file("/proc/self/cgroup");
  if (own_groups && is_rationed(*own_groups, "/sys/fs/cgroup")) return;
  if (!take_idle_time_only()) return;
  shared.thread = gettid();
  for (int seen = shared.changes; !shared.stopping; seen = shared.changes) {
    auto end = Clock::now() + kMost;
    while (shared.waiting && Clock::now() < end) pause_processor();
    shared.changes.wait(seen);
  }
}

}  // namespace tidemill::tracking
