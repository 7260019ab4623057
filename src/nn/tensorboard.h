// TensorBoard event files: TFRecord frames (length, masked CRC-32C) around Event messages with scalars.
#pragma once

#include <string_view>

#include "base/files.h"

namespace tidemill::nn {

// CRC-32C (Castagnoli) as TFRecord masks it.
uint32_t masked_crc32c(std::string_view bytes);

// Appends to a file of its own, events.out.tfevents.<seconds>.<host>.<process>, which TensorBoard follows
// while it grows: each event is written at once, and a torn last one is ignored by readers. Not thread-safe.
class EventWriter {
 public:
  // Makes the folder when it is missing.
  static Result<EventWriter> create(const fs::path& folder);

  // wall_ms: ms since 1970.
  Result<> add_scalar(std::string_view tag, float value, int64_t step, int64_t wall_ms);
  const fs::path& path() const { return path_; }

 private:
  EventWriter(Fd file, fs::path path) : file_(std::move(file)), path_(std::move(path)) {}
  Result<> write_record(std::string_view event);

  Fd file_;
  fs::path path_;
};

}  // namespace tidemill::nn
