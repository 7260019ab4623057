// Page tokens as MLflow makes them: base64 of {"offset": N}.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace tidemill::tracking {

std::string make_page_token(int64_t offset);
// "" is the beginning. kInvalid with MLflow's text.
Result<int64_t> parse_page_token(std::string_view token);

}  // namespace tidemill::tracking
