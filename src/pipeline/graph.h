// What waits for what among the steps as they stand in the file, before foreach is expanded. Pure.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "config/pipeline_file.h"

namespace tidemill::pipeline {

// The nodes are the steps in the order of the file.
struct Graph {
  std::vector<std::string> names;
  std::unordered_map<std::string, size_t> positions;
  std::vector<std::set<size_t>> needs;
  std::vector<std::set<size_t>> tolerated;  // of the needs: those that may end in any way
  std::vector<size_t> models;  // whose foreach a step follows in the end; itself where it has its own

  std::optional<size_t> index(const std::string& name) const;
};

// A step that was a pipeline, once the steps of that stand in its place.
struct Nest {
  std::string name;                // "a", "a/b"
  std::vector<std::string> steps;  // what it stands for, by their new names; without those of a run's end
};

// Checks needs and references: unknown steps, things that a step or the run does not have.
Graph make_graph(const config::Pipeline& pipeline, config::Problems& problems,
                 const std::vector<Nest>& nests = {});

// The steps in an order in which they can run one after another, that of the file as far as their needs
// allow. kInvalid when there is none, with the circle.
Result<std::vector<size_t>> sorted(const Graph& graph, const config::Pipeline& pipeline);

}  // namespace tidemill::pipeline
