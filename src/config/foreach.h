// A step that stands for many, one for each combination of values.
#pragma once

#include <string>
#include <vector>

#include "config/reference.h"
#include "config/yaml.h"

namespace tidemill::config {

// Values may refer to parameters of the pipeline.
struct Foreach {
  struct Values {
    std::string name;
    std::vector<Template> list;  // with `split`, one text with commas between its values
    bool split = false;
    Place place;
  };
  using Row = std::vector<std::pair<std::string, Template>>;

  // One of these three:
  std::vector<Values> product;  // {rate: [0.1, 0.01], depth: [3, 5]}: each with each
  std::vector<Row> rows;        // [{rate: 0.1, depth: 3}, {rate: 0.01, depth: 5}]: these
  std::string like;             // the name of a step: its combinations, each following its own
  Place place;

  std::vector<std::string> names() const;  // of the values; empty with `like`
};

Result<Foreach> read_foreach(const Node& node);

}  // namespace tidemill::config
