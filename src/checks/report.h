// What a check has seen of data, and what is wrong with them.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace tidemill::checks {

// How values are spread: of numbers the shares between edges (deciles of the data it was made of), of classes
// the share of each.
struct Distribution {
  std::vector<double> edges;             // rising; one fewer than the shares; empty for classes
  std::map<std::string, double> shares;  // by class, or by the number of the bin
};
using Distributions = std::map<std::string, Distribution>;  // by column; "class" for classes of images

Json to_json(const Distributions& distributions);
// What cannot be read is left out.
Distributions distributions_from(const Json& json);
// Of numbers; bins: those of `like`, or deciles of the values when it has none.
Distribution distribution_of(std::vector<double> values, const Distribution* like);
// Population stability index: sum of (now - before) * ln(now / before). 0.1 is little, 0.25 much.
double stability_index(const Distribution& before, const Distribution& now);

// A row or an image that something is wrong with.
struct BadItem {
  std::string name;   // "line 17", or the path below the checked folder
  uint64_t line = 0;  // of a row
  std::string reason;
};

struct Report {
  uint64_t count = 0;                       // of rows or images
  std::map<std::string, uint64_t> classes;  // how many of each
  Distributions distributions;
  std::vector<std::string> problems;  // "rows: 12, at least 100 are wanted"
  std::vector<BadItem> bad;           // each once; at most kMostBadItems
  bool bad_is_whole = true;
};
constexpr size_t kMostBadItems = 1'000'000;

Json to_json(const Report& report);

}  // namespace tidemill::checks
