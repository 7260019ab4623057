#include "cli/format.h"

#include "base/text.h"
#include "engine/events.h"
#include "sys/terminal.h"

namespace tidemill::cli {

using tracking::RunStatus;

Json to_json(const tracking::Experiment& experiment) {
  Json tags = Json::object();
  for (const auto& [key, value] : experiment.tags) tags[key] = value;
  return {{"experiment_id", experiment.id},
          {"name", experiment.name},
          {"artifact_location", experiment.artifact_location},
          {"lifecycle_stage", tracking::to_string(experiment.lifecycle)},
          {"creation_time", experiment.created},
          {"last_update_time", experiment.updated},
          {"tags", tags}};
}

Json to_json(const tracking::Run& run) {
  Json params = Json::object(), metrics = Json::object(), tags = Json::object();
  for (const auto& [key, value] : run.params) params[key] = value;
  for (const auto& [key, value] : run.tags) tags[key] = value;
  for (const auto& metric : run.metrics) metrics[metric.key] = metric.value;
  Json json{{"run_id", run.info.id},
            {"run_name", run.info.name},
            {"experiment_id", run.info.experiment_id},
            {"status", tracking::to_string(run.info.status)},
            {"start_time", run.info.start_time}};
  json["end_time"] = run.info.end_time ? Json(*run.info.end_time) : Json(nullptr);
  json["artifact_uri"] = run.info.artifact_uri;
  json["lifecycle_stage"] = tracking::to_string(run.info.lifecycle);
  json["params"] = std::move(params);
  json["metrics"] = std::move(metrics);
  json["tags"] = std::move(tags);
  return json;
}

Json to_json(const pipeline::Plan& plan, const pipeline::PlannedStep& step) {
  Json needs = Json::array();
  for (size_t need : step.needs) needs.push_back(plan.steps[need].name);
  Json json{{"step", step.name},
            {"project", step.project->folder.string()},
            {"entry_point", step.entry->name},
            {"needs", needs},
            {"command", step.entry->command}};
  for (const auto& [name, value] : step.each) json["each"][name] = value;
  for (const auto& output : step.settings->outputs) json["outputs"][output.name] = output.path;
  if (step.settings->when) json["when"] = step.settings->when->text;
  if (step.phase != config::Phase::kMain) json["phase"] = config::to_string(step.phase);
  return json;
}

std::string duration_of(const tracking::RunInfo& run) {
  return run.end_time ? human_duration(static_cast<double>(*run.end_time - run.start_time) / 1000) : "";
}

std::string status_of(const tracking::Run& run, bool colour) {
  const RunStatus status = run.info.status;
  Style style = status == RunStatus::kFinished                                 ? Style::kGreen
                : status == RunStatus::kFailed || status == RunStatus::kKilled ? Style::kRed
                                                                               : Style::kCyan;
  std::string shown = styled(tracking::to_string(status), style, colour);
  std::string outcome(run.tag(engine::kOutcomeTag));
  const bool tells_more = outcome == to_string(engine::RunOutcome::kSucceededWithFailures) ||
                          outcome == to_string(engine::RunOutcome::kCrashed) ||
                          outcome == to_string(engine::RunOutcome::kTimedOut);
  if (!tells_more || status == RunStatus::kRunning) return shown;
  std::ranges::replace(outcome, '_', ' ');
  return fmt::format("{} ({})", shown, outcome);
}

std::string number(double value) { return fmt::format("{:.6g}", value); }

}  // namespace tidemill::cli
