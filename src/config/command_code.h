// The code of a step that is a command: the files that it names, and what these bring along.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/files.h"

namespace tidemill::config {

struct CommandCode {
  std::vector<std::string> files;       // that are there, below the folder
  std::vector<std::string> looked_for;  // that are not, and would be code if they were
};

// Reads shell commands as far as their words go: files that they name, also behind `cd FOLDER`; modules
// behind python's -m; and of Python files those that they import from beside them, and so on.
class CommandReader {
 public:
  // folder: in which the commands run; nothing outside of it is looked at.
  explicit CommandReader(fs::path folder) : folder_(std::move(folder)) {}

  CommandCode code_of(const std::string& command);

 private:
  struct Search;
  // The modules that a Python file imports, as places of files below `root`, its package's root.
  const std::vector<std::string>& imports_of(const std::string& file, const std::string& root);

  fs::path folder_;
  std::map<std::pair<std::string, std::string>, std::vector<std::string>> imports_;
};

}  // namespace tidemill::config
