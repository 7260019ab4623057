// Gives a SQLite connection the function of regex.h. Private to this folder.
#pragma once

#include <sqlite3.h>

namespace tidemill::db {

int add_regex_function(sqlite3* handle);  // SQLITE_OK or an error code

}  // namespace tidemill::db
