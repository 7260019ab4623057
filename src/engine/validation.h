// Whether the data that a step has made may be used: its checks, with a report among the artifacts of the
// pipeline's run.
#pragma once

#include <stop_token>
#include <string>
#include <vector>

#include "checks/report.h"
#include "engine/engine.h"
#include "engine/step_cache.h"
#include "pipeline/plan.h"

namespace tidemill::engine {

// The tag of a run whose outputs were looked at: "accepted <which checks>", or why not.
inline constexpr std::string_view kValidationTag = "tidemill.validation";

enum class Outputs { kFresh, kKept };  // kKept: of an earlier run; nothing is taken out of them

class Validation {
 public:
  Validation(const pipeline::Plan& plan, tracking::Store& store, const Options& options)
      : plan_(plan), store_(store), options_(options) {}

  struct Found {
    bool accepted = true;
    std::string reason;              // why not
    std::vector<std::string> notes;  // warnings, and what was excluded
    std::string tag;                 // for the run that made the outputs; "": it has the right one
  };
  struct Where {
    std::string experiment_id;
    fs::path
        artifacts;  // of the pipeline's run: validation/STEP.json and validation/STEP.excluded.txt go there
  };
  // Whether the same checks have accepted what this run has made.
  bool have_accepted(const pipeline::PlannedStep& step, const std::string& run_id) const;
  // What the same checks have accepted already is not looked at again. May be called on several threads.
  // kCancelled: `stop` has asked for it.
  Result<Found> examine(const pipeline::PlannedStep& step, const KnownResult& result, Outputs outputs,
                        const Where& where, const std::stop_token& stop) const;

 private:
  // Of the last run of this step whose outputs were accepted: distributions by the path of the check.
  Result<std::map<std::string, checks::Distributions>> accepted_before(const pipeline::PlannedStep& step,
                                                                       const Where& where) const;

  const pipeline::Plan& plan_;
  tracking::Store& store_;
  const Options& options_;
};

}  // namespace tidemill::engine
