// Tables in CSV (RFC 4180): quoted fields may hold commas and line breaks.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.h"
#include "base/result.h"

namespace tidemill::checks {

struct CsvRow {
  uint64_t line = 0;      // where it begins, from 1
  std::string_view text;  // as written, with its line break
  std::vector<std::string> fields;
};

// Calls `use` for each row, the header first; empty lines are left out. Stops when it returns false.
// kInvalid: a quote that is not closed, a row of more than 64 MiB.
Result<> read_csv(const fs::path& file, const std::function<bool(const CsvRow&)>& use);

// The file without the rows that begin in these lines, replaced in one step.
Result<> remove_rows(const fs::path& file, const std::set<uint64_t>& lines);

}  // namespace tidemill::checks
