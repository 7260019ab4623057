// SQLite behind the database interface: write-ahead log, an fsync for every commit, several processes on one
// file.
#pragma once

#include <memory>

#include "base/files.h"
#include "db/database.h"

namespace tidemill::db {

struct SqliteOptions {
  fs::path file;
  int busy_timeout_ms = 20'000;  // how long to wait for another writer
  int cache_kib = 8'192;
};

// Opens or creates the file. Fails with kDenied when the file or its folder cannot be written, kInternal when
// the file is damaged, kUnavailable when the disk is full or another process holds it too long; always names
// the file.
Result<std::unique_ptr<Connection>> open_sqlite(const SqliteOptions& options);

// Another program's file, which must exist, for reading: nothing is written, whatever its journal mode.
// Values longer than 64 MiB are errors (kInvalid), the schema is not trusted.
Result<std::unique_ptr<Connection>> open_foreign_sqlite(const fs::path& file);

}  // namespace tidemill::db
