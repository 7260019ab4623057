// Pipelines of many steps of which none has anything to do, recognised as a whole. With a run it is kept what
// it was started with and what it relied upon; while all of that is as it was, the next run needs neither to
// read the pipeline nor to plan it, and is recorded as one run whose steps are those of the one before
// (tracking::kStepsOfTag).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "engine/reliances.h"

namespace tidemill::engine {

// Of the latest run of a pipeline's file.
struct Footing {
  std::string start;  // Options::start
  std::string run_id;
  int64_t result_changes = 0;  // tracking::Store::result_changes() before the first decision
  std::string pipeline, experiment, folder, file;
  config::Arguments params;
  std::vector<std::string> steps;
  Reliances reliances;
};
std::string encode(const Footing& footing);
// nullopt when the bytes are not what encode() makes.
std::optional<Footing> decode_footing(std::string_view bytes);

// Whether it may be recognised later that a run of the plan would do nothing: every step's result must follow
// from what is looked at. Not so where the store, an environment or the clock has a say: `when`, gates, data
// checks, metrics of other steps, secrets, URLs, environments that were made, steps that always run.
bool can_be_recognised(const pipeline::Plan& plan, const Options& options);

// Keeps it, replacing what is kept of the file's earlier run.
Result<> keep_footing(const Footing& footing, const Options& options);
// The next run of the file decides anew.
void forget_footing(const std::string& file, const Options& options);

}  // namespace tidemill::engine
