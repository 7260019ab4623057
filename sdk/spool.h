// What a run has logged while its server was away: a file, in order, sent later by the same run or by the
// next one.
//
// The file: a line with the offset of the first batch that is not sent yet, a line that names server and run,
// then a line of JSON for each batch. It is readable by its owner only, made with the first batch, locked
// (flock) while a program has it open, and removed once all is sent. A half-written last line, as a crash
// leaves it, counts as not there. What was written survives the program, not a power cut (no fsync).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/files.h"
#include "log_batch.h"

namespace tidemill::sdk {

class Spool {
 public:
  static constexpr uint64_t kMaxBytes = uint64_t{256} << 20;

  // server: the tracking URI without user and password.
  Spool(fs::path folder, std::string server, std::string run_id);
  Spool(Spool&&) noexcept = default;
  Spool& operator=(Spool&&) noexcept = default;

  // TIDEMILL_SPOOL_DIR, else tidemill/spool in XDG_STATE_HOME or ~/.local/state.
  static fs::path default_folder();
  // The spool files of a folder, the oldest first.
  static std::vector<fs::path> files(const fs::path& folder);
  // What a run left behind. kConflict: it is in use, or another server's; kInvalid: damaged.
  static tidemill::Result<Spool> open(const fs::path& path, const std::string& server);

  bool empty() const { return sent_ == end_; }
  const fs::path& folder() const { return folder_; }
  const fs::path& path() const { return path_; }
  const std::string& server() const { return server_; }
  const std::string& run_id() const { return run_id_; }

  // An error when the disk or kMaxBytes is full: the batch is then not kept.
  tidemill::Result<> append(const LogBatch& batch);
  // The oldest batch. kInvalid: the file is damaged.
  tidemill::Result<LogBatch> front();
  // Marks it as sent; the file goes with the last one.
  tidemill::Result<> pop();
  // Leaves a damaged file to a person, under a name that is not read again.
  void set_aside();

 private:
  tidemill::Result<> create();
  tidemill::Result<> load(uint64_t size);

  fs::path folder_, path_;
  std::string server_, run_id_;
  Fd file_;
  uint64_t sent_ = 0, end_ = 0;  // offsets of the first batch not sent, and of the end of the last
  uint64_t front_bytes_ = 0;     // of the line that front() read
};

}  // namespace tidemill::sdk
