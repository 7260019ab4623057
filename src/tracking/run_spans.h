// Rows of many runs read with few statements: runs whose row ids lie close together are read in one walk over
// the range, past the few strangers; scattered ones are listed. Private to this folder.
#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <vector>

#include "db/database.h"

namespace tidemill::tracking {

// Owners (anything with the row id of a run as `row`) in ascending order, whose rows one statement reads.
template <class Owner>
struct RunSpan {
  std::span<const Owner> owners;
  bool close = false;  // few strangers lie between them

  // The condition of the column, for a statement whose next parameters bind() binds.
  std::string where(std::string_view column) const {
    return fmt::format("{} {}", column, close ? "BETWEEN ? AND ?" : kListed);
  }
  void bind(db::Statement& statement) const {
    if (close) {
      statement.bind(owners.front().row, owners.back().row);
      return;
    }
    // The same number of parameters for any number of runs: the statement is prepared once.
    for (size_t i = 0; i < kMostListed; ++i) statement.bind(owners[std::min(i, owners.size() - 1)].row);
  }

  static constexpr size_t kMostListed = 32;
  static constexpr std::string_view kListed =
      "IN (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
};

// Calls each(span) for all owners, which it sorts.
template <class Owner, class Each>
Result<> for_spans(std::vector<Owner>& owners, Each each) {
  constexpr int64_t kMaxGap = 4;
  constexpr ptrdiff_t kFew = 8;  // a walk over so few is not worth a statement
  std::sort(owners.begin(), owners.end(), [](const Owner& a, const Owner& b) { return a.row < b.row; });
  for (auto first = owners.begin(); first != owners.end();) {
    auto last = first + 1;
    while (last != owners.end() && last->row - (last - 1)->row <= kMaxGap) ++last;
    bool close = last - first >= kFew || last == owners.end();
    if (!close) last = first + std::min<ptrdiff_t>(RunSpan<Owner>::kMostListed, owners.end() - first);
    TRY(each(RunSpan<Owner>{{first, last}, close}));
    first = last;
  }
  return {};
}

// Calls each(owner, row) for the rows that belong to one of the span's runs. row: a statement whose first
// column is the run, in ascending order.
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
