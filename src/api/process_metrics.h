// What Prometheus' client libraries tell of the process itself.
#pragma once

#include <string>

namespace tidemill::api {

// process_cpu_seconds_total, process_start_time_seconds, process_resident_memory_bytes, process_open_fds,
// process_max_fds and process_threads, in Prometheus' text format 0.0.4.
std::string process_metrics();

}  // namespace tidemill::api
