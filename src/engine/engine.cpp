#include "engine/engine.h"

#include <malloc.h>

#include "engine/execution.h"
#include "engine/provenance.h"

namespace tidemill::engine {

// Each step's process begins as a copy of this one's page tables: what reading the pipeline took goes back
// first.
static void give_free_memory_back() { malloc_trim(0); }

Result<Outcome> execute(const pipeline::Plan& plan, tracking::Store& store, const Options& options,
                        const Listener& listener) {
  give_free_memory_back();
  return Execution(plan, store, options, listener, Shape::kPipeline).run("");
}

Result<> check_resumable(tracking::Store& store, const std::string& run_id) {
  const tracking::Run run = TRY(store.run(run_id));
  if (run.info.status == tracking::RunStatus::kFinished)
    return fail(Code::kConflict, "run {} has finished; `tidemill run` starts a new one", run_id);
  if (run.info.status == tracking::RunStatus::kRunning && runner_is_alive(run.tag(kRunnerTag)))
    return fail(Code::kConflict, "run {} is still being run; `tidemill cancel {}` ends it", run_id, run_id);
  return {};
}

Result<Outcome> resume(const std::string& run_id, const pipeline::Plan& plan, tracking::Store& store,
                       const Options& options, const Listener& listener) {
  give_free_memory_back();
  return Execution(plan, store, options, listener, Shape::kPipeline).run(run_id);
}

Result<Outcome> execute_project(const pipeline::Plan& plan, tracking::Store& store, const Options& options,
                                const Listener& listener) {
  Options always = options;
  always.cache = {.read = CachePolicy::Use::kNo, .write = CachePolicy::Use::kNo, .forced = {}};
  return Execution(plan, store, always, listener, Shape::kProject).run("");
}

}  // namespace tidemill::engine
