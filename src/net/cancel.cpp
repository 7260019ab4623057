#include "net/cancel.h"

#include <poll.h>

#include <utility>

namespace tidemill {

static thread_local int watched = -1;

CancelCallsOn::CancelCallsOn(int descriptor) : before_(std::exchange(watched, descriptor)) {}
CancelCallsOn::~CancelCallsOn() { watched = before_; }

int cancel_descriptor() { return watched; }

Result<> check_cancelled() {
  pollfd entry{watched, POLLIN, 0};
  if (watched < 0 || ::poll(&entry, 1, 0) <= 0) return {};
  return fail(Code::kCancelled, "interrupted");
}

}  // namespace tidemill
