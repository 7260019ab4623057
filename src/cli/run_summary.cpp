#include "cli/run_summary.h"

#include <algorithm>

#include "base/text.h"
#include "cli/format.h"
#include "db/location.h"
#include "sys/terminal.h"

namespace tidemill::cli {
namespace {

constexpr size_t kMostFigures = 4;  // of a step that names none

// "accuracy 0.912, loss 0.31": what the step asks to be shown, else its first metrics but those of the
// system.
std::string figures_of(const tracking::Run& run, const std::vector<std::string>& wanted) {
  std::vector<std::string> parts;
  for (const auto& name : wanted) {
    if (auto metric = run.metric(name)) {
      parts.push_back(fmt::format(
          "{} {}", name,
          name.ends_with("_bytes") ? human_bytes(static_cast<uint64_t>(*metric)) : number(*metric)));
    } else if (auto tag = run.tag(name); !tag.empty()) {
      parts.push_back(fmt::format("{} {}", name, tag));
    } else if (auto param = run.param(name); !param.empty()) {
      parts.push_back(fmt::format("{} {}", name, param));
    }
  }
  if (wanted.empty())
    for (const auto& metric : run.metrics)
      if (parts.size() < kMostFigures && !metric.key.starts_with("system/"))
        parts.push_back(fmt::format("{} {}", metric.key, number(metric.value)));
  return join(parts, ", ");
}

constexpr size_t kMostReusedRows = 50;

Result<> print_table(tracking::Store& store, const pipeline::Plan& plan, const engine::Outcome& outcome) {
  Table table({"STEP", "STATUS", "TIME", "FIGURES"});
  auto is_reused = [](const auto& step) { return step.state == engine::StepState::kReused; };
  const auto reused = std::count_if(outcome.steps.begin(), outcome.steps.end(), is_reused);
  const bool leave_out = static_cast<size_t>(reused) > kMostReusedRows;
  for (size_t i = 0; i < outcome.steps.size(); ++i) {
    const auto& step = outcome.steps[i];
    if (leave_out && is_reused(step)) continue;
    std::string figures;
    if (!step.run_id.empty())
      if (auto run = store.run(step.run_id)) figures = figures_of(*run, plan.steps[i].settings->figures);
    bool ran = step.state != engine::StepState::kSkipped && step.state != engine::StepState::kReused;
    std::string time = ran ? human_duration(step.seconds) : "";
    std::string status(engine::to_string(step.state));
    if (step.attempts > 1) status += fmt::format(", attempt {}", step.attempts);
    table.add({step.step, status, time, figures});
  }
  TRY(print("\n" + table.to_string()));
  if (leave_out)
    TRY(print(fmt::format("and {} steps that were reused\n", human_count(static_cast<uint64_t>(reused)))));
  return {};
}

}  // namespace

Result<> print_summary(tracking::Store& store, const pipeline::Plan& plan, const engine::Outcome& outcome,
                       Resumable resumable, const Context& context) {
  if (!outcome.steps.empty()) TRY(print_table(store, plan, outcome));
  std::string where = TRY(context.location()).name();
  std::string store_option = where == "tidemill.db" ? "" : " --store " + shell_quote(where);
  std::string resume =
      (outcome.status == tracking::RunStatus::kFinished && outcome.is_whole) || resumable == Resumable::kNo
          ? ""
          : fmt::format("  tidemill resume {}{}\n", outcome.run_id, store_option);
  fmt::print(stderr,
             "\nNext:\n{}  tidemill runs show {}{}\n  tidemill artifacts list {} -r{}\n  tidemill server{}\n",
             resume, outcome.run_id, store_option, outcome.run_id, store_option, store_option);
  return {};
}

bool tell_where(const engine::Outcome& outcome, const std::string& tracking_uri) {
  const std::string server = db::without_secrets(tracking_uri);
  if (!outcome.run_there.empty())
    fmt::print(stderr, "recorded at {}/#/experiments/{}/runs/{}\n", server, outcome.experiment_there,
               outcome.run_there);
  if (!outcome.not_there) return true;
  fmt::print(stderr, "not all of this run is there: {}\n  tidemill export {} sends the rest\n",
             outcome.not_there->message, server);
  return false;
}

}  // namespace tidemill::cli
