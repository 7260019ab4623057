// The command line of a bench.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

namespace tidemill::bench {

struct Argument {
  std::string spelling;  // "--store URI", "--alone" for a bool, or "SECONDS" for what its place tells
  // Holds the default, and then what was given. A vector's numbers have commas between them.
  std::variant<bool*, int*, uint64_t*, double*, std::string*, std::vector<int>*> value;
  std::string help;
  double least = 0;                       // of a number
  std::vector<std::string> choices = {};  // of a string; none: any
};

struct CommandLine {
  std::string measures;
  std::vector<Argument> arguments;
  std::vector<std::string> examples;
};

// Ends the program with 0 after --help, with 2 when an argument is unknown or wrong.
void read_arguments(int argc, char** argv, const CommandLine& expected);

}  // namespace tidemill::bench
