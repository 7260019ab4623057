// The body of runs/create, with the tags by which MLflow tells who has started a run, and with what.
#pragma once

#include "base/json.h"
#include "tidemill/client.h"

namespace tidemill::sdk {

Json to_json(const NewRun& run);
// [{"key": ..., "value": ...}, ...]
Json tags_to_json(const Tags& tags);

}  // namespace tidemill::sdk
