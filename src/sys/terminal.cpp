#include "sys/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>
#include <mutex>

#include "base/json.h"
#include "base/text.h"
#include "base/time.h"

namespace tidemill {

static std::string_view env(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

bool is_terminal(int fd) { return isatty(fd) == 1 && env("TERM") != "dumb"; }

int terminal_width(int fd) {
  winsize size{};
  return ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

bool use_colour(int fd) {
  if (!env("NO_COLOR").empty()) return false;
  if (!env("CLICOLOR_FORCE").empty() && env("CLICOLOR_FORCE") != "0") return true;
  return is_terminal(fd);
}

std::string styled(std::string_view text, Style style, bool enabled) {
  if (!enabled) return std::string(text);
  constexpr int kCodes[] = {1, 2, 31, 32, 33, 36};
  return fmt::format("\033[{}m{}\033[0m", kCodes[static_cast<int>(style)], text);
}

namespace {

// Columns a text takes: code points, without escape sequences. Wide characters do not occur in our tables.
size_t display_width(std::string_view text) {
  size_t width = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\033') {
      while (i < text.size() && text[i] != 'm') ++i;
    } else if ((static_cast<unsigned char>(text[i]) & 0xC0) != 0x80) {
      ++width;
    }
  }
  return width;
}

// Whole code points only.
std::string cut_to(std::string text, size_t width) {
  while (display_width(text) >= width) {
    while ((static_cast<unsigned char>(text.back()) & 0xC0) == 0x80) text.pop_back();
    text.pop_back();
  }
  return text;
}

bool is_number(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789.,+-% ") == std::string_view::npos &&
         text.find_first_of("0123456789") != std::string_view::npos && text.find('-', 1) == std::string_view::npos;
}

}  // namespace

std::string Table::to_string() const {
  if (rows_.empty()) return {};
  std::vector<size_t> widths;
  std::vector<bool> right(header_.size(), true);
  for (const auto& cell : header_) widths.push_back(display_width(cell));
  for (const auto& row : rows_)
    for (size_t i = 0; i < row.size() && i < widths.size(); ++i) {
      widths[i] = std::max(widths[i], display_width(row[i]));
      if (!row[i].empty() && !is_number(row[i])) right[i] = false;
    }
  std::string text;
  auto add_line = [&](const std::vector<std::string>& row) {
    std::string line;
    for (size_t i = 0; i < row.size() && i < widths.size(); ++i) {
      std::string pad(widths[i] - display_width(row[i]), ' ');
      line += (i > 0 ? "  " : "") + (right[i] ? pad + row[i] : row[i] + pad);
    }
    text += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  };
  add_line(header_);
  for (const auto& row : rows_) add_line(row);
  return text;
}

struct Progress::State {
  enum class Mode { kBar, kPlain, kJson };

  std::mutex mutex;
  std::string label, unit, note;
  uint64_t total, done = 0;
  Mode mode;
  Stopwatch since_start, since_shown;
  bool shown = false, finished = false;

  std::string amount(uint64_t n) const { return unit == "bytes" ? human_bytes(n) : human_count(n); }
  double rate() const { return since_start.seconds() > 0 ? static_cast<double>(done) / since_start.seconds() : 0; }
  std::string rate_text() const {
    return unit == "bytes" ? human_bytes(static_cast<uint64_t>(rate())) + "/s"
                           : fmt::format("{} {}/s", human_count(static_cast<uint64_t>(rate())), unit);
  }
  void write(const std::string& text) const {
    [[maybe_unused]] ssize_t ignored = ::write(STDERR_FILENO, text.data(), text.size());
  }

  std::string line(int width) const {
    std::string text = label + "  ";
    if (total > 0) {
      double share = std::min(1.0, static_cast<double>(done) / static_cast<double>(total));
      int cells = width > 100 ? 24 : 10;
      int filled = static_cast<int>(share * cells);
      for (int i = 0; i < cells; ++i) text += i < filled ? "█" : "░";
      text += fmt::format(" {:3.0f} %  {}/{}", share * 100, amount(done), amount(total));
    } else {
      text += amount(done);
    }
    text += "  " + rate_text();
    if (total > done && done > 0)
      text += fmt::format("  {} left", human_duration(static_cast<double>(total - done) / rate()));
    if (!note.empty()) text += "  " + note;
    return cut_to(std::move(text), static_cast<size_t>(width));
  }

  void show_json() const {
    Json event{{"progress", label}, {"done", done}, {"total", total}, {"unit", unit}, {"rate", rate()}, {"note", note}};
    write(dump_json(event) + "\n");
  }

  void maybe_show() {
    double interval = mode == Mode::kBar ? 0.1 : mode == Mode::kJson ? 0.25 : 10;
    if (finished || (shown && since_shown.seconds() < interval)) return;
    if (!shown && mode == Mode::kPlain && since_start.seconds() < interval) return;
    shown = true;
    since_shown.restart();
    if (mode == Mode::kJson) {
      show_json();
    } else if (mode == Mode::kBar) {
      write("\r" + line(terminal_width(STDERR_FILENO)) + "\033[K");
    } else {
      write(line(200) + "\n");
    }
  }
};

Progress::Progress(std::string label, uint64_t total, std::string unit) : state_(std::make_unique<State>()) {
  state_->label = std::move(label);
  state_->unit = std::move(unit);
  state_->total = total;
  state_->mode = env("TIDEMILL_PROGRESS") == "json" ? State::Mode::kJson
                 : is_terminal(STDERR_FILENO)       ? State::Mode::kBar
                                                    : State::Mode::kPlain;
}

Progress::~Progress() { finish(); }

void Progress::advance(uint64_t by) {
  std::lock_guard lock(state_->mutex);
  state_->done += by;
  state_->maybe_show();
}

void Progress::set(uint64_t done) {
  std::lock_guard lock(state_->mutex);
  state_->done = done;
  state_->maybe_show();
}

void Progress::note(std::string text) {
  std::lock_guard lock(state_->mutex);
  state_->note = std::move(text);
}

void Progress::finish() {
  std::lock_guard lock(state_->mutex);
  State& s = *state_;
  if (s.finished) return;
  s.finished = true;
  if (s.mode == State::Mode::kJson) return s.show_json();
  std::string text = fmt::format("{}  {}{}  {}  {}", s.label, s.amount(s.done), s.unit == "bytes" ? "" : " " + s.unit,
                                 human_duration(s.since_start.seconds()), s.rate_text());
  if (!s.note.empty()) text += "  " + s.note;
  s.write((s.mode == State::Mode::kBar ? "\r" : "") + text + (s.mode == State::Mode::kBar ? "\033[K\n" : "\n"));
}

}  // namespace tidemill
