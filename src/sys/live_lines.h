// Lines at the end of a terminal's text that are drawn anew in place, below what stays.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace tidemill {

class LiveLines {
 public:
  // fd: a terminal.
  explicit LiveLines(int fd) : fd_(fd) {}

  // Puts `above` (whole lines, or nothing) where the last drawn lines began, and the lines below it: with one
  // write, without blanking anything first, so that nothing flickers. The lines must not be wider than the
  // terminal, nor more than its rows less one. Without lines, only `above` is left.
  void draw(std::string_view above, const std::vector<std::string>& lines);

 private:
  int fd_;
  std::vector<std::string> drawn_;
};

// What draw() writes: from the last of the drawn lines' following row back to their first, then all anew. A
// terminal that has become narrower since has broken the drawn lines into several rows.
std::string frame(const std::vector<std::string>& drawn, std::string_view above,
                  const std::vector<std::string>& lines, int width);

}  // namespace tidemill
