#include "engine/step_watch.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/text.h"
#include "engine/earlier.h"
#include "sys/minded_process.h"
#include "sys/tree_usage.h"

namespace tidemill::engine {
namespace {

constexpr double kLoadSeconds = 1.0;
constexpr size_t kMostFigures = 2;  // of a step that names none

std::optional<double> epochs_of(const tracking::Run& run) {
  for (const char* name : {"epochs", "num_epochs", "max_epochs", "n_epochs", "num_train_epochs"}) {
    std::string_view text = run.param(name);
    double epochs = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), epochs);
    if (error == std::errc() && end == text.data() + text.size() && epochs >= 1 && epochs < 1e9)
      return epochs;
  }
  return std::nullopt;
}

std::string note_of(const tracking::Run& run, const std::vector<std::string>& figures) {
  std::vector<std::string> parts;
  for (const auto& metric : run.metrics) {
    bool wanted = std::find(figures.begin(), figures.end(), metric.key) != figures.end();
    bool is_figure = metric.key != "progress" && metric.key != "epoch" && !metric.key.starts_with("system/");
    if (figures.empty() ? is_figure && parts.size() < kMostFigures : wanted)
      parts.push_back(fmt::format("{} {:.4g}", metric.key, metric.value));
  }
  return join(parts, ", ");
}

}  // namespace

std::optional<ProgressState> progress_of(const tracking::Run& run, const std::vector<std::string>& figures) {
  ProgressState state;
  std::string_view by;
  if (auto part = run.metric("progress"); part && *part >= 0 && *part <= 1) {
    by = "progress";
    state.total = 1000;
    state.done = static_cast<uint64_t>(std::lround(*part * 1000));
  } else if (auto epoch = run.metric("epoch"), epochs = epochs_of(run); epoch && epochs && *epoch >= 0) {
    by = "epoch";
    state.unit = "epochs";
    state.total = static_cast<uint64_t>(*epochs);
    state.done = static_cast<uint64_t>(std::min(*epoch, *epochs));
  } else {
    return std::nullopt;
  }
  state.note = note_of(run, figures);
  for (const auto& metric : run.metrics)
    if (metric.key == by)
      state.seconds = std::max(0.0, static_cast<double>(metric.timestamp - run.info.start_time) / 1000);
  return state;
}

std::vector<std::string> last_lines(const fs::path& log, size_t count) {
  constexpr off_t kTail = 64 << 10;
  auto file = open_file(log, O_RDONLY);
  struct stat status{};
  if (!file || fstat(file->get(), &status) != 0) return {};
  const off_t from = std::max<off_t>(0, status.st_size - kTail);
  std::string text(static_cast<size_t>(status.st_size - from), '\0');
  ssize_t got = pread(file->get(), text.data(), text.size(), from);
  text.resize(static_cast<size_t>(std::max<ssize_t>(got, 0)));
  while (!text.empty() && text.back() == '\n') text.pop_back();
  if (text.empty()) return {};
  std::vector<std::string> lines = split(text, '\n');
  if (lines.size() > count) lines.erase(lines.begin(), lines.end() - static_cast<std::ptrdiff_t>(count));
  return lines;
}

std::optional<ProgressState> StepWatch::told(const std::string& step_run) const {
  return read_progress(progress_file(attempts_, step_run));
}

std::optional<Load> StepWatch::load(const std::string& step_run) {
  auto [sample, is_new] = samples_.try_emplace(step_run);
  Sample& last = sample->second;
  const double seconds = last.since.seconds();
  if (!is_new && seconds < kLoadSeconds) return last.load;
  auto minder = minder_of(process_record(attempts_, step_run));
  auto usage = minder ? tree_usage(*minder) : std::nullopt;
  if (!usage) return last.load;
  if (!is_new)
    last.load = Load{std::max(0.0, usage->cpu_seconds - last.cpu_seconds) / seconds, usage->memory_bytes};
  last.cpu_seconds = usage->cpu_seconds;
  last.since.restart();
  return last.load;
}

}  // namespace tidemill::engine
