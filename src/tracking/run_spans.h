// Rows of many runs read with few statements: runs whose row ids lie close together are read in one walk over
// the range, past the few strangers. Private to this folder.
#pragma once

#include <algorithm>
#include <span>
#include <vector>

#include "db/database.h"

namespace tidemill::tracking {

// Calls each(owners) for the stretches of owners (anything with the row id of a run as `row`), which it
// sorts.
template <class Owner, class Each>
Result<> for_spans(std::vector<Owner>& owners, Each each) {
  constexpr int64_t kMaxGap = 4;
  std::sort(owners.begin(), owners.end(), [](const Owner& a, const Owner& b) { return a.row < b.row; });
  for (auto first = owners.begin(); first != owners.end();) {
    auto last = first + 1;
    while (last != owners.end() && last->row - (last - 1)->row <= kMaxGap) ++last;
    TRY(each(std::span<const Owner>(first, last)));
    first = last;
  }
  return {};
}

// Calls each(owner, row) for the rows that belong to one of the span's runs. row: a statement whose first
// column is the run, in ascending order, of all runs from the span's first to its last.
template <class Owner, class Each>
Result<> for_rows(db::Statement row, std::span<const Owner> span, Each each) {
  auto at = span.begin();
  while (TRY(row.step())) {
    int64_t run = row.integer(0);
    while (at != span.end() && at->row < run) ++at;
    if (at == span.end()) return {};
    if (at->row == run) TRY(each(*at, row));
  }
  return {};
}

}  // namespace tidemill::tracking
