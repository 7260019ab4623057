// All that is wrong with what a user wrote, gathered so that it can be mended in one go.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "config/yaml.h"

namespace tidemill::config {

class Problems {
 public:
  void add(Error error) { errors_.push_back(std::move(error)); }
  // The value; or nothing, and its error is among the problems.
  template <class T>
  std::optional<T> keep(Result<T> result) {
    if (result) return std::move(*result);
    add(std::move(result).error());
    return std::nullopt;
  }
  bool keep(Result<> result);

  size_t count() const { return errors_.size(); }
  bool empty() const { return errors_.empty(); }
  // By file, line and column; the same problem met twice is listed once.
  std::vector<Error> list() const;
  // The first of the list, which tells how many more there are; success when there is none.
  Result<> first() const;

 private:
  std::vector<Error> errors_;
};

// "pipeline.yaml:3:5: unknown key" in its two parts; without a place, the text alone.
struct Placed {
  std::optional<Place> place;
  std::string text;
};
Placed split_place(const std::string& message);

}  // namespace tidemill::config
