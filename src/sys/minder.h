// The minder of a process (minded_process.h): a small fork of its starter. Private to this folder.
#pragma once

#include <sys/time.h>
#include <sys/types.h>

#include "sys/child.h"
#include "sys/mask.h"

namespace tidemill {

// What the process prints comes through a pipe, and goes into its output file.
struct MaskedOutput {
  int pipe, file;  // pipe: reading does not block
  Mask* mask;      // nullptr: the process writes to its file itself
};

// The output file, which is held to a size: what it has more than that is taken out of its middle.
struct BoundedOutput {
  int file = -1;  // opened for this, without O_APPEND
  int64_t limit = 0;
};

// Paths in the control group of the process; nullptr when it has none.
struct MinderGroup {
  const char* folder = nullptr;
  const char* kill = nullptr;
  const char* events = nullptr;
};

struct MinderSetup {
  ChildSetup child;
  ChildSetup clean_up;  // program: nullptr when there is nothing to do
  MinderGroup group;
  MaskedOutput output;
  BoundedOutput bounded;
  const int* keep_open;  // ascending
  size_t keep_count;
  int record;
  pid_t starter;
  bool ends_with_starter;
  itimerval timeout, grace;  // timeout: zero for none
};

// The minder's whole life, in the forked child of a program with threads: only async-signal-safe calls. All
// signals are blocked when it begins. What it writes into the record is read by minded_process.cpp.
[[noreturn]] void mind(MinderSetup& setup);

}  // namespace tidemill
