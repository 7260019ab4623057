// Reads the bodies of runs/log-batch and runs/log-metric without building a JSON tree: these two calls carry
// nearly all that a training script sends.
#pragma once

#include <string>
#include <string_view>

#include "tracking/store.h"

namespace tidemill::api {

struct BatchBody {
  std::string run_id;
  tracking::Batch batch;
};

// Understands the plain form that clients send: known members, each once, ASCII strings without escapes,
// numbers as numbers. False for everything else, right or wrong: then Params decides, and words the error.
bool read_plain_batch(std::string_view body, BatchBody& out);
bool read_plain_metric(std::string_view body, BatchBody& out);  // into batch.metrics[0]

}  // namespace tidemill::api
