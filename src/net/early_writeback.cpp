#include "net/early_writeback.h"

#include <fcntl.h>

#include <algorithm>

namespace tidemill {
namespace {

constexpr uint64_t kPieceBytes = 8 << 20;
// Space is found at once for several pieces, which takes less than for each page when it is written; but not
// for all that somebody says will come.
constexpr uint64_t kReserveBytes = 64 << 20;

}  // namespace

void EarlyWriteback::advanced(int file, uint64_t written, uint64_t size) {
  if (written - begun_ < kPieceBytes) return;
  auto at = [](uint64_t bytes) { return static_cast<off_t>(bytes); };
  (void)::sync_file_range(file, at(begun_), at(written - begun_), SYNC_FILE_RANGE_WRITE);
  begun_ = written;
  if (written + 2 * kPieceBytes <= reserved_) return;
  uint64_t from = std::max(written, reserved_);
  reserved_ = std::min(from + kReserveBytes, size);
  if (from < reserved_) (void)::fallocate(file, FALLOC_FL_KEEP_SIZE, at(from), at(reserved_ - from));
}

}  // namespace tidemill
