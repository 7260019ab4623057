// Finds runs: which ones, in which order. What they hold is loaded by run_data.h. Private to this folder.
#pragma once

#include <vector>

#include "db/database.h"
#include "tracking/filter.h"
#include "tracking/run_data.h"
#include "tracking/store.h"

namespace tidemill::tracking {

// What a search has been read into.
struct RunSearch {
  Filter filter;
  std::vector<OrderKey> order;
  std::vector<int64_t> experiments;
  ViewType view = ViewType::kActiveOnly;
  int64_t max_results = 0, offset = 0;
};

// kInvalid with MLflow's texts. Without experiments the rest is not looked at.
Result<RunSearch> parse_run_search(const SearchRuns& search);
// From the offset on, one more than max_results where there are so many.
Result<RunRows> find_runs(db::Connection& connection, const RunSearch& search);
// All that pass.
Result<int64_t> count_runs(db::Connection& connection, const RunSearch& search);

}  // namespace tidemill::tracking
