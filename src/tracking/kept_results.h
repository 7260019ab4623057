// The results of steps that are kept for later runs, for those who look after them: how large they are, when
// they were last of use, and who still needs them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "tracking/store.h"

namespace tidemill::tracking {

struct KeptResult {
  std::string key;
  std::string run_id;  // that made it
  std::string step;
  std::string artifact_uri, outputs;  // of the run; digest of its files
  uint64_t bytes = 0, files = 0;      // as they were recorded
  int64_t last_used = 0;              // ms: made, or reused
  // Why its files must stay: "model churn version 3", "a run that is active", "the latest run of pipeline p";
  // "": nothing that is recorded needs them.
  std::string needed_by;
};

// The one that was of use longest ago first.
Result<std::vector<KeptResult>> kept_results(Store& store);

// Those of the candidates that nothing needs by now are known no more, and their runs have no files any more:
// to be called before the files are removed. Returns them.
Result<std::vector<KeptResult>> forget_unneeded(Store& store, const std::vector<KeptResult>& candidates);
// The same for one whose files are not what they were, whatever needs them.
Result<> forget_damaged(Store& store, const KeptResult& result);

}  // namespace tidemill::tracking
