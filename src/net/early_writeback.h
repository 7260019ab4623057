// A large file on its way to disk while the rest of it still comes: whoever flushes it at its end then waits
// for little more than the last piece. Left to itself, the kernel begins when memory fills with what is
// unwritten.
#pragma once

#include <cstdint>

namespace tidemill {

class EarlyWriteback {
 public:
  // So much of a file that will have so many bytes has been written, from its beginning on. Fails silently:
  // what goes wrong with the disk shows when the file is written or flushed.
  void advanced(int file, uint64_t written, uint64_t size);

 private:
  uint64_t begun_ = 0, reserved_ = 0;  // up to here, in bytes
};

}  // namespace tidemill
