#include "projects/cache_folder.h"

#include <fcntl.h>
#include <sys/file.h>

#include <cstdlib>
#include <thread>

#include "sys/signals.h"

namespace tidemill::projects {

Result<fs::path> cache_folder() {
  auto from = [](const char* name) -> fs::path {
    const char* value = std::getenv(name);
    return value != nullptr ? value : "";
  };
  if (auto folder = from("TIDEMILL_CACHE_DIR"); !folder.empty()) return fs::absolute(folder);
  if (auto folder = from("XDG_CACHE_HOME"); folder.is_absolute()) return folder / "tidemill";
  if (auto home = from("HOME"); home.is_absolute()) return home / ".cache" / "tidemill";
  return fail(Code::kNotFound, "there is no cache folder: set TIDEMILL_CACHE_DIR or HOME");
}

Result<Fd> lock_file(const fs::path& file, const std::function<void()>& on_wait) {
  constexpr std::chrono::milliseconds kPause{100};
  TRY(make_dirs(file.parent_path()));
  Fd lock = TRY(open_file(file, O_RDWR | O_CREAT));
  for (bool waited = false; flock(lock.get(), LOCK_EX | LOCK_NB) != 0; waited = true) {
    if (errno != EWOULDBLOCK && errno != EINTR)
      return tl::unexpected(errno_error(fmt::format("lock {}", file.string()), errno));
    if (!waited && on_wait) on_wait();
    if (interrupted()) return fail(Code::kCancelled, "interrupted");
    std::this_thread::sleep_for(kPause);
  }
  return lock;
}

}  // namespace tidemill::projects
