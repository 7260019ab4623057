// What a run was made of: the machine, what is installed on it, the projects' lock files, the state of git,
// the plan, and what each step's key was made of. Kept among the artifacts of the pipeline's run, in the
// folder "tidemill", for `tidemill runs diff` and `tidemill reproduce`.
#pragma once

#include <future>
#include <map>
#include <optional>
#include <string>

#include "base/json.h"
#include "engine/engine.h"
#include "engine/step_cache.h"
#include "pipeline/plan.h"

namespace tidemill::engine {

inline constexpr std::string_view kSnapshotFolder = "tidemill";
inline constexpr std::string_view kRecordFile = "tidemill/record.json";
inline constexpr std::string_view kStepsFile =
    "tidemill/steps.json";  // why each ran or did not, what its key was made of
inline constexpr std::string_view kDiagramFile = "tidemill/pipeline.svg";  // and what became of each step
inline constexpr std::string_view kDiffFile = "tidemill/uncommitted.diff";

// Operating system, kernel, C library, processor, memory, drivers of GPUs; from files, without starting
// anything.
Json describe_machine();
// The Pythons that the plan's projects may run, by path, with version and installed packages as far as
// folders tell.
Json describe_software(const pipeline::Plan& plan, const Options& options);

// Of a run like that of the record, made now: the time, the machine, the state of git around the folder.
void renew_record(Json& record, const fs::path& folder);

class Snapshot {
 public:
  // Begins to gather it on a thread of its own, so that the run does not wait. plan and options outlive this.
  Snapshot(const pipeline::Plan& plan, const Options& options);

  // What the step's result depends on.
  void note(size_t step, const Decision& decision);
  // digest: of all the files of its result.
  void note_made(size_t step, const std::string& digest);
  // Writes what does not change any more into a run's artifact folder, once it is gathered. Harmless when
  // repeated; whoever looks at the run meanwhile finds its plan there.
  Result<> write_early(const fs::path& artifacts);
  // Waits for what is still being gathered, and writes all. states: what became of the steps, in the plan's
  // order.
  Result<> write(const fs::path& artifacts, const std::vector<std::string>& states);

 private:
  struct Gathered {
    Json record;
    std::string diff;  // of what was not committed; "" when there is none
  };
  Result<> write_gathered(const fs::path& artifacts);
  static Gathered gather(const pipeline::Plan& plan, const Options& options);

  const pipeline::Plan& plan_;
  std::map<std::string, Json> steps_;
  std::future<Gathered> gathering_;
  std::optional<Gathered> gathered_;  // and not written yet
};

}  // namespace tidemill::engine
