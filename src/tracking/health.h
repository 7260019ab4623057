// What can be told of a store's health from its rows.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "tracking/store.h"

namespace tidemill::tracking {

struct ArtifactPlace {
  // A logged model is ready also when its maker has stored no files with it; the others have recorded some.
  enum class Files { kExpected, kUsual };
  std::string what;  // "run 4ad3...", "logged model m-70...", "version 3 of reg"
  std::string uri;
  Files files = Files::kExpected;
};

struct Health {
  uint64_t runs = 0;
  uint64_t running = 0;  // that have not ended
  uint64_t strays = 0;   // rows that belong to nothing that is there
  // Where files should be: of runs that have recorded some, of logged models that are ready, of model
  // versions. Deleted ones are left out.
  std::vector<ArtifactPlace> places;
};

Result<Health> examine(Store& store);

}  // namespace tidemill::tracking
