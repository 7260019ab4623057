// Comma-separated values (RFC 4180), for spreadsheets and data frames.
#pragma once

#include <string>
#include <vector>

#include "tracking/entities.h"

namespace tidemill::cli {

// A line with its end.
std::string csv_line(const std::vector<std::string>& fields);

// A line for each run with MLflow's columns: run_id, experiment_id, status, artifact_uri, start_time and
// end_time (UTC), then metrics.*, params.* and tags.* of any of them; a run's field is empty where it has
// none.
std::string csv_of(const std::vector<tracking::Run>& runs);

}  // namespace tidemill::cli
