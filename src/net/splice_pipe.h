// Bytes from a socket to a file that do not pass through this process's memory (splice(2)), where the kernel
// can do that. For one thread.
#pragma once

#include <cstddef>

#include "base/files.h"

namespace tidemill {

class SplicePipe {
 public:
  struct Moved {
    size_t bytes = 0;      // that have come; 0 with neither error: the stream has ended
    int socket_error = 0;  // errno; EAGAIN: nothing has come
    int file_error = 0;    // errno; the file lacks some of what has come
  };
  // What has come, but at most so many bytes, at the file's position. Waits for the file only.
  Moved move(int socket, int file, size_t most);

 private:
  bool open();
  int copy_out(int file, size_t bytes);

  Fd in_, out_;  // empty between two calls
};

}  // namespace tidemill
