// Looks at the data of one check: counts, classes, duplicates, ranges, nulls, corrupt and constant images,
// and how far they are from those accepted last.
#pragma once

#include <stop_token>

#include "base/files.h"
#include "checks/report.h"
#include "config/data_check.h"

namespace tidemill::checks {

// folder: the step's artifacts. accepted: of the last run whose data were accepted; empty when there is none.
// A file or folder that is missing, or a table that is none, is a problem of the report. Errors: it cannot be
// read; kCancelled: `stop` has asked for it.
Result<Report> look_at(const config::DataCheck& check, const fs::path& folder, const Distributions& accepted,
                       const std::stop_token& stop = {});

// Takes the bad items out of the data: rows of the table, files of the folder.
Result<> exclude(const config::DataCheck& check, const fs::path& folder, const std::vector<BadItem>& bad);

// Of one kind each; used by look_at().
Result<Report> look_at_table(const config::DataCheck& check, const fs::path& file,
                             const Distributions& accepted, const std::stop_token& stop);
Result<Report> look_at_images(const config::DataCheck& check, const fs::path& folder,
                              const Distributions& accepted, const std::stop_token& stop);
// Counts, rarest class, drift: what both kinds are asked for.
void judge(const config::DataCheck& check, std::string_view unit, const Distributions& accepted,
           Report& report);
// "duplicates: 3 of 100 rows (3 %), at most 1 % are wanted", among the problems, when it is more than that.
bool judge_share(std::string_view what, std::string_view unit, uint64_t count, uint64_t total, double most,
                 Report& report);

}  // namespace tidemill::checks
