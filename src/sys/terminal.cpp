#include "sys/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "base/text.h"

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

bool continues_character(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

}  // namespace

bool is_terminal(int fd) {
  const char* term = std::getenv("TERM");
  return isatty(fd) != 0 && (term == nullptr || std::string_view(term) != "dumb");
}

int terminal_width(int fd) {
  winsize size{};
  return ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

int terminal_height(int fd) {
  winsize size{};
  return ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 ? size.ws_row : 24;
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
    } else if (!continues_character(text[i])) {
      ++width;
    }
  }
  return width;
}

std::string cut_to_width(std::string_view text, int width) {
  if (width <= 0) return "";
  if (display_width(text) <= static_cast<size_t>(width)) return std::string(text);
  std::string out;
  int columns = 0;
  bool styled = false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\x1b') {
      size_t end = std::min(text.find('m', i), text.size() - 1);
      out += text.substr(i, end + 1 - i);
      styled = true;
      i = end;
    } else if (continues_character(text[i]) || ++columns < width) {
      out += text[i];
    } else {
      break;
    }
  }
  return out + "…" + (styled ? "\x1b[0m" : "");
}

std::string plain_line(std::string_view line) {
  while (line.ends_with('\r') || line.ends_with('\n')) line.remove_suffix(1);
  line.remove_prefix(line.rfind('\r') + 1);  // npos + 1 is 0
  std::string out;
  for (size_t i = 0; i < line.size(); ++i) {
    const auto c = static_cast<unsigned char>(line[i]);
    if (c == '\x1b') {
      // A control sequence ends with a letter or one of @[\]^_`{|}~ (ECMA-48), any other after one character.
      ++i;
      if (i < line.size() && line[i] == '[')
        for (++i; i < line.size() && (line[i] < '@' || line[i] > '~');) ++i;
    } else if (c == '\t') {
      out += ' ';
    } else if (c >= 0x20 && c != 0x7f) {
      out += line[i];
    }
  }
  if (is_utf8(out)) return out;
  for (char& c : out)
    if (static_cast<unsigned char>(c) >= 0x80) c = '?';
  return out;
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
