#include "db/sqlite_wal.h"

#include <sqlite3.h>

#include <limits>
#include <string>

namespace tidemill::db {
namespace {

// 8 MB, for what is written again and again to stay in the processor's cache.
constexpr int kCheckpointFrames = 2000;
constexpr int64_t kFrameBytes = 24 + 4096;
constexpr int64_t kAhead = 256 << 10;  // a shorter log belongs to a program that writes little
constexpr int64_t kStep = 1 << 20;
constexpr int kPiece = 64 << 10;

// Real zeros: the first write to what is merely allocated is written down, too.
bool append_zeros(sqlite3_file* file, int64_t& size) {
  const std::string zeros(kPiece, '\0');
  for (int64_t end = size + kStep; size < end; size += kPiece)
    if (file->pMethods->xWrite(file, zeros.data(), kPiece, size) != SQLITE_OK) return false;
  return true;
}

}  // namespace

void SqliteWal::watch() {
  auto hook = [](void* self, sqlite3*, const char*, int frames) {
    return static_cast<SqliteWal*>(self)->committed(frames);
  };
  sqlite3_wal_hook(handle_, hook, this);
}

int SqliteWal::committed(int frames) {
  used_ = frames * kFrameBytes;
  // What cannot be copied now can be later: never the commit's error.
  if (frames >= kCheckpointFrames)
    (void)sqlite3_wal_checkpoint_v2(handle_, "main", SQLITE_CHECKPOINT_PASSIVE, nullptr, nullptr);
  return SQLITE_OK;
}

void SqliteWal::make_room() {
  if (used_ < kAhead || used_ + kAhead <= size_) return;
  sqlite3_file* file = nullptr;
  int found = sqlite3_file_control(handle_, "main", SQLITE_FCNTL_JOURNAL_POINTER, &file);
  if (found != SQLITE_OK || !file || !file->pMethods) return;
  sqlite3_int64 size = 0;
  if (file->pMethods->xFileSize(file, &size) != SQLITE_OK) return;
  size_ = size;
  // A full disk is the next commit's to find, if it needs the space at all.
  if (used_ + kAhead > size_ && !append_zeros(file, size_)) size_ = std::numeric_limits<int64_t>::max();
}

}  // namespace tidemill::db
