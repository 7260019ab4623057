#include "cli/run_printer.h"

#include <unistd.h>

#include "base/json.h"
#include "base/text.h"

namespace tidemill::cli {
namespace {

using engine::StepState;

void write_stderr(std::string_view text) {
  [[maybe_unused]] ssize_t written = ::write(STDERR_FILENO, text.data(), text.size());
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
  if (e.state == StepState::kFailed) {
    json["command"] = e.command;
    json["log"] = e.log.string();
    json["last_lines"] = e.last_lines;
  }
  json["artifact_count"] = e.artifact_count;
  json["artifact_bytes"] = e.artifact_bytes;
  return json;
}

Json json_of(const engine::RunFinished& e) {
  return {{"event", "run_finished"},
          {"run_id", e.run_id},
          {"status", tracking::to_string(e.status)},
          {"seconds", e.seconds}};
}

std::string mark_of(StepState state, bool colour) {
  switch (state) {
    case StepState::kFinished:
      return styled("✓", Style::kGreen, colour);
    case StepState::kReused:
      return styled("=", Style::kGreen, colour);
    case StepState::kFailed:
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

}  // namespace

std::string event_json(const engine::Event& event) {
  return std::visit([](const auto& e) { return dump_json(json_of(e)); }, event);
}

RunPrinter::RunPrinter() : terminal_(is_terminal(STDERR_FILENO)), colour_(use_colour(STDERR_FILENO)) {
  if (terminal_) ticker_ = std::thread([this] { tick(); });
}

RunPrinter::~RunPrinter() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    running_.clear();
    if (terminal_) redraw("");
  }
  stop_.notify_all();
  if (ticker_.joinable()) ticker_.join();
}

void RunPrinter::on(const engine::Event& event) {
  std::lock_guard lock(mutex_);
  std::visit([this](const auto& e) { show(e); }, event);
}

void RunPrinter::tick() {
  std::unique_lock lock(mutex_);
  while (!stop_.wait_for(lock, std::chrono::milliseconds(200), [this] { return stopping_; }))
    if (!running_.empty()) redraw("");
}

void RunPrinter::show(const engine::RunStarted& started) {
  for (const auto& step : started.steps) name_width_ = std::max(name_width_, display_width(step));
  print(fmt::format("run {}  {}  experiment {}{}\n", styled(started.run_name, Style::kBold, colour_),
                    started.run_id, started.experiment, started.resumed ? ", resumed" : ""));
}

void RunPrinter::show(const engine::StepStarted& started) {
  Running running;
  running.step = started.step;
  running_.push_back(std::move(running));
  std::string why = started.reason.empty() ? "" : ": " + started.reason;
  if (terminal_) {
    redraw("");
  } else {
    print(fmt::format("  {}  started{}\n", padded(started.step, name_width_), why));
  }
}

void RunPrinter::show(const engine::StepProgress& progress) {
  for (auto& running : running_)
    if (running.step == progress.step)
      running.progress = {progress.label, progress.unit,  progress.note,
                          progress.done,  progress.total, progress.seconds};
  if (terminal_) redraw("");
}

void RunPrinter::show(const engine::AttemptFailed& failed) {
  std::erase_if(running_, [&](const Running& running) { return running.step == failed.step; });
  std::string wait = failed.wait_seconds > 0 ? " in " + human_duration(failed.wait_seconds) : "";
  std::string text = fmt::format("{} {}  {}  attempt {} failed: {}; again{}\n",
                                 styled("↻", Style::kYellow, colour_), padded(failed.step, name_width_),
                                 human_duration(failed.seconds), failed.attempt, failed.reason, wait);
  for (const auto& line : failed.last_lines) text += "    | " + line + "\n";
  text += fmt::format("    log: {}\n", failed.log.string());
  print(text);
}

void RunPrinter::show(const engine::StepFinished& finished) {
  std::erase_if(running_, [&](const Running& running) { return running.step == finished.step; });
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
  if (finished.state == StepState::kFailed && !finished.command.empty()) {
    text += fmt::format("    command: {}\n", finished.command);
    for (const auto& line : finished.last_lines) text += "    | " + line + "\n";
    text += fmt::format("    log: {}\n", finished.log.string());
  }
  print(text);
}

void RunPrinter::show(const engine::RunFinished& finished) {
  print(fmt::format(
      "{} in {}\n",
      styled(tracking::to_string(finished.status),
             finished.status == tracking::RunStatus::kFinished ? Style::kGreen : Style::kRed, colour_),
      human_duration(finished.seconds)));
}

std::string RunPrinter::line_of(const Running& running, int width) const {
  std::string head =
      fmt::format("{} {}", styled("●", Style::kCyan, colour_), padded(running.step, name_width_));
  int left = width - static_cast<int>(name_width_) - 4;
  ProgressState progress = running.progress;
  if (progress.total == 0 && progress.done == 0)
    return head + "  " + human_duration(running.since_start.seconds());
  if (progress.label == running.step) progress.label.clear();
  return head + "  " + progress.bar(left);
}

void RunPrinter::print(const std::string& text) {
  if (terminal_) {
    redraw(text);
  } else {
    write_stderr(text);
  }
}

void RunPrinter::redraw(const std::string& text_above) {
  std::string out;
  if (lines_drawn_ > 0) out += fmt::format("\x1b[{}A", lines_drawn_);
  out += "\r\x1b[J" + text_above;
  int width = terminal_width(STDERR_FILENO) - 1;
  for (const auto& running : running_) out += line_of(running, width) + "\n";
  lines_drawn_ = running_.size();
  write_stderr(out);
}

}  // namespace tidemill::cli
