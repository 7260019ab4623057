#include "cli/csv.h"

#include <set>

#include "base/result.h"
#include "base/time.h"

namespace tidemill::cli {
namespace {

std::string field(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string out = "\"";
  for (char c : text) out += c == '"' ? "\"\"" : std::string(1, c);
  return out + '"';
}

std::string text_of(std::optional<double> value) { return value ? fmt::format("{}", *value) : ""; }

}  // namespace

std::string csv_line(const std::vector<std::string>& fields) {
  std::string line;
  for (size_t i = 0; i < fields.size(); ++i) line += (i > 0 ? "," : "") + field(fields[i]);
  return line + "\n";
}

std::string csv_of(const std::vector<tracking::Run>& runs) {
  std::set<std::string> metrics, params, tags;
  for (const auto& run : runs) {
    for (const auto& metric : run.metrics) metrics.insert(metric.key);
    for (const auto& [key, value] : run.params) params.insert(key);
    for (const auto& [key, value] : run.tags) tags.insert(key);
  }
  std::vector<std::string> header{"run_id",       "experiment_id", "status",
                                  "artifact_uri", "start_time",    "end_time"};
  for (const auto& key : metrics) header.push_back("metrics." + key);
  for (const auto& key : params) header.push_back("params." + key);
  for (const auto& key : tags) header.push_back("tags." + key);
  std::string out = csv_line(header);
  for (const auto& run : runs) {
    std::vector<std::string> row{run.info.id,
                                 run.info.experiment_id,
                                 std::string(tracking::to_string(run.info.status)),
                                 run.info.artifact_uri,
                                 format_utc(run.info.start_time),
                                 run.info.end_time ? format_utc(*run.info.end_time) : ""};
    for (const auto& key : metrics) row.push_back(text_of(run.metric(key)));
    for (const auto& key : params) row.emplace_back(run.param(key));
    for (const auto& key : tags) row.emplace_back(run.tag(key));
    out += csv_line(row);
  }
  return out;
}

}  // namespace tidemill::cli
