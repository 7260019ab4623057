// ONNX Runtime called in this process: what the model server and the evaluation are measured against.
#pragma once

#include <functional>
#include <vector>

#include "serving/session.h"

namespace tidemill::bench {

inline constexpr size_t kImageFloats = 3 * 32 * 32;

// Each call runs `image` (kImageFloats numbers, [3][32][32]) through the session's input "input". Both must
// outlive it. An error ends the program.
std::function<void()> raw_caller(serving::Session& session, const std::vector<float>& image);

// Images 0 to count-1, one a call, on so many threads; each takes the next one. fill(image, out) writes an
// image's kImageFloats numbers. Returns the index of the largest output of each.
std::vector<int> classify_raw(serving::Session& session, size_t count, int threads,
                              const std::function<void(size_t, std::vector<float>&)>& fill);

}  // namespace tidemill::bench
