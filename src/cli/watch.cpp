// tidemill runs watch: a metric of a run, as it comes.
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "cli/format.h"
#include "cli/run_facts.h"
#include "cli/run_id.h"
#include "sys/live_lines.h"
#include "sys/plot.h"
#include "sys/signals.h"
#include "sys/terminal.h"

#include <CLI/CLI.hpp>

namespace tidemill::cli {
namespace {

using std::chrono::milliseconds;

struct WatchOptions {
  std::string run, metric;
};

struct Found {
  tracking::Run run;
  std::string key;
};

// "loss" of the run itself or of the first of its steps that logs it; "train/loss" of that step.
Result<std::optional<Found>> find_metric(Records& records, const tracking::Run& run,
                                         const std::string& metric) {
  if (run.metric(metric)) return Found{run, metric};
  for (auto& step : TRY(step_runs(records, run))) {
    std::string prefix = fmt::format("{}/", step.tag("tidemill.step"));
    std::string key = metric.starts_with(prefix) ? metric.substr(prefix.size()) : metric;
    if (step.metric(key)) return Found{std::move(step), key};
  }
  return std::nullopt;
}

class Screen {
 public:
  explicit Screen(const Context& context)
      : json_(context.json), terminal_(!json_ && is_terminal(STDOUT_FILENO)) {}

  Result<> show(const Found& found, const std::vector<tracking::Metric>& points) {
    if (terminal_) return draw(found, points);
    for (; shown_ < points.size(); ++shown_) {
      const auto& point = points[shown_];
      TRY(print(
          json_ ? dump_json({{"step", point.step}, {"value", point.value}, {"timestamp", point.timestamp}}) +
                      "\n"
                : fmt::format("{}\t{}\n", point.step, number(point.value))));
    }
    return {};
  }

 private:
  Result<> draw(const Found& found, const std::vector<tracking::Metric>& points) {
    if (points.size() == shown_) return {};
    shown_ = points.size();
    std::vector<std::pair<double, double>> curve;
    for (const auto& point : points) curve.emplace_back(static_cast<double>(point.step), point.value);
    const std::string title =
        fmt::format("{}  {}  {} at step {}, {} {}", found.run.info.name,
                    styled(found.key, Style::kBold, use_colour(STDOUT_FILENO)), number(points.back().value),
                    points.back().step, points.size(), points.size() == 1 ? "point" : "points");
    const int width = terminal_width(STDOUT_FILENO);
    std::vector<std::string> lines = plot(curve, width, std::min(16, terminal_height(STDOUT_FILENO) - 2));
    lines.insert(lines.begin(), cut_to_width(title, width));
    live_.draw("", lines);
    return {};
  }

  bool json_, terminal_;
  size_t shown_ = 0;
  LiveLines live_{STDOUT_FILENO};
};

Result<int> watch(const Context& context, const WatchOptions& options) {
  auto records = TRY(open_records(context));
  const std::string id = TRY(full_run_id(*records, options.run));
  Screen screen(context);
  bool any = false;
  for (;;) {
    auto run = TRY(records->run(id));  // before its points: those of a run that has ended are all there
    if (auto found = TRY(find_metric(*records, run, options.metric))) {
      any = true;
      TRY(screen.show(*found, TRY(records->metric_history(found->run.info.id, found->key))));
    }
    if (tracking::is_terminal(run.info.status)) break;
    if (interrupted()) return exit_code(Code::kCancelled);
    std::this_thread::sleep_for(milliseconds(250));
  }
  if (!any)
    return fail(Code::kNotFound, "run {} has no metric '{}', nor has one of its steps", id, options.metric);
  return 0;
}

}  // namespace

void add_watch(CLI::App& runs, Context& context) {
  CLI::App* command =
      runs.add_subcommand("watch", "A metric of a run as it comes: a curve on a terminal, else lines");
  auto options = std::make_shared<WatchOptions>();
  command->add_option("RUN", options->run, "The run's id")->required();
  command->add_option("METRIC", options->metric, "Its name; of a pipeline's run also STEP/NAME")->required();
  add_record_options(*command, context);
  command->footer(
      "Ends with the run.\nExample: tidemill runs watch 0d9f2f5a7c5f4d1c9f5a8e7b6c5d4e3f train/loss");
  command->callback(
      [&context, options] { context.action = [&context, options] { return watch(context, *options); }; });
}

}  // namespace tidemill::cli
