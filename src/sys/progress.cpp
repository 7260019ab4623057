#include <unistd.h>

#include <cstdlib>

#include "base/json.h"
#include "base/text.h"
#include "base/time.h"
#include "sys/terminal.h"

namespace tidemill {
namespace {

constexpr double kRedrawSeconds = 0.1;      // on a terminal, and for the file
constexpr double kPlainLineSeconds = 10.0;  // where there is no terminal

std::string amount(uint64_t count, const std::string& unit) {
  return unit == "bytes" ? human_bytes(count) : human_count(count);
}

std::string amount_with_unit(uint64_t count, const std::string& unit) {
  if (unit == "bytes") return human_bytes(count);
  bool singular = count == 1 && unit.ends_with('s');
  return human_count(count) + " " + unit.substr(0, unit.size() - (singular ? 1 : 0));
}

// Of a terminal's width; a narrow one has more use for words.
int bar_width(int width) { return width < 24 ? 0 : std::clamp(width / 4, 6, 20); }

std::string rate(const ProgressState& state) {
  if (state.seconds <= 0) return "";
  auto per_second = static_cast<uint64_t>(static_cast<double>(state.done) / state.seconds);
  if (state.unit.empty() || per_second == 0) return "";
  return amount_with_unit(per_second, state.unit) + "/s";
}

std::string drawn_bar(double fraction, int width) {
  int filled = static_cast<int>(fraction * width + 0.5);
  std::string bar;
  for (int i = 0; i < width; ++i) bar += i < filled ? "━" : "╌";
  return bar;
}

std::string to_json(const ProgressState& state) {
  return dump_json(Json{{"label", state.label},
                        {"unit", state.unit},
                        {"note", state.note},
                        {"done", state.done},
                        {"total", state.total},
                        {"seconds", state.seconds}});
}

}  // namespace

std::string ProgressState::bar(int width) const {
  std::vector<std::string> parts{label};
  if (total > 0) {
    double fraction = std::min(1.0, static_cast<double>(done) / static_cast<double>(total));
    if (int columns = bar_width(width); columns > 0)
      parts.push_back(fmt::format("{} {:3.0f} %", drawn_bar(fraction, columns), fraction * 100));
    else
      parts.push_back(fmt::format("{:.0f} %", fraction * 100));
    std::string of = unit == "bytes" ? amount(total, unit) : amount_with_unit(total, unit);
    if (!unit.empty()) parts.push_back(fmt::format("{} / {}", amount(done, unit), of));
  } else {
    parts.push_back(amount_with_unit(done, unit));
  }
  parts.push_back(rate(*this));
  if (done > 0 && done < total && seconds > 0.5)
    parts.push_back(human_duration(seconds * static_cast<double>(total - done) / static_cast<double>(done)) +
                    " left");
  parts.push_back(note);
  std::erase(parts, "");
  return cut_to_width(join(parts, "  "), width);
}

std::optional<ProgressState> read_progress(const fs::path& file) {
  auto text = read_file(file, 1 << 16);
  if (!text) return std::nullopt;
  auto json = parse_json(*text);
  if (!json || !json->is_object()) return std::nullopt;
  ProgressState state;
  state.label = json_string(*json, "label");
  state.unit = json_string(*json, "unit");
  state.note = json_string(*json, "note");
  state.done = static_cast<uint64_t>(std::max<int64_t>(0, json_int(*json, "done")));
  state.total = static_cast<uint64_t>(std::max<int64_t>(0, json_int(*json, "total")));
  auto seconds = json->find("seconds");
  if (seconds != json->end() && seconds->is_number()) state.seconds = seconds->get<double>();
  return state;
}

Result<> write_progress(const fs::path& file, const ProgressState& state) {
  return write_file_atomic(file, to_json(state), Durable::no);
}

struct Progress::State {
  std::mutex mutex;
  ProgressState progress;
  Stopwatch since_start, since_drawn, since_line;
  bool terminal = is_terminal(STDERR_FILENO);
  bool finished = false;
  fs::path file;

  void print(std::string_view text) {
    [[maybe_unused]] ssize_t written = ::write(STDERR_FILENO, text.data(), text.size());
  }

  void draw() {
    progress.seconds = since_start.seconds();
    // A reader that never comes is no reason to fail the work.
    if (!file.empty()) (void)write_progress(file, progress);
    if (terminal) {
      print("\r" + progress.bar(terminal_width(STDERR_FILENO) - 1) + "\x1b[K");
    } else if (since_line.seconds() >= kPlainLineSeconds) {
      print(progress.bar(1000) + "\n");
      since_line.restart();
    }
    since_drawn.restart();
  }

  void changed() {
    if (!finished && since_drawn.seconds() >= kRedrawSeconds) draw();
  }
};

Progress::Progress(std::string label, uint64_t total, std::string unit) : state_(std::make_unique<State>()) {
  state_->progress.label = std::move(label);
  state_->progress.total = total;
  state_->progress.unit = std::move(unit);
  if (const char* file = std::getenv("TIDEMILL_PROGRESS_FILE")) state_->file = file;
  state_->draw();
}

Progress::~Progress() {
  if (state_) finish();
}

void Progress::advance(uint64_t by) {
  std::lock_guard lock(state_->mutex);
  state_->progress.done += by;
  state_->changed();
}

void Progress::set(uint64_t done) {
  std::lock_guard lock(state_->mutex);
  state_->progress.done = done;
  state_->changed();
}

void Progress::note(std::string text) {
  std::lock_guard lock(state_->mutex);
  state_->progress.note = std::move(text);
  state_->changed();
}

void Progress::finish() {
  std::lock_guard lock(state_->mutex);
  if (std::exchange(state_->finished, true)) return;
  state_->draw();
  ProgressState& p = state_->progress;
  std::vector<std::string> parts{p.label, amount_with_unit(p.done, p.unit), human_duration(p.seconds),
                                 rate(p), p.note};
  std::erase(parts, "");
  state_->print((state_->terminal ? "\r" : "") + join(parts, "  ") + (state_->terminal ? "\x1b[K\n" : "\n"));
}

}  // namespace tidemill
