#include "sys/live_lines.h"

#include <unistd.h>

#include "base/text.h"
#include "sys/terminal.h"

namespace tidemill {
namespace {

constexpr std::string_view kClearToEndOfLine = "\x1b[K", kClearBelow = "\x1b[J";

size_t rows_of(const std::vector<std::string>& lines, int width) {
  const auto columns = static_cast<size_t>(std::max(width, 1));
  size_t rows = 0;
  for (const auto& line : lines) rows += std::max<size_t>(1, (display_width(line) + columns - 1) / columns);
  return rows;
}

}  // namespace

std::string frame(const std::vector<std::string>& drawn, std::string_view above,
                  const std::vector<std::string>& lines, int width) {
  std::string out = "\r";
  if (size_t rows = rows_of(drawn, width); rows > 0) out += fmt::format("\x1b[{}A", rows);
  auto add = [&out](std::string_view line) {
    out += line;
    out += kClearToEndOfLine;
    out += '\n';
  };
  if (above.ends_with('\n')) above.remove_suffix(1);
  if (!above.empty())
    for (const auto& line : split(above, '\n')) add(line);
  for (const auto& line : lines) add(line);
  out += kClearBelow;
  return out;
}

void LiveLines::draw(std::string_view above, const std::vector<std::string>& lines) {
  if (above.empty() && lines.empty() && drawn_.empty()) return;
  const std::string text = frame(drawn_, above, lines, terminal_width(fd_));
  [[maybe_unused]] ssize_t written = ::write(fd_, text.data(), text.size());
  drawn_ = lines;
}

}  // namespace tidemill
