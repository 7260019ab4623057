// Terminals for tests.
#pragma once

#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace tidemill {

// What stands on a terminal after it got some text: lines that are too long go on in the next row. Knows the
// escape sequences that this program uses.
class Screen {
 public:
  explicit Screen(size_t columns) : columns_(columns) {}

  void feed(std::string_view text) {
    for (size_t i = 0; i < text.size(); ++i) {
      if (text[i] == '\n') {
        ++row_, column_ = 0;
      } else if (text[i] == '\r') {
        column_ = 0;
      } else if (text[i] == '\x1b') {
        size_t end = text.find_first_of("AKJm", i);
        if (end == std::string_view::npos) return;
        if (text[end] == 'A')
          row_ -= std::min(row_, std::stoul(std::string(text.substr(i + 2, end - i - 2))));
        if (text[end] == 'K' || text[end] == 'J') row().resize(std::min(row().size(), column_));
        if (text[end] == 'J') rows_.resize(row_ + 1);
        i = end;
      } else if ((static_cast<unsigned char>(text[i]) & 0xC0) == 0x80) {
        row()[column_ - 1] += text[i];
      } else {
        if (column_ == columns_) ++row_, column_ = 0;
        if (row().size() <= column_) row().resize(column_ + 1, " ");
        row()[column_++] = text[i];
      }
    }
  }
  // Each row, and a bar behind it.
  std::string text() const {
    std::string out;
    for (const auto& row : rows_) {
      for (const auto& cell : row) out += cell;
      out += "|";
    }
    return out;
  }

 private:
  std::vector<std::string>& row() {
    if (rows_.size() <= row_) rows_.resize(row_ + 1);
    return rows_[row_];
  }
  size_t columns_, row_ = 0, column_ = 0;
  std::vector<std::vector<std::string>> rows_;
};

// A child process on a terminal of its own.
class OnTerminal {
 public:
  // body ends with _exit() or exec().
  OnTerminal(unsigned short columns, unsigned short rows, const std::function<void()>& body) {
    winsize size{rows, columns, 0, 0};
    pid_ = forkpty(&terminal_, nullptr, nullptr, &size);
    if (pid_ == 0) {
      setenv("TERM", "xterm", 1);
      unsetenv("TIDEMILL_PROGRESS_FILE");
      unsetenv("NO_COLOR");
      body();
      _exit(0);
    }
  }
  ~OnTerminal() {
    if (pid_ > 0) end();
    close(terminal_);
  }
  OnTerminal(const OnTerminal&) = delete;

  // What it has printed until the condition holds of all that it has printed; false when it ends before.
  bool read_until(const std::function<bool(const std::string&)>& condition) {
    char buffer[4096];
    while (!condition(printed_)) {
      ssize_t got = ::read(terminal_, buffer, sizeof buffer);
      if (got <= 0) return false;
      printed_.append(buffer, static_cast<size_t>(got));
    }
    return true;
  }
  const std::string& read_all() {
    (void)read_until([](const std::string&) { return false; });
    return printed_;
  }
  const std::string& printed() const { return printed_; }
  void type(std::string_view keys) const {
    [[maybe_unused]] ssize_t written = ::write(terminal_, keys.data(), keys.size());
  }
  void resize(unsigned short columns, unsigned short rows) const {
    winsize size{rows, columns, 0, 0};
    ioctl(terminal_, TIOCSWINSZ, &size);
  }
  // After read_all(): its exit status, or minus its signal.
  int status() {
    int status = 0;
    waitpid(std::exchange(pid_, -1), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }

 private:
  void end() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  pid_t pid_ = -1;
  int terminal_ = -1;
  std::string printed_;
};

}  // namespace tidemill
