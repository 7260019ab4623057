// SQL as the rest of Tidemill writes it (SQLite's types, '?' parameters) in PostgreSQL's words.
//   ?                          -> $1, $2, ...
//   LIKE ?, LIKE lower(?)      -> LIKE $1 ESCAPE ''   (SQLite's LIKE has no escape character)
// and where tables are made (CREATE, ALTER):
//   INTEGER, REAL, BLOB        -> BIGINT, DOUBLE PRECISION, BYTEA
//   TEXT                       -> TEXT COLLATE "C"    (compares bytes, as SQLite does)
//   INTEGER PRIMARY KEY        -> an identity column
//   WITHOUT ROWID, AUTOINCREMENT -> nothing
#pragma once

#include <string>
#include <string_view>

namespace tidemill::db {

std::string to_postgres(std::string_view sql);

}  // namespace tidemill::db
