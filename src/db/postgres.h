// PostgreSQL behind the database interface.
//
// Writers: a kWrite transaction takes the lock of one row, in the table tidemill_store, so there is one
// writer at a time on a database, whatever number of processes; readers do not wait (they read a snapshot).
// The row holds a token of the last write transaction. A connection sees from it whether somebody else has
// written, and, when the server went away while it committed, whether the commit took place.
//
// Statements: inside a transaction, Statement::run() does not wait for the server; see postgres_session.h. A
// statement's rows are all fetched at its first step. Text cannot hold NUL (kInvalid).
#pragma once

#include <memory>
#include <string>

#include "db/database.h"

namespace tidemill::db {

struct PostgresOptions {
  std::string uri;  // postgresql://...; passwords also from PGPASSWORD or ~/.pgpass
  // For how long a lost connection is tried to be made again, before an error is returned.
  int patience_ms = 30'000;
};

// Tries once. kUnavailable when the server cannot be reached or is full, kDenied when it does not let us in,
// kNotFound when the database does not exist. No message ever has the password.
Result<std::unique_ptr<Connection>> open_postgres(const PostgresOptions& options);

}  // namespace tidemill::db
