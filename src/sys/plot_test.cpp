#include "sys/plot.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "sys/terminal.h"

namespace tidemill {
namespace {

using testing::IsEmpty;
using testing::StartsWith;

TEST(Plot, ARisingLineRises) {
  auto lines = plot({{0, 1}, {10, 2}}, 30, 5);
  ASSERT_EQ(lines.size(), 5u);
  EXPECT_THAT(lines[0], StartsWith("          2 "));
  EXPECT_THAT(lines[3], StartsWith("          1 "));
  EXPECT_EQ(lines[4], "            0               10");
  // Where the dots of each row begin: further to the right the higher it is, from edge to edge.
  std::vector<size_t> begins;
  for (int row = 3; row >= 0; --row) begins.push_back(lines[static_cast<size_t>(row)].find('\xE2'));
  EXPECT_TRUE(std::is_sorted(begins.begin(), begins.end(), std::less_equal<>()))
      << testing::PrintToString(begins);
  EXPECT_EQ(begins.front(), 12u);
  EXPECT_EQ(display_width(lines[0]), 30u);
}

TEST(Plot, NothingIsDrawnOutsideWhateverTheValues) {
  const double huge = std::numeric_limits<double>::max();
  for (const auto& points : std::vector<std::vector<std::pair<double, double>>>{{{0, 1}},
                                                                                {{0, -huge}, {1, huge}},
                                                                                {{-huge, 0}, {huge, 0}},
                                                                                {{5, 1}, {1, 2}, {5, 3}},
                                                                                {{0, 1e-320}, {1, 0}}}) {
    auto lines = plot(points, 40, 6);
    ASSERT_EQ(lines.size(), 6u);
    for (const auto& line : lines) EXPECT_LE(display_width(line), 42u);
  }
  EXPECT_THAT(plot({{0, std::nan("")}, {1, std::numeric_limits<double>::infinity()}}, 40, 6), IsEmpty());
  EXPECT_THAT(plot({}, 40, 6), IsEmpty());
}

}  // namespace
}  // namespace tidemill
