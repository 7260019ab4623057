// Log lines for whoever draws on the terminal, which they would tear.
#pragma once

#include <functional>
#include <string_view>

namespace tidemill {

// Gets whole lines, one at a time, on the thread that logs, in place of stderr; null: stderr again. It must
// not log.
void set_log_sink(std::function<void(std::string_view line)> sink);

}  // namespace tidemill
