// One image, as far as a check wants to know it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace tidemill::checks {

struct ImageFacts {
  std::string damage;                // why it cannot be used; "" when it can
  bool constant = false;             // one colour all over; of PNG only
  std::optional<double> brightness;  // mean of all samples, 0 to 255; of PNG only
};

// PNG is decoded (libpng); of JPEG the markers at its beginning and its end are looked at. Anything else is
// damage.
ImageFacts image_facts(std::string_view bytes);

}  // namespace tidemill::checks
