#include "engine/background.h"

#include <sys/eventfd.h>

namespace tidemill::engine {

Background::Background(size_t most_threads)
    : most_threads_(most_threads), wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

Background::~Background() {
  stop();
  {
    std::lock_guard lock(mutex_);
    ending_ = true;
    waiting_.clear();
  }
  changed_.notify_all();
  for (auto& thread : threads_) thread.join();
}

void Background::stop() { std::exchange(stop_, {}).request_stop(); }

void Background::add(Work work) {
  std::lock_guard lock(mutex_);
  waiting_.emplace_back(std::move(work), stop_.get_token());
  if (idle_ < waiting_.size() && threads_.size() < most_threads_)
    threads_.emplace_back([this] { this->work(); });
  changed_.notify_one();
}

void Background::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    ++idle_;
    changed_.wait(lock, [this] { return ending_ || !waiting_.empty(); });
    --idle_;
    if (waiting_.empty()) return;
    auto [work, stop] = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    Then then = work(stop);
    lock.lock();
    ended_.push_back(std::move(then));
    (void)eventfd_write(wake_.get(), 1);
  }
}

std::vector<Background::Then> Background::take_ended() {
  std::lock_guard lock(mutex_);
  eventfd_t count = 0;
  (void)eventfd_read(wake_.get(), &count);
  return std::exchange(ended_, {});
}

}  // namespace tidemill::engine
