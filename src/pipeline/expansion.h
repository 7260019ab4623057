// From a step with foreach to the steps that it stands for. Pure.
#pragma once

#include <string>
#include <vector>

#include "config/pipeline_file.h"

namespace tidemill::pipeline {

// Values by name, in the order of the file.
using Combination = config::Arguments;

constexpr size_t kMostInstances = 10'000;  // of one step

// What the foreach of a step (not one with `like`) stands for. kInvalid: a value that is not known before the
// run, a combination that is there twice, or too many of them.
Result<std::vector<Combination>> combinations(const config::Foreach& foreach,
                                              const config::Arguments& params);

// "train[rate=0.1,depth=3]": the same values always give the same name, which is safe in a path.
std::string instance_name(const std::string& step, const Combination& values);

// The step with ${each.NAME} replaced by its values, and references to `like` steps by those to the instance
// that has the same ones. `rename` gives the new name of a step that is referred to, or "".
config::Step instance_of(const config::Step& step, const Combination& values,
                         const std::function<std::string(const std::string& step)>& rename);

}  // namespace tidemill::pipeline
