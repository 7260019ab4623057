// The files of a new project, by the language of its steps.
#pragma once

#include <string_view>
#include <vector>

namespace tidemill::cli {

enum class Language { kPython, kCpp };

struct ScaffoldFile {
  std::string_view name, text;
};
const std::vector<ScaffoldFile>& scaffold_files(Language language);

}  // namespace tidemill::cli
