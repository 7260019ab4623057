// One builder for each key: whoever else needs the same result, in this process or another of this machine,
// waits for it.
#pragma once

#include <map>
#include <string>

#include "base/files.h"
#include "base/result.h"

namespace tidemill::engine {

// Locks the byte of the key in a file, for this open descriptor of it; false when another one holds it. It is
// free again when the last process that has the descriptor open closes it, or ends.
bool try_lock_key(const Fd& file, const std::string& key);

// Locks on bytes of one file. A lock ends when the last process that has its descriptor open does, however
// that comes: it can be held on for a step that outlives the one who took it.
class KeyLocks {
 public:
  // Makes the file if need be.
  static Result<KeyLocks> open(fs::path file);

  // False when somebody holds it. `key` is at least 15 hex digits.
  bool try_lock(const std::string& key);
  void unlock(const std::string& key);
  // Of a key that is held here; -1 when it is not.
  int descriptor(const std::string& key) const;

 private:
  explicit KeyLocks(fs::path file) : file_(std::move(file)) {}
  fs::path file_;
  std::map<std::string, Fd> held_;  // each opened anew, so that each can be handed on by itself
};

}  // namespace tidemill::engine
