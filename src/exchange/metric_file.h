// The points in a metric's file of MLflow's file store.
#pragma once

#include <functional>

#include "exchange/mlruns_format.h"
#include "exchange/report.h"

namespace tidemill::exchange {

// Calls for each line that is a point; what is none is reported with its line. Memory is bounded whatever the
// file holds.
Result<> read_metric_file(const std::string& file, MetricOwner owner,
                          const std::function<Result<>(MetricLine)>& each, Report& report);

}  // namespace tidemill::exchange
