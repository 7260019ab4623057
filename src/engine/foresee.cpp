#include <algorithm>

#include "engine/engine.h"
#include "engine/file_tree.h"
#include "engine/step_cache.h"

namespace tidemill::engine {

Result<std::vector<Foreseen>> foresee(const pipeline::Plan& plan, tracking::Store* store,
                                      const Options& options) {
  using What = Foreseen::What;
  std::vector<Foreseen> all;
  FileHashes hashes(options.hash_folder());
  std::optional<StepCache> cache;
  if (store != nullptr) cache.emplace(plan, *store, hashes, options);
  for (size_t i = 0; i < plan.steps.size(); ++i) {
    const auto& step = plan.steps[i];
    auto unknown = std::find_if(step.needs.begin(), step.needs.end(),
                                [&](size_t need) { return all[need].what != What::kReuse; });
    if (!cache) {
      all.push_back({step.name, What::kRun, "for the first time"});
    } else if (unknown != step.needs.end()) {
      all.push_back(
          {step.name, What::kDepends, fmt::format("depends on what {} makes", plan.steps[*unknown].name)});
    } else {
      Decision decision = TRY(cache->decide({i}))[0];
      bool reused = decision.what == Decision::What::kReuse;
      all.push_back({step.name, reused ? What::kReuse : What::kRun, decision.reason});
      if (reused) cache->learn(i, decision.result);
    }
  }
  return all;
}

}  // namespace tidemill::engine
