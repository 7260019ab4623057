// A stretch of a search as columns, for tables: no more is read of the runs than what is shown.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "tracking/store.h"

namespace tidemill::tracking {

struct WindowQuery {
  // max_results is the window's height, at most 10 000; instead of page_token there is the offset.
  SearchRuns runs;
  int64_t offset = 0;
  // "metrics.loss", "min(metrics.loss)", "params.lr", "tags.team", "attributes.status" and what else a filter
  // may name; "attributes.experiment_id" and "attributes.lifecycle_stage"; "metrics.*", "params.*", "tags.*":
  // whatever the window's runs have, by name.
  std::vector<std::string> columns;
  bool count = true;  // all runs that pass
};

struct RunColumn {
  template <class T>
  using Cells = std::vector<std::optional<T>>;  // one for each run; nullopt: it has none

  std::string name;  // as it was asked for
  std::variant<Cells<std::string>, Cells<double>, Cells<int64_t>> cells;
};

struct RunWindow {
  std::optional<int64_t> total;  // of runs that pass, when it was asked for
  std::vector<std::string> run_ids;
  std::vector<RunColumn> columns;
};

// kInvalid for a bad search or column, and when there would be more than two million cells.
Result<RunWindow> run_window(Store& store, const WindowQuery& query);

}  // namespace tidemill::tracking
