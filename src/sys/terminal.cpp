#include "sys/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>

namespace tidemill {
namespace {

bool is_set(const char* variable) {
  const char* value = std::getenv(variable);
  return value != nullptr && *value != '\0';
}

// "99.1 %", "60 000" and "-": right-aligned.
bool is_number(std::string_view cell) {
  return !cell.empty() && (cell[0] == '-' || (cell[0] >= '0' && cell[0] <= '9')) &&
         cell.find_first_not_of("0123456789.,+-eE %") == std::string_view::npos;
}

}  // namespace

bool is_terminal(int fd) {
  const char* term = std::getenv("TERM");
  return isatty(fd) != 0 && (term == nullptr || std::string_view(term) != "dumb");
}

int terminal_width(int fd) {
  winsize size{};
  return ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

bool use_colour(int fd) {
  if (is_set("NO_COLOR")) return false;
  if (is_set("CLICOLOR_FORCE")) return std::string_view(std::getenv("CLICOLOR_FORCE")) != "0";
  return is_terminal(fd);
}

std::string styled(std::string_view text, Style style, bool enabled) {
  if (!enabled) return std::string(text);
  static constexpr std::array<std::string_view, 6> kCodes = {"1", "2", "31", "32", "33", "36"};
  return fmt::format("\x1b[{}m{}\x1b[0m", kCodes[static_cast<size_t>(style)], text);
}

size_t display_width(std::string_view text) {
  size_t width = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\x1b') {
      while (i < text.size() && text[i] != 'm') ++i;
    } else if ((static_cast<unsigned char>(text[i]) & 0xC0) != 0x80) {
      ++width;
    }
  }
  return width;
}

std::string Table::to_string() const {
  if (rows_.empty()) return "";
  std::vector<size_t> widths(header_.size());
  std::vector<bool> numeric(header_.size(), true);
  for (size_t column = 0; column < header_.size(); ++column) {
    widths[column] = display_width(header_[column]);
    for (const auto& row : rows_) {
      if (column >= row.size()) continue;
      widths[column] = std::max(widths[column], display_width(row[column]));
      if (!row[column].empty() && !is_number(row[column])) numeric[column] = false;
    }
  }
  std::string out;
  auto print = [&](const std::vector<std::string>& row) {
    std::string line;
    for (size_t column = 0; column < std::min(row.size(), widths.size()); ++column) {
      std::string padding(widths[column] - display_width(row[column]), ' ');
      if (column > 0) line += "  ";
      line += numeric[column] ? padding + row[column] : row[column] + padding;
    }
    line.resize(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  };
  print(header_);
  for (const auto& row : rows_) print(row);
  return out;
}

}  // namespace tidemill
