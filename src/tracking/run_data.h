// Reads runs from the database, many at a time. Private to this folder.
#pragma once

#include <string_view>
#include <vector>

#include "tracking/store_state.h"

namespace tidemill::tracking {

// The columns that read_run_info expects, in this order, of runs r.
inline constexpr std::string_view kRunColumns =
    "r.id, r.uuid, r.name, r.experiment, r.user_id, r.status, r.start_time, r.end_time, r.artifact_uri, "
    "r.lifecycle";
RunInfo read_run_info(const db::Statement& row);

// A run and its row id.
struct RowOf {
  int64_t row;
  Run* run;
};
// Fills everything but the info.
Result<> load_run_data(Reader& reader, std::vector<RowOf> runs);

// Collects runs from rows with kRunColumns, then loads the data of all at once. Of very many, half are loaded
// by a thread of its own with a reader of its own, which may see what was written a moment later.
class RunRows {
 public:
  // Of these row ids, in this order.
  static Result<RunRows> read(db::Connection& connection, std::vector<int64_t> rows);
  void add(const db::Statement& row) {
    rows_.push_back(row.integer(0));
    runs_.push_back({.info = read_run_info(row), .metrics = {}, .params = {}, .tags = {}});
  }
  size_t size() const { return runs_.size(); }
  int64_t row(size_t i) const { return rows_[i]; }
  const RunInfo& info(size_t i) const { return runs_[i].info; }
  void remove_last() {
    rows_.pop_back();
    runs_.pop_back();
  }
  Result<std::vector<Run>> load(Store::State& state, Reader& reader);

 private:
  std::vector<int64_t> rows_;
  std::vector<Run> runs_;
};

}  // namespace tidemill::tracking
