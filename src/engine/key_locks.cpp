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

bool try_lock_key(const Fd& file, const std::string& key) { return set_lock(file, F_WRLCK, key); }

Result<KeyLocks> KeyLocks::open(fs::path file) {
  TRY(make_dirs(file.parent_path()));
  TRY(open_file(file, O_RDWR | O_CREAT));
  return KeyLocks(std::move(file));
}

bool KeyLocks::try_lock(const std::string& key) {
  if (held_.count(key) > 0) return false;
  auto file = open_file(file_, O_RDWR | O_CREAT);
  if (!file || !try_lock_key(*file, key)) return false;
  held_.emplace(key, std::move(*file));
  return true;
}

void KeyLocks::unlock(const std::string& key) {
  auto held = held_.find(key);
  if (held == held_.end()) return;
  set_lock(held->second, F_UNLCK, key);
  held_.erase(held);
}

int KeyLocks::descriptor(const std::string& key) const {
  auto held = held_.find(key);
  return held == held_.end() ? -1 : held->second.get();
}

}  // namespace tidemill::engine
