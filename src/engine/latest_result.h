// The latest result of a step, whatever it was made of.
#pragma once

#include "engine/file_tree.h"
#include "engine/step_cache.h"
#include "pipeline/plan.h"
#include "tracking/store.h"

namespace tidemill::engine {

// Of the step of this name in a pipeline of the plan's name: the latest that has succeeded and whose files
// are what they were. nullopt when there is none.
Result<std::optional<KnownResult>> latest_result(const pipeline::Plan& plan, const std::string& step,
                                                 tracking::Store& store, const FileHashes& hashes,
                                                 const Options& options);

// Whether a run's files lie there as they were recorded; nullopt when they do not.
std::optional<FileTree> whole_outputs(const std::string& run_id, const fs::path& folder,
                                      tracking::Store& store, const FileHashes& hashes);

}  // namespace tidemill::engine
