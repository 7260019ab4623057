// Files that a pipeline takes from outside: where they are.
#pragma once

#include <string>
#include <vector>

#include "config/problems.h"
#include "config/yaml.h"

namespace tidemill::config {

struct Input {
  std::string name;
  fs::path file;       // or folder; as written, of a url only once it has been fetched
  std::string url;     // "" for a file
  std::string sha256;  // that the url's content must have; "": any
  Place place;
};

// {raw: data/raw, table: "https://host/table.csv", other: {url: ..., sha256: ...}}
std::vector<Input> read_inputs(const Node& map, Problems& problems);

}  // namespace tidemill::config
