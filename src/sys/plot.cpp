#include "sys/plot.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "base/result.h"

namespace tidemill {
namespace {

struct Range {
  double low = 0, high = 0;

  // In 0 .. steps - 1.
  int place(double value, int steps) const {
    if (high <= low) return steps / 2;
    double part =
        (value / 2 - low / 2) / (high / 2 - low / 2);  // halves: the range may exceed what a double holds
    return std::clamp(static_cast<int>(std::lround(part * (steps - 1))), 0, steps - 1);
  }
};

class Canvas {
 public:
  Canvas(int columns, int rows) : columns_(columns), cells_(static_cast<size_t>(columns * rows), 0) {}

  void set(int x, int y) {
    // Unicode, "Braille Patterns": the bits of the dots from top to bottom, left column first.
    static constexpr uint8_t kDots[2][4] = {{0x01, 0x02, 0x04, 0x40}, {0x08, 0x10, 0x20, 0x80}};
    cells_[static_cast<size_t>(y / 4 * columns_ + x / 2)] |= kDots[x % 2][y % 4];
  }
  void line(int x0, int y0, int x1, int y1) {
    int steps = std::max({std::abs(x1 - x0), std::abs(y1 - y0), 1});
    for (int i = 0; i <= steps; ++i) set(x0 + (x1 - x0) * i / steps, y0 + (y1 - y0) * i / steps);
  }
  std::string row(int index) const {
    std::string text;
    for (int x = 0; x < columns_; ++x) {
      uint8_t dots = cells_[static_cast<size_t>(index * columns_ + x)];
      if (dots == 0) {
        text += ' ';
      } else {  // U+2800 + dots, as UTF-8
        text += '\xE2';
        text += static_cast<char>(0xA0 | dots >> 6);
        text += static_cast<char>(0x80 | (dots & 0x3F));
      }
    }
    size_t end = text.find_last_not_of(' ');
    return text.substr(0, end == std::string::npos ? 0 : end + 1);
  }

 private:
  int columns_;
  std::vector<uint8_t> cells_;
};

}  // namespace

std::vector<std::string> plot(const std::vector<std::pair<double, double>>& points, int width, int height) {
  constexpr int kLabel = 11;
  std::vector<std::pair<double, double>> good;
  for (const auto& point : points)
    if (std::isfinite(point.first) && std::isfinite(point.second)) good.push_back(point);
  if (good.empty()) return {};
  Range x{good[0].first, good[0].first}, y{good[0].second, good[0].second};
  for (const auto& [px, py] : good) {
    x = {std::min(x.low, px), std::max(x.high, px)};
    y = {std::min(y.low, py), std::max(y.high, py)};
  }
  const int columns = std::max(width, 30) - kLabel - 1, rows = std::max(height, 4) - 1;
  Canvas canvas(columns, rows);
  auto at = [&](const std::pair<double, double>& point) {
    return std::pair(x.place(point.first, columns * 2), rows * 4 - 1 - y.place(point.second, rows * 4));
  };
  for (size_t i = 0; i < good.size(); ++i) {
    auto [x1, y1] = at(good[i]);
    auto [x0, y0] = at(good[i > 0 && good[i - 1].first <= good[i].first ? i - 1 : i]);
    canvas.line(x0, y0, x1, y1);
  }
  std::vector<std::string> lines;
  for (int row = 0; row < rows; ++row) {
    std::string label = row == 0          ? fmt::format("{:.5g}", y.high)
                        : row == rows - 1 ? fmt::format("{:.5g}", y.low)
                                          : "";
    lines.push_back(fmt::format("{:>{}} {}", label, kLabel, canvas.row(row)));
  }
  std::string right = fmt::format("{:.8g}", x.high);
  lines.push_back(fmt::format("{:>{}} {:<{}.8g}{}", "", kLabel, x.low,
                              std::max(1, columns - static_cast<int>(right.size())), right));
  return lines;
}

}  // namespace tidemill
