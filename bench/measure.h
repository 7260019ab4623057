// What the benches share.
#pragma once

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "sys/process.h"

namespace tidemill::bench {

// Prints "<program>: <what>" and ends the program with 1.
[[noreturn]] void give_up(std::string_view what);

// The value, or the end of the program.
template <class T>
T must(Result<T> result) {
  if (!result) give_up(result.error().message);
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

// Of at least one value.
inline double median(std::vector<double> values) {
  auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

struct Times {
  double wall = 0, processor = 0;  // seconds
};

// Times of several runs.
struct Figure {
  std::vector<double> wall, processor;
  void add(const Times& times) {
    wall.push_back(times.wall);
    processor.push_back(times.processor);
  }
};

// A whole run of a program outside any MLflow run, its output into log; anything but success gives up with
// what it printed.
Times timed(const std::vector<std::string>& argv, const fs::path& log,
            const std::map<std::string, std::string>& env = {});

}  // namespace tidemill::bench
