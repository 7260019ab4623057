// From a pipeline with steps that are pipelines themselves to one whose steps all run something. Pure.
#pragma once

#include <string>
#include <vector>

#include "pipeline/graph.h"

namespace tidemill::pipeline {

struct Flat {
  config::Pipeline pipeline;
  std::vector<Nest> nests;  // outer ones first
};

constexpr size_t kMostNestedSteps = 20'000;

bool has_nests(const config::Pipeline& pipeline);

// Steps of inner pipelines are called "outer/inner". What they take from the step that they are within
// (params, needs, when, foreach) stands in each of them then, and what others take from its outputs is what
// the outputs stand for, so that graph, cache, scheduler and record know nothing but steps. params: values of
// the outermost pipeline's parameters, as far as they are known.
Flat flatten(const config::Pipeline& pipeline, const config::Arguments& params, config::Problems& problems);

}  // namespace tidemill::pipeline
