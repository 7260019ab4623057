#include "auth/attempts.h"

#include <algorithm>

namespace tidemill::auth {

constexpr size_t kMaxKnown = 100'000;

std::chrono::milliseconds Attempts::begin(std::string_view who, Time now) {
  std::lock_guard lock(mutex_);
  if (full_at_.size() >= kMaxKnown)
    std::erase_if(full_at_, [&](const auto& entry) { return entry.second <= now; });
  if (full_at_.size() >= kMaxKnown) full_at_.clear();  // so many at once are no guesses of one password
  Time& full = full_at_[std::string(who)];
  full = std::max(full, now);
  Time next = full + interval_;
  Time latest = now + at_once_ * interval_;
  if (next > latest) return std::chrono::ceil<std::chrono::milliseconds>(next - latest);
  full = next;
  return {};
}

void Attempts::forgive(std::string_view who) {
  std::lock_guard lock(mutex_);
  auto found = full_at_.find(std::string(who));
  if (found != full_at_.end()) found->second -= interval_;
}

}  // namespace tidemill::auth
