// A curve drawn with the characters of a terminal.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace tidemill {

// Lines of text for points (x, y): Braille dots, two by four in each character, with the range of y at the
// left and that of x below. width and height: of all of it, in characters; at least 30 by 4 are used. Points
// that are not finite are left out; nothing is drawn when none is left.
std::vector<std::string> plot(const std::vector<std::pair<double, double>>& points, int width, int height);

}  // namespace tidemill
