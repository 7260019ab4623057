// Reads what the dynamic loader needs to know of a 64-bit little-endian ELF file. The bytes may be hostile.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace tidemill::oci {

struct ElfFile {
  uint16_t machine = 0;     // EM_X86_64 (62), EM_AARCH64 (183), ...
  std::string interpreter;  // PT_INTERP: "/lib64/ld-linux-x86-64.so.2", "" for libraries and static programs
  std::string soname;       // DT_SONAME or ""
  std::vector<std::string> needed;  // DT_NEEDED in order
  std::vector<std::string>
      rpath;  // DT_RPATH, split at ':'; empty when DT_RUNPATH is there, as ld.so ignores it then
  std::vector<std::string> runpath;  // DT_RUNPATH, split at ':'
};

// kInvalid: not such a file, or a table that points outside it.
Result<ElfFile> parse_elf(std::string_view bytes);

// The file without what the loader never maps: symbol table, debug information, section headers. The same
// input gives the same output. Files without such sections, and files that are not ELF, come back unchanged.
std::string without_symbols(std::string bytes);

// The name that OCI images use: "amd64", "arm64", or "" for a machine we know no name of.
std::string_view oci_architecture(uint16_t elf_machine);

}  // namespace tidemill::oci
