// The database that a test runs on: SQLite, or PostgreSQL where ctest runs the program a second time with
// TIDEMILL_TEST_DATABASE=postgres (tidemill_module(... DATABASES)). All tests are skipped, with the reason,
// where PostgreSQL is not installed.
#pragma once

#include <string>

#include "base/files.h"

namespace tidemill::test {

bool on_postgres();
// The file's path, or the URI of a new database.
std::string new_database(const fs::path& file);

}  // namespace tidemill::test
