#include "engine/publisher.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/log.h"
#include "engine/provenance.h"
#include "net/cancel.h"
#include "sys/signals.h"

namespace tidemill::engine {
namespace {

std::string this_maker(const std::string& run_id) {
  char host[256] = "";
  gethostname(host, sizeof host - 1);
  return fmt::format("{}@{}, run {}", user_name(), host, run_id.substr(0, 8));
}

}  // namespace

Publisher::Publisher(const SharedCache& cache, tracking::Store& store) : cache_(cache), store_(store) {}

Publisher::~Publisher() {
  {
    std::lock_guard lock(mutex_);
    items_.clear();
    ending_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Publisher::add(Item item) {
  std::lock_guard lock(mutex_);
  items_.push_back(std::move(item));
  if (!thread_.joinable()) thread_ = std::thread([this] { work(); });
  changed_.notify_all();
}

void Publisher::finish() {
  std::unique_lock lock(mutex_);
  while (
      !changed_.wait_for(lock, std::chrono::milliseconds(100), [this] { return items_.empty() && !busy_; }))
    if (interrupted()) return;
}

void Publisher::work() {
  const CancelCallsOn cancel(interrupt_fd());
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return ending_ || !items_.empty(); });
    if (items_.empty()) return;
    Item item = std::move(items_.front());
    items_.pop_front();
    busy_ = true;
    lock.unlock();
    if (auto shared = share(item); !shared && !interrupted())
      log_warning("the result of step '{}' is not shared: {}", item.step, shared.error().message);
    lock.lock();
    busy_ = false;
    changed_.notify_all();
  }
}

Result<> Publisher::share(const Item& item) const {
  auto run = TRY(store_.run(item.run_id));
  SharedResult result{.key = item.key,
                      .outputs = item.outputs,
                      .files = {},
                      .maker = this_maker(item.run_id),
                      .metrics = {},
                      .params = run.params};
  for (const auto& metric : run.metrics)
    if (!metric.key.starts_with("system/")) result.metrics.push_back(metric);
  for (auto& entry : TRY(store_.artifacts(item.run_id))) {
    struct stat info{};
    const fs::path place = item.artifacts / entry.path;
    if (lstat(place.c_str(), &info) != 0) return tl::unexpected<Error>(errno_error(place.string(), errno));
    result.files.push_back(
        {std::move(entry.path), entry.size, (info.st_mode & S_IXUSR) != 0, std::move(entry.sha256)});
  }
  std::sort(result.files.begin(), result.files.end(),
            [](const auto& a, const auto& b) { return a.path < b.path; });
  return cache_.publish(result, item.artifacts, item.existing);
}

}  // namespace tidemill::engine
