// What a query finds in somebody's database, as CSV.
#pragma once

#include "base/files.h"
#include "base/result.h"
#include "db/location.h"

namespace tidemill::db {

// Writes the rows of a query to a file, as RFC 4180 has it but with LF: a line with the columns' names, then
// one for each row. NULL is an empty field, an empty text is ""; real numbers have all their digits, bytes
// are written as \x and hex digits. The database is only read: kDenied for a query that writes. kInvalid: not
// one query that gives rows. kNotFound: no such file.
Result<> write_csv(const Location& database, const std::string& query, const fs::path& file);

}  // namespace tidemill::db
