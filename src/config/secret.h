// Values that nobody is to see: where they come from. They reach a step as variables of its environment.
#pragma once

#include <string>
#include <vector>

#include "config/problems.h"
#include "config/yaml.h"

namespace tidemill::config {

struct Secret {
  std::string name;      // the step's variable
  std::string variable;  // of the caller, or
  fs::path file;         // the content of a file, without the line's end
  Place place;
};

// {TOKEN: , PASSWORD: {env: DB_PASSWORD}, KEY: {file: ~/.keys/store}}
std::vector<Secret> read_secrets(const Node& map, Problems& problems);

}  // namespace tidemill::config
