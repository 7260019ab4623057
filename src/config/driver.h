// Drivers of MLflow Projects in Python: a main.py that calls mlflow.run() for one project after the other.
// Read without running it, as far as it says what it passes; the pipeline that does the same is written from
// that.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/files.h"
#include "config/mlproject.h"
#include "config/parameter.h"

namespace tidemill::config {

struct DriverStep {
  std::string name;
  std::string project;      // as mlflow.run() was given it
  std::string entry_point;  // "main" when the call names none
  // Values are templates of a pipeline.yaml: "${params.epochs}", "${steps.preprocess.artifacts}/test".
  std::vector<std::pair<std::string, std::string>> arguments;
  std::vector<std::string> needs;  // steps before it that no argument refers to
  Place place;
};

struct Driver {
  std::string name;        // "": that of its folder
  std::string experiment;  // "" when it names none
  std::vector<Parameter>
      parameters;  // of argparse and click; and for each value that cannot be read one without a default
  std::vector<DriverStep> steps;  // in the order in which they ran
  size_t steps_left_out = 0;      // calls of mlflow.run() that cannot be read
  std::vector<Error> left;        // what it does beside that, each at a place
};

// project: of the driver's own folder, whose defaults are those that people run it with. kInvalid: not
// Python, or no call of mlflow.run() that can be read.
Result<Driver> read_driver(std::string_view text, const std::string& file_name, const Project& project);

// The script that an entry point of the project runs, or main.py. kNotFound.
Result<fs::path> find_driver(const Project& project);

// The text of a pipeline.yaml beside the driver.
std::string pipeline_text(const Driver& driver, const std::string& driver_name);

}  // namespace tidemill::config
