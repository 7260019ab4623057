#include "engine/key_locks.h"

#include <fcntl.h>

#include <cstdlib>

namespace tidemill::engine {
namespace {

// Two keys with the same first 60 bits only wait for each other.
bool set_lock(const Fd& file, short type, const std::string& key) {
  struct flock lock{};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = static_cast<off_t>(std::strtoull(key.substr(0, 15).c_str(), nullptr, 16));
  lock.l_len = 1;
  return fcntl(file.get(), F_OFD_SETLK, &lock) == 0;
}

}  // namespace

Result<KeyLocks> KeyLocks::open(const fs::path& file) {
  TRY(make_dirs(file.parent_path()));
  return KeyLocks(TRY(open_file(file, O_RDWR | O_CREAT)));
}

bool KeyLocks::try_lock(const std::string& key) {
  if (held_.count(key) > 0 || !set_lock(file_, F_WRLCK, key)) return false;
  held_.insert(key);
  return true;
}

void KeyLocks::unlock(const std::string& key) {
  if (held_.erase(key) > 0) set_lock(file_, F_UNLCK, key);
}

}  // namespace tidemill::engine
