// Takes everything from a source to a sink. What cannot be taken is left out and reported; what was taken
// before an error or an interruption stays, and a second call goes on from there.
#pragma once

#include <functional>

#include "exchange/sink.h"
#include "exchange/source.h"

namespace tidemill::exchange {

struct CopyOptions {
  // Whether the points of runs that have ended are left alone where the target has the latest of each metric:
  // an earlier transfer has brought them. What was logged late, with an earlier time, is missed then.
  bool pass_over_known = false;
  std::function<bool()> interrupted = [] { return false; };
  // How many runs are done, of how many that are known so far.
  std::function<void(uint64_t done, uint64_t total, const Report& report)> progress = [](uint64_t, uint64_t,
                                                                                         const Report&) {};
};

// kCancelled when interrupted.
Result<> copy(Source& source, Sink& sink, const CopyOptions& options, Report& report);

}  // namespace tidemill::exchange
