// What starting a child takes, between fork and exec and after its end. Private to this folder.
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include <string>
#include <vector>

#include "sys/process.h"

namespace tidemill {

// The C arrays that exec wants, kept alive together with the strings they point into. Built before the fork:
// the child of a program with threads may call only async-signal-safe functions.
struct CStrings {
  std::vector<std::string> strings;
  std::vector<char*> pointers;

  char** array() {
    pointers.clear();
    for (auto& text : strings) pointers.push_back(text.data());
    pointers.push_back(nullptr);
    return pointers.data();
  }
};

CStrings child_environment(const ProcessOptions& options);

// What the child needs between fork and exec.
struct ChildSetup {
  const char* program;
  char** argv;
  char** env;
  const char* working_dir;    // nullptr: stay
  int input, output, errors;  // -1: inherit
  bool new_group;
  pid_t parent;            // the child ends when it is not its parent (any more)
  int report;              // errno of a failed exec goes here
  int control_group = -1;  // cgroup.procs of the group to join; -1: stay
};

// Runs in the child. Only async-signal-safe calls.
[[noreturn]] void run_child(const ChildSetup& setup);

// What argv[0] names: kNotFound when it is not in PATH.
Result<fs::path> resolve_program(const std::string& name);
// Why starting the program failed.
Error start_error(const fs::path& program, const ProcessOptions& options, int error_number);

// Those that an option asks for; a descriptor that is not set is inherited.
struct Streams {
  Fd null, output_file;
  int input = -1, output = -1, errors = -1;

  static Result<Streams> open(const ProcessOptions& options);
};

Exit exit_from(int status, const rusage& usage);

}  // namespace tidemill
