// What stands in an output file in the place of what was taken out of its middle (Minding::output_limit).
#pragma once

#include <cstdint>
#include <optional>

#include "base/files.h"

namespace tidemill {

// With a number between them.
inline constexpr char kLeftOutBegins[] = "\n...";
inline constexpr char kLeftOutEnds[] = " bytes left out here, for want of a larger log_limit ...\n";

struct LeftOut {
  int64_t at = 0, size = 0;  // of the notice in the file
  int64_t bytes = 0;         // that it stands for, since the beginning

  // Where something is that was printed at this offset; where the notice is when that was left out.
  int64_t place_of(int64_t offset) const;
  int64_t offset_of(int64_t place) const;
};

// The notice at this place, or the first behind it.
std::optional<LeftOut> left_out_at(const Fd& file, int64_t place);
std::optional<LeftOut> find_left_out(const Fd& file);

}  // namespace tidemill
