// The write-ahead log of one SQLite connection: when it goes into the database, and its space on the disk.
// Where a file grows with each commit, the file system writes down its new size each time: that takes as long
// again as the flush itself. So a log in use is given its space in large steps, ahead of what is written.
// Bytes behind a log's end are none of its frames; SQLite leaves such bytes itself when it starts a log anew.
#pragma once

#include <cstdint>

struct sqlite3;

namespace tidemill::db {

class SqliteWal {
 public:
  explicit SqliteWal(sqlite3* handle) : handle_(handle) {}
  SqliteWal(const SqliteWal&) = delete;
  SqliteWal& operator=(const SqliteWal&) = delete;

  // Watches the connection's commits from now on, in place of PRAGMA wal_autocheckpoint.
  void watch();
  // To be called inside a write transaction, when no other connection can write to the log.
  void make_room();

 private:
  int committed(int frames);

  sqlite3* handle_;
  int64_t used_ = 0, size_ = 0;  // bytes
};

}  // namespace tidemill::db
