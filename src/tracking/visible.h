// Which things the sender of a search may see.
#pragma once

#include <string>
#include <vector>

namespace tidemill::tracking {

struct Visible {
  enum class Which { kAll, kOnly, kAllBut };
  Which which = Which::kAll;
  std::vector<std::string> names = {};  // ids of experiments, names of models; with kOnly and kAllBut
};

}  // namespace tidemill::tracking
