// Files that a pipeline takes from outside: where they are.
#pragma once

#include <string>
#include <vector>

#include "config/problems.h"
#include "config/yaml.h"

namespace tidemill::config {

struct Input {
  std::string name;
  fs::path file;                  // or folder; as written. Of what has to be fetched only once it is there
  std::string url;                // http, https, s3, runs:/, models:/ or mlflow-artifacts:/; "" for others
  std::string query;              // in SQL; "" for others
  std::string database;           // of the query: a path, sqlite:///path or postgresql://user@host/db
  std::string database_variable;  // the variable of the environment that says so; "" with `database`
  std::string sha256;             // that what is fetched must have; "": any
  fs::path folder;                // of the pipeline's file, that relative paths start from
  Place place;

  bool is_fetched() const { return !url.empty() || !query.empty(); }
};

// {raw: data/raw, table: "https://host/table.csv", other: {url: ..., sha256: ...},
//  rows: {query: "SELECT ...", database: app.db}}
std::vector<Input> read_inputs(const Node& map, Problems& problems);

}  // namespace tidemill::config
