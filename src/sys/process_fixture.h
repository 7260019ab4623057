// What tests of processes wait for.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <thread>

#include "base/files.h"

namespace tidemill {

inline bool alive(pid_t pid) {
  auto stat = read_file(fmt::format("/proc/{}/stat", pid));
  return stat && stat->find(") Z") == std::string::npos;
}

// Waits for a condition that must come; the test's own time limit ends it otherwise.
template <class Condition>
void wait_until(Condition condition) {
  while (!condition()) std::this_thread::sleep_for(std::chrono::milliseconds(2));
}

}  // namespace tidemill
