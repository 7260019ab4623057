// HTTP calls that end when somebody does not want them any more.
#pragma once

#include "base/result.h"

namespace tidemill {

// While it lives, calls of HttpClient on this thread fail with kCancelled once the descriptor is readable
// (poll), whatever they wait for. It is that of Ctrl-C (sys/signals.h) for what a user waits for; -1: none.
class CancelCallsOn {
 public:
  explicit CancelCallsOn(int descriptor);
  ~CancelCallsOn();
  CancelCallsOn(const CancelCallsOn&) = delete;
  CancelCallsOn& operator=(const CancelCallsOn&) = delete;

 private:
  int before_;
};

// Of this thread; -1: there is none.
int cancel_descriptor();
Result<> check_cancelled();

}  // namespace tidemill
