#include "serving/metrics.h"

#include <unistd.h>

#include <fstream>

#include "serving/session.h"

namespace tidemill::serving {

namespace {

constexpr std::string_view kOutcomes[] = {"success",     "invalid", "not_found", "conflict", "denied",
                                          "unavailable", "timeout", "cancelled", "internal"};

void head(std::string& out, std::string_view name, std::string_view type, std::string_view help) {
  out += fmt::format("# HELP {0} {2}\n# TYPE {0} {1}\n", name, type, help);
}

// Backslash, quote and line break, as the text format asks.
std::string escaped(std::string_view value) {
  std::string out;
  for (char c : value) {
    if (c == '\\' || c == '"') out += '\\';
    if (c == '\n')
      out += "\\n";
    else
      out += c;
  }
  return out;
}

uint64_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  uint64_t total = 0, resident = 0;
  statm >> total >> resident;
  return resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

}  // namespace

std::string_view to_string(Door door) {
  constexpr std::string_view kNames[kDoors] = {"predict_http", "predict_grpc", "v2_http", "v2_grpc"};
  return kNames[static_cast<size_t>(door)];
}

void Histogram::observe(std::chrono::nanoseconds duration) {
  const uint64_t ns = static_cast<uint64_t>(std::max<int64_t>(duration.count(), 0));
  size_t bucket = 0;
  while (bucket < kUpperMicros.size() && ns > uint64_t{kUpperMicros[bucket]} * 1000) ++bucket;
  buckets_[bucket].fetch_add(1, std::memory_order_relaxed);
  sum_ns_.fetch_add(ns, std::memory_order_relaxed);
}

void Histogram::print(std::string& out, std::string_view name, std::string_view labels) const {
  const std::string_view comma = labels.empty() ? "" : ",";
  const std::string braces = labels.empty() ? "" : fmt::format("{{{}}}", labels);
  uint64_t total = 0;
  for (size_t i = 0; i < kUpperMicros.size(); ++i) {
    total += buckets_[i].load(std::memory_order_relaxed);
    out += fmt::format("{}_bucket{{{}{}le=\"{}\"}} {}\n", name, labels, comma, kUpperMicros[i] / 1e6, total);
  }
  total += buckets_.back().load(std::memory_order_relaxed);
  out +=
      fmt::format("{0}_bucket{{{1}{2}le=\"+Inf\"}} {3}\n{0}_sum{4} {5:.9f}\n{0}_count{4} {3}\n", name, labels,
                  comma, total, braces, static_cast<double>(sum_ns_.load(std::memory_order_relaxed)) / 1e9);
}

void Metrics::answered(Door door, const Error* error, std::chrono::nanoseconds duration) {
  const size_t outcome = error ? static_cast<size_t>(error->code) + 1 : 0;
  answers_[static_cast<size_t>(door)][outcome].fetch_add(1, std::memory_order_relaxed);
  durations_[static_cast<size_t>(door)].observe(duration);
}

std::string Metrics::print(const Now& now) const {
  std::string out;
  head(out, "tidemill_serving_requests_total", "counter",
       "Prediction requests answered, by door and outcome.");
  for (size_t door = 0; door < kDoors; ++door)
    for (size_t outcome = 0; outcome < kCodes; ++outcome)
      if (uint64_t count = answers_[door][outcome].load(std::memory_order_relaxed); count || outcome == 0)
        out += fmt::format("tidemill_serving_requests_total{{door=\"{}\",outcome=\"{}\"}} {}\n",
                           to_string(static_cast<Door>(door)), kOutcomes[outcome], count);
  head(out, "tidemill_serving_request_seconds", "histogram",
       "From the request read to its answer handed over.");
  for (size_t door = 0; door < kDoors; ++door)
    durations_[door].print(out, "tidemill_serving_request_seconds",
                           fmt::format("door=\"{}\"", to_string(static_cast<Door>(door))));
  head(out, "tidemill_serving_queue_seconds", "histogram", "Time a request waited for a worker.");
  queue.print(out, "tidemill_serving_queue_seconds", "");
  head(out, "tidemill_serving_inference_seconds", "histogram", "Time inside ONNX Runtime.");
  inference.print(out, "tidemill_serving_inference_seconds", "");
  head(out, "tidemill_serving_inferences_total", "counter", "Runs of the model that succeeded.");
  out += fmt::format("tidemill_serving_inferences_total {}\n", inferences.load());
  head(out, "tidemill_serving_running", "gauge", "Runs of the model in progress.");
  out += fmt::format("tidemill_serving_running {}\n", running.load());
  head(out, "tidemill_serving_queued", "gauge", "Requests waiting for a worker.");
  out += fmt::format("tidemill_serving_queued {}\n", now.queued);
  head(out, "tidemill_serving_ready", "gauge", "1 while the server takes requests.");
  out += fmt::format("tidemill_serving_ready {}\n", now.ready ? 1 : 0);
  head(out, "tidemill_serving_model_info", "gauge", "The model that is served.");
  out += fmt::format("tidemill_serving_model_info{{model=\"{}\",version=\"{}\"}} 1\n", escaped(now.model),
                     escaped(now.version));
  head(out, "tidemill_build_info", "gauge", "Versions of the server and of ONNX Runtime.");
  out += fmt::format("tidemill_build_info{{version=\"" TIDEMILL_VERSION "\",onnxruntime=\"{}\"}} 1\n",
                     onnxruntime_version());
  head(out, "process_resident_memory_bytes", "gauge", "Resident memory.");
  out += fmt::format("process_resident_memory_bytes {}\n", resident_bytes());
  return out;
}

}  // namespace tidemill::serving
