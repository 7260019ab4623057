// Where a database is, in the spellings that users of MLflow and SQLAlchemy know.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/files.h"
#include "base/result.h"
#include "db/database.h"

namespace tidemill::db {

struct Location {
  enum class Kind { kSqlite, kPostgres };
  Kind kind = Kind::kSqlite;
  fs::path file;    // SQLite
  std::string uri;  // PostgreSQL, as libpq reads it; may hold a password
  // What people may see: the file, or the URI without its password.
  std::string name() const;
  // Where files that belong to the database lie unless told otherwise: beside it, or in the current folder.
  fs::path folder() const;
};

// A path; sqlite:///relative/path or sqlite:////absolute/path; postgresql://user@host/db, also postgres://
// and with SQLAlchemy's driver (postgresql+psycopg2://). kInvalid for other databases.
Result<Location> parse_location(std::string_view text);

// open_sqlite or open_postgres.
Result<std::unique_ptr<Connection>> open(const Location& location);

// A database of another program, which must exist, for reading.
Result<std::unique_ptr<Connection>> open_foreign(const Location& location);

// A part of a URI that nobody may see.
struct Secret {
  size_t begin = 0, length = 0;
};
std::vector<Secret> secrets_of(std::string_view uri);
// postgresql://user:secret@host/db?sslmode=require -> postgresql://user@host/db?sslmode=require
std::string without_secrets(std::string_view uri);

}  // namespace tidemill::db
