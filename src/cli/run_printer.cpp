#include "cli/run_printer.h"

#include <unistd.h>

#include <algorithm>

#include "base/json.h"
#include "base/log_sink.h"
#include "base/text.h"

namespace tidemill::cli {
namespace {

using engine::StepState;

constexpr double kTickSeconds = 0.2;
constexpr double kFrameSeconds = 0.05;  // between two frames, at least: steps may take less than that

void write_stderr(std::string_view text) {
  [[maybe_unused]] ssize_t written = ::write(STDERR_FILENO, text.data(), text.size());
}

// Of a log: what a terminal would obey to is taken out, and what nobody reads.
std::string excerpt(const std::vector<std::string>& lines) {
  constexpr int kMostColumns = 400;
  std::string text;
  for (const auto& line : lines) text += "    | " + cut_to_width(plain_line(line), kMostColumns) + "\n";
  return text;
}

// What the status of a run leaves open; "" when that is nothing.
std::string_view more_of(engine::RunOutcome outcome) {
  switch (outcome) {
    case engine::RunOutcome::kSucceededWithFailures:
      return " (with failures that are allowed)";
    case engine::RunOutcome::kCrashed:
      return " (crashed)";
    case engine::RunOutcome::kTimedOut:
      return " (timed out)";
    default:
      return "";
  }
}

Json json_of(const engine::RunStarted& e) {
  return {{"event", "run_started"},
          {"run_id", e.run_id},
          {"run_name", e.run_name},
          {"experiment_id", e.experiment_id},
          {"experiment", e.experiment},
          {"resumed", e.resumed},
          {"steps", e.steps}};
}

Json json_of(const engine::StepWaits& e) {
  return {{"event", "step_waits"}, {"step", e.step}, {"reason", e.reason}};
}

Json json_of(const engine::StepStarted& e) {
  return {{"event", "step_started"}, {"step", e.step},
          {"run_id", e.run_id},      {"reason", e.reason},
          {"attempt", e.attempt},    {"command", e.command},
          {"log", e.log.string()},   {"artifacts", e.artifacts.string()}};
}

Json json_of(const engine::StepProgress& e) {
  return {{"event", "step_progress"}, {"step", e.step}, {"label", e.label}, {"done", e.done},
          {"total", e.total},         {"unit", e.unit}, {"note", e.note},   {"seconds", e.seconds}};
}

Json json_of(const engine::AttemptFailed& e) {
  return {{"event", "attempt_failed"},
          {"step", e.step},
          {"run_id", e.run_id},
          {"attempt", e.attempt},
          {"kind", e.kind},
          {"reason", e.reason},
          {"seconds", e.seconds},
          {"wait_seconds", e.wait_seconds},
          {"log", e.log.string()},
          {"last_lines", e.last_lines}};
}

Json json_of(const engine::StepFinished& e) {
  Json json{{"event", "step_finished"}, {"step", e.step},
            {"run_id", e.run_id},       {"state", engine::to_string(e.state)},
            {"attempt", e.attempt},     {"seconds", e.seconds}};
  if (!e.reason.empty()) json["reason"] = e.reason;
  if (!e.reused_run.empty()) json["reused_run"] = e.reused_run;
  if (!e.notes.empty()) json["notes"] = e.notes;
  if (!e.command.empty()) {
    json["command"] = e.command;
    json["log"] = e.log.string();
    json["last_lines"] = e.last_lines;
  }
  json["artifact_count"] = e.artifact_count;
  json["artifact_bytes"] = e.artifact_bytes;
  return json;
}

Json json_of(const engine::AllReused& e) {
  return {{"event", "steps_reused"}, {"run_id", e.run_id}, {"steps_of", e.steps_of}, {"count", e.steps}};
}

Json json_of(const engine::RunFinished& e) {
  return {{"event", "run_finished"},
          {"run_id", e.run_id},
          {"status", tracking::to_string(e.status)},
          {"outcome", engine::to_string(e.outcome)},
          {"seconds", e.seconds}};
}

}  // namespace

std::string event_json(const engine::Event& event) {
  return std::visit([](const auto& e) { return dump_json(json_of(e)); }, event);
}

RunPrinter::RunPrinter(Look look, fs::path attempts)
    : live_(look == Look::kLive),
      colour_(use_colour(STDERR_FILENO)),
      watch_(std::move(attempts)),
      lines_(STDERR_FILENO) {
  if (!live_) return;
  set_log_sink([this](std::string_view line) {
    std::lock_guard lock(mutex_);
    above_ += line;
  });
  ticker_ = std::thread([this] { tick(); });
}

RunPrinter::~RunPrinter() {
  if (live_) set_log_sink(nullptr);
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  stop_.notify_all();
  if (ticker_.joinable()) ticker_.join();
  if (live_) lines_.draw(above_, {});
}

void RunPrinter::on(const engine::Event& event) {
  std::lock_guard lock(mutex_);
  std::visit([this](const auto& e) { show(e); }, event);
  if (live_ && since_drawn_.seconds() >= kFrameSeconds) draw();
}

void RunPrinter::tick() {
  std::unique_lock lock(mutex_);
  while (!stop_.wait_for(lock, std::chrono::duration<double>(kTickSeconds), [this] { return stopping_; }))
    draw();
}

void RunPrinter::draw() {
  const Screen screen{terminal_width(STDERR_FILENO), terminal_height(STDERR_FILENO), colour_};
  const size_t log_lines = log_lines_shown(running_.size(), screen);
  RunView view{.running = {}, .counts = counts_, .seconds = since_start_.seconds()};
  for (Running& running : running_) {
    if (view.running.size() >= static_cast<size_t>(screen.height)) {
      view.running.resize(running_.size());  // they are only counted
      break;
    }
    running.step.seconds = running.since_start.seconds();
    running.step.load = watch_.load(running.run_id);
    if (log_lines > 0) running.step.last_lines = engine::last_lines(running.log, log_lines);
    view.running.push_back(running.step);
  }
  lines_.draw(std::exchange(above_, ""),
              running_.empty() ? std::vector<std::string>() : lines_of(view, screen));
  since_drawn_.restart();
}

void RunPrinter::show(const engine::RunStarted& started) {
  for (const auto& step : started.steps) name_width_ = std::max(name_width_, display_width(step));
  counts_ = {.waiting = started.steps.size()};
  folded_ = live_ && started.steps.size() > static_cast<size_t>(terminal_height(STDERR_FILENO));
  print(fmt::format("run {}  {}  experiment {}{}\n", styled(started.run_name, Style::kBold, colour_),
                    started.run_id, started.experiment, started.resumed ? ", resumed" : ""));
}

void RunPrinter::show(const engine::StepWaits& waits) {
  print(fmt::format("  {}  {}\n", padded(waits.step, name_width_), waits.reason));
}

void RunPrinter::show(const engine::StepStarted& started) {
  --counts_.waiting;
  ++counts_.running;
  Running running;
  running.step.name = started.step;
  running.run_id = started.run_id;
  running.log = started.log;
  running_.push_back(std::move(running));
  std::string why = started.reason.empty() ? "" : ": " + started.reason;
  if (!live_) print(fmt::format("  {}  started{}\n", padded(started.step, name_width_), why));
}

void RunPrinter::show(const engine::StepProgress& progress) {
  for (auto& running : running_)
    if (running.step.name == progress.step)
      running.step.progress = ProgressState{progress.label, progress.unit,  progress.note,
                                            progress.done,  progress.total, progress.seconds};
}

void RunPrinter::take_off(const std::string& step, StepState now) {
  auto runs = [&](const Running& running) { return running.step.name == step; };
  auto found = std::find_if(running_.begin(), running_.end(), runs);
  --(found == running_.end() ? counts_.waiting : counts_.running);
  ++counts_.of(now);
  if (found == running_.end()) return;
  watch_.forget(found->run_id);
  running_.erase(found);
}

void RunPrinter::show(const engine::AttemptFailed& failed) {
  take_off(failed.step, StepState::kWaiting);
  std::string wait = failed.wait_seconds > 0 ? " in " + human_duration(failed.wait_seconds) : "";
  std::string text = fmt::format("{} {}  {}  attempt {} failed: {}; again{}\n",
                                 styled("↻", Style::kYellow, colour_), padded(failed.step, name_width_),
                                 human_duration(failed.seconds), failed.attempt, failed.reason, wait);
  text += excerpt(failed.last_lines);
  text += fmt::format("    log: {}\n", failed.log.string());
  print(text);
}

void RunPrinter::show(const engine::StepFinished& finished) {
  take_off(finished.step, finished.state);
  const bool is_news = engine::has_failed(finished.state) || finished.state == StepState::kKilled;
  if (folded_ && !is_news && finished.notes.empty()) return;
  bool ran = finished.state != StepState::kSkipped && finished.state != StepState::kReused;
  std::string text =
      fmt::format("{} {}  {}", mark_of(finished.state, colour_), padded(finished.step, name_width_),
                  ran ? human_duration(finished.seconds) : "");
  if (finished.state != StepState::kFinished)
    text += fmt::format("{}{}", ran ? "  " : "", engine::to_string(finished.state));
  if (ran && finished.attempt > 1) text += fmt::format("  attempt {}", finished.attempt);
  if (!finished.reason.empty()) text += ": " + finished.reason;
  if (finished.artifact_count > 0)
    text +=
        fmt::format("  {} {}, {}", human_count(finished.artifact_count),
                    finished.artifact_count == 1 ? "file" : "files", human_bytes(finished.artifact_bytes));
  text += "\n";
  for (const auto& note : finished.notes) text += "    " + note + "\n";
  if (!finished.command.empty()) {
    text += fmt::format("    command: {}\n", finished.command);
    text += excerpt(finished.last_lines);
    text += fmt::format("    log: {}\n", finished.log.string());
  }
  print(text);
}

void RunPrinter::show(const engine::AllReused& reused) {
  counts_ = {.reused = reused.steps};
  folded_ = false;  // there is nothing to be counted
  print(fmt::format("{} all {} steps  reused: nothing has changed since run {}\n",
                    mark_of(StepState::kReused, colour_), human_count(reused.steps), reused.steps_of));
}

void RunPrinter::show(const engine::RunFinished& finished) {
  if (folded_) print(counts_.text() + "\n");
  print(fmt::format(
      "{}{} in {}\n",
      styled(tracking::to_string(finished.status),
             finished.status == tracking::RunStatus::kFinished ? Style::kGreen : Style::kRed, colour_),
      more_of(finished.outcome), human_duration(finished.seconds)));
}

void RunPrinter::print(const std::string& text) {
  if (live_)
    above_ += text;
  else
    write_stderr(text);
}

}  // namespace tidemill::cli
