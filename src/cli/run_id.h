// How runs are named on the command line: by their id, or by as much of its beginning as reasons and tables
// show.
#pragma once

#include <string>

#include "cli/records.h"
#include "tracking/store.h"

namespace tidemill::cli {

// The id that begins with this, of four digits at least. kNotFound: none does; kInvalid: several do. What is
// no such beginning is returned as it is: whoever looks for it knows better what to say.
Result<std::string> full_run_id(tracking::Store& store, const std::string& given);
Result<std::string> full_run_id(Records& records, const std::string& given);
// The same for open_records(), which are opened only if they are needed for it.
Result<std::string> full_run_id(const Context& context, const std::string& given);

}  // namespace tidemill::cli
