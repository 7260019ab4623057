#include "cli/run_view.h"

#include <algorithm>

#include "base/text.h"

namespace tidemill::cli {
namespace {

using engine::StepState;

constexpr size_t kMostLogLines = 3;  // of one step
constexpr int kFewestColumns = 20;   // for a bar beside the load

size_t rows_for_steps(const Screen& screen) {
  constexpr int kOthers = 2;  // the counts, and where the cursor stands
  return static_cast<size_t>(std::max(1, screen.height - kOthers));
}

std::string text_of(const engine::Load& load) {
  return fmt::format("{:.1f} cpu, {}", load.cpus, human_bytes(load.memory));
}

std::string line_of(const RunningStep& step, size_t name_width, const Screen& screen) {
  std::string line = fmt::format("{} {}  {}", mark_of(StepState::kRunning, screen.colour),
                                 padded(cut_to_width(step.name, static_cast<int>(name_width)), name_width),
                                 human_duration(step.seconds));
  int left = screen.width - static_cast<int>(display_width(line)) - 2;
  std::string load = step.load ? text_of(*step.load) : "";
  if (step.progress && (step.progress->total > 0 || step.progress->done > 0)) {
    ProgressState progress = *step.progress;
    if (progress.label == step.name.substr(0, step.name.find('['))) progress.label.clear();
    const int for_load = load.empty() ? 0 : static_cast<int>(display_width(load)) + 2;
    std::string bar = progress.bar(left >= for_load + kFewestColumns ? left - for_load : left);
    line += "  " + bar;
    left -= static_cast<int>(display_width(bar)) + 2;
  }
  if (!load.empty() && left >= static_cast<int>(display_width(load)))
    line += "  " + styled(load, Style::kDim, screen.colour);
  return cut_to_width(line, screen.width);
}

}  // namespace

size_t& StepCounts::of(StepState state) {
  switch (state) {
    case StepState::kRunning:
      return running;
    case StepState::kFinished:
      return finished;
    case StepState::kReused:
      return reused;
    case StepState::kFailed:
    case StepState::kTimedOut:
    case StepState::kOutOfMemory:
    case StepState::kCrashed:
      return failed;
    case StepState::kSkipped:
      return skipped;
    case StepState::kKilled:
      return killed;
    case StepState::kWaiting:
      break;
  }
  return waiting;
}

std::string StepCounts::text() const {
  std::vector<std::string> parts;
  auto add = [&parts](size_t count, std::string_view what) {
    if (count > 0) parts.push_back(fmt::format("{} {}", human_count(count), what));
  };
  add(running, "running");
  add(waiting, "waiting");
  if (size_t done = finished + reused; done > 0)
    parts.push_back(fmt::format("{} done{}", human_count(done),
                                reused > 0 ? fmt::format(" ({} reused)", human_count(reused)) : ""));
  add(failed, "failed");
  add(skipped, "skipped");
  add(killed, "killed");
  return join(parts, ", ");
}

std::string mark_of(StepState state, bool colour) {
  switch (state) {
    case StepState::kRunning:
      return styled("●", Style::kCyan, colour);
    case StepState::kFinished:
      return styled("✓", Style::kGreen, colour);
    case StepState::kReused:
      return styled("=", Style::kGreen, colour);
    case StepState::kFailed:
    case StepState::kTimedOut:
    case StepState::kOutOfMemory:
    case StepState::kCrashed:
      return styled("✗", Style::kRed, colour);
    case StepState::kKilled:
      return styled("■", Style::kRed, colour);
    default:
      return styled("·", Style::kDim, colour);
  }
}

std::string padded(const std::string& text, size_t width) {
  return text + std::string(width - std::min(width, display_width(text)), ' ');
}

size_t log_lines_shown(size_t running, const Screen& screen) {
  const size_t rows = rows_for_steps(screen);
  if (running == 0 || running > rows) return 0;
  return std::min(kMostLogLines, (rows - running) / running);
}

std::vector<std::string> lines_of(const RunView& view, const Screen& screen) {
  std::vector<std::string> lines;
  const size_t rows = rows_for_steps(screen);
  const bool all = view.running.size() <= rows;
  const size_t shown = all ? view.running.size() : rows - 1;
  size_t name_width = 0;
  for (size_t i = 0; i < shown; ++i) name_width = std::max(name_width, display_width(view.running[i].name));
  name_width = std::min(name_width, static_cast<size_t>(std::max(4, screen.width / 3)));
  const size_t log_lines = log_lines_shown(view.running.size(), screen);
  for (size_t i = 0; i < shown; ++i) {
    const RunningStep& step = view.running[i];
    lines.push_back(line_of(step, name_width, screen));
    for (size_t k = step.last_lines.size() - std::min(log_lines, step.last_lines.size());
         k < step.last_lines.size(); ++k)
      lines.push_back(styled(cut_to_width("  | " + plain_line(step.last_lines[k]), screen.width), Style::kDim,
                             screen.colour));
  }
  if (!all)
    lines.push_back(cut_to_width(fmt::format("  and {} more", view.running.size() - shown), screen.width));
  if (view.counts.total() > 1)
    lines.push_back(
        cut_to_width(fmt::format("{}  {}", view.counts.text(), human_duration(view.seconds)), screen.width));
  return lines;
}

}  // namespace tidemill::cli
