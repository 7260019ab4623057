// A checkpoint file: magic, JSON header, raw f32 values, SHA-256 of all before it.
#pragma once

#include <map>
#include <string>

#include "base/files.h"
#include "nn/trainer.h"

namespace tidemill::nn {

struct Checkpoint {
  TrainerState state;
  // What the state belongs to (model_type, batch_size, schedule, ..): the reader compares them before going
  // on.
  std::map<std::string, std::string> settings;
};

std::string to_bytes(const Checkpoint& checkpoint);
// kInvalid with the byte offset for anything truncated, damaged or inconsistent.
Result<Checkpoint> parse_checkpoint(std::string_view bytes);

// Atomic and durable: a crash leaves the old file or the new one.
Result<> write_checkpoint(const Checkpoint& checkpoint, const fs::path& path);
Result<Checkpoint> read_checkpoint(const fs::path& path);

}  // namespace tidemill::nn
