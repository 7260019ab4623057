#include "tracking/near_ids.h"

namespace tidemill::tracking {

// What people start is further apart, so that its short ids differ from the first digit on.
constexpr std::chrono::milliseconds kAtOnce{1};
// Below what a page of the index holds.
constexpr int kMostAlike = 64;
// Half of a short id; enough to spread millions of runs over all pages.
constexpr size_t kDigits = 4;

std::string NearIds::near_last(std::string id, Clock::time_point now) {
  std::lock_guard lock(mutex_);
  if (left_ == 0 || now - last_ > kAtOnce) {
    beginning_ = id.substr(0, kDigits);
    left_ = kMostAlike;
  }
  --left_;
  last_ = now;
  id.replace(0, kDigits, beginning_);
  return id;
}

}  // namespace tidemill::tracking
