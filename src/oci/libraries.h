// Which shared libraries a program needs, found as the dynamic loader finds them.
#pragma once

#include <string>
#include <vector>

#include "base/files.h"
#include "base/result.h"

namespace tidemill::oci {

struct Library {
  std::string name;  // as other files ask for it: "libc.so.6"
  fs::path file;     // where it lies on this machine, symbolic links resolved
};

struct Libraries {
  uint16_t machine = 0;
  fs::path interpreter;         // the loader's path as the program names it; "" for a static program
  std::vector<Library> needed;  // every library reached from the roots, by name, each once
};

// The libraries that `program` and `dlopened` (libraries it loads by itself) need, directly or not; the
// dlopened ones are not listed themselves. kNotFound names the library and the file that asks for it.
Result<Libraries> needed_libraries(const fs::path& program, const std::vector<fs::path>& dlopened = {});

// The folders of /etc/ld.so.conf (with its includes; order kept), then the loader's built-in ones.
std::vector<fs::path> loader_search_path(const fs::path& conf = "/etc/ld.so.conf");

}  // namespace tidemill::oci
