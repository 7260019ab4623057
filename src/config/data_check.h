// `validate` of a step: what must be true of the data that it has made, before anything uses them
// (docs/gates-and-data-checks.md).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "config/problems.h"
#include "config/yaml.h"

namespace tidemill::config {

struct Limits {
  std::optional<double> min, max;

  bool hold(double value) const { return (!min || value >= *min) && (!max || value <= *max); }
};

struct ColumnCheck {
  std::string name;
  Limits range;                                    // of numbers; what is no number is out of range
  std::optional<double> nulls;                     // share of empty values, at most
  std::optional<std::vector<std::string>> values;  // that there may be
};

struct DataCheck {
  enum class Kind { kTable, kImages };              // a CSV file, a folder of images
  enum class Otherwise { kFail, kWarn, kExclude };  // kExclude: bad rows and images are taken out

  Kind kind = Kind::kTable;
  std::string path;                         // below the step's artifacts; "." for all of them
  Limits count;                             // of rows or images
  std::optional<double> duplicates;         // share of repeated rows or images, at most
  std::optional<std::string> class_column;  // of a table; images have the class of their folder
  std::optional<double> least_class;        // share of the rarest class, at least
  std::optional<double> drift;       // since the last accepted run: population stability index, at most
  std::vector<ColumnCheck> columns;  // of a table; they must be there
  double corrupt = 0, constant = 1;  // of images: share of those, at most
  int64_t sample = 0;                // of images: look into so many of them; 0: all
  Otherwise otherwise = Otherwise::kFail;
  Place place;
};
std::string_view to_string(DataCheck::Otherwise otherwise);  // "fail", "warn", "exclude"

std::vector<DataCheck> read_data_checks(const Node& list, Problems& problems);
// Tells checks apart that could come to different ends. Places do not count.
std::string identity_of(const std::vector<DataCheck>& checks);

}  // namespace tidemill::config
