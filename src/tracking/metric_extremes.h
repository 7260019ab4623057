// Lowest and highest number of each metric, for stores that were written before they were kept. Private to
// this folder.
#pragma once

#include "db/database.h"

namespace tidemill::tracking {

// Fills metrics.lowest and metrics.highest from all points: one pass over summaries, and over the points of
// chunks that have none.
Result<> fill_metric_extremes(db::Connection& connection);

}  // namespace tidemill::tracking
