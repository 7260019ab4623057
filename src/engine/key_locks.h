// One builder for each key: whoever else needs the same result, in this process or another of this machine,
// waits for it.
#pragma once

#include <set>
#include <string>

#include "base/files.h"
#include "base/result.h"

namespace tidemill::engine {

// Locks on bytes of one file, which end with the process that holds them, however it ends.
class KeyLocks {
 public:
  // Makes the file if need be.
  static Result<KeyLocks> open(const fs::path& file);

  // False when somebody holds it. `key` is at least 15 hex digits.
  bool try_lock(const std::string& key);
  void unlock(const std::string& key);

 private:
  explicit KeyLocks(Fd file) : file_(std::move(file)) {}
  Fd file_;
  std::set<std::string> held_;
};

}  // namespace tidemill::engine
