// The graph of a plan as a picture. Pure.
#pragma once

#include <string>
#include <vector>

#include "pipeline/plan.h"

namespace tidemill::pipeline {

struct Diagram {
  struct Node {
    std::string name;
    std::string note;           // shown behind or below the name; "" for none
    std::vector<size_t> needs;  // indexes of nodes, all smaller than this node's own
  };
  std::string title;
  std::vector<Node> nodes;
};
Diagram diagram_of(const Plan& plan);
// With what became of the steps, in the plan's order, for notes: "reused", "3 finished, 1 failed".
Diagram diagram_of(const Plan& plan, const std::vector<std::string>& states);

// Lines of text, one lane for each result that is still waited for, in the way of `git log --graph`.
std::string draw_text(const Diagram& diagram);
// For Graphviz and for Mermaid.
std::string draw_dot(const Diagram& diagram);
std::string draw_mermaid(const Diagram& diagram);
// Layers from left to right, by the longest way from a node without needs (Sugiyama, Tagawa, Toda 1981, with
// the barycentre rule against crossings).
std::string draw_svg(const Diagram& diagram);

}  // namespace tidemill::pipeline
