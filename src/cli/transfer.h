// What import and export share: progress, Ctrl-C, and what is said at the end.
#pragma once

#include "cli/commands.h"
#include "exchange/sink.h"
#include "exchange/source.h"

namespace tidemill::cli {

// Copies and prints the report. 1 when something had to be left out.
Result<int> transfer(const Context& context, std::string_view label, exchange::Source& source,
                     exchange::Sink& sink, bool pass_over_known = false);

}  // namespace tidemill::cli
