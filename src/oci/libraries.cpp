#include "oci/libraries.h"

#include <glob.h>

#include <deque>
#include <map>
#include <optional>
#include <set>

#include "base/text.h"
#include "oci/elf.h"

namespace tidemill::oci {
namespace {

constexpr int kMaxIncludeDepth = 8;
constexpr size_t kMaxLibraries = 4096;
constexpr uint64_t kMaxElfBytes = uint64_t{4} << 30;

std::vector<fs::path> matching_files(const std::string& pattern) {
  glob_t found{};
  std::vector<fs::path> files;
  if (::glob(pattern.c_str(), 0, nullptr, &found) == 0)
    for (size_t i = 0; i < found.gl_pathc; ++i) files.emplace_back(found.gl_pathv[i]);
  ::globfree(&found);
  return files;
}

void read_conf(const fs::path& conf, int depth, std::vector<fs::path>& dirs) {
  auto text = read_file(conf, 1 << 20);
  if (!text) return;
  for (const std::string& raw : split(*text, '\n')) {
    std::string_view line = raw;
    line = trim(line.substr(0, line.find('#')));
    if (line.starts_with("include") && line.size() > 7 && (line[7] == ' ' || line[7] == '\t')) {
      fs::path pattern(trim(line.substr(8)));
      if (pattern.is_relative()) pattern = conf.parent_path() / pattern;
      if (depth < kMaxIncludeDepth)
        for (const fs::path& file : matching_files(pattern.string())) read_conf(file, depth + 1, dirs);
    } else if (line.starts_with('/')) {
      dirs.emplace_back(line);
    }
  }
}

struct Opened {
  fs::path file;
  ElfFile elf;
};

// ld.so passes over files of another machine or format and looks on.
std::optional<Opened> open_library(const fs::path& path, uint16_t machine) {
  std::error_code error;
  fs::path real = fs::canonical(path, error);
  if (error) return std::nullopt;
  auto bytes = read_file(real, kMaxElfBytes);
  if (!bytes) return std::nullopt;
  auto elf = parse_elf(*bytes);
  if (!elf || elf->machine != machine) return std::nullopt;
  return Opened{std::move(real), std::move(*elf)};
}

std::string replace_all(std::string text, std::string_view from, std::string_view to) {
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
    text.replace(at, from.size(), to);
  return text;
}

// The folders that DT_RPATH or DT_RUNPATH of `asker` names.
std::vector<fs::path> own_path(const Opened& asker) {
  std::vector<fs::path> dirs;
  std::string origin = asker.file.parent_path().string();
  for (const auto* list : {&asker.elf.rpath, &asker.elf.runpath})
    for (const std::string& dir : *list)
      dirs.emplace_back(replace_all(replace_all(dir, "${ORIGIN}", origin), "$ORIGIN", origin));
  return dirs;
}

std::optional<Opened> find_library(const std::string& name, const Opened& asker, uint16_t machine,
                                   const std::vector<fs::path>& system) {
  if (name.find('/') != std::string::npos) return open_library(name, machine);
  for (const fs::path& dir : own_path(asker))
    if (auto found = open_library(dir / name, machine)) return found;
  for (const fs::path& dir : system)
    if (auto found = open_library(dir / name, machine)) return found;
  return std::nullopt;
}

Result<Opened> open_root(const fs::path& path) {
  std::string bytes = TRY(read_file(path, kMaxElfBytes));
  ElfFile elf = TRY_IN(path.string(), parse_elf(bytes));
  std::error_code error;
  fs::path real = fs::canonical(path, error);
  if (error) return fail(Code::kNotFound, "{}: {}", path.string(), error.message());
  return Opened{std::move(real), std::move(elf)};
}

}  // namespace

std::vector<fs::path> loader_search_path(const fs::path& conf) {
  std::vector<fs::path> dirs;
  read_conf(conf, 0, dirs);
#if defined(__x86_64__)
  constexpr std::string_view kTriple = "x86_64-linux-gnu";
#elif defined(__aarch64__)
  constexpr std::string_view kTriple = "aarch64-linux-gnu";
#else
  constexpr std::string_view kTriple = "";
#endif
  for (std::string_view base : {"/lib", "/usr/lib"})
    if (!kTriple.empty()) dirs.push_back(fs::path(base) / kTriple);
  for (std::string_view base : {"/lib64", "/usr/lib64", "/lib", "/usr/lib"}) dirs.emplace_back(base);
  return dirs;
}

Result<Libraries> needed_libraries(const fs::path& program, const std::vector<fs::path>& dlopened) {
  std::vector<fs::path> system = loader_search_path();
  std::deque<Opened> waiting;
  waiting.push_back(TRY(open_root(program)));
  Libraries result;
  result.machine = waiting.front().elf.machine;
  result.interpreter = waiting.front().elf.interpreter;
  for (const fs::path& library : dlopened) {
    waiting.push_back(TRY(open_root(library)));
    if (waiting.back().elf.machine != result.machine)
      return fail(Code::kInvalid, "{} is for another processor than {}", library.string(), program.string());
  }
  std::map<std::string, fs::path> found;
  while (!waiting.empty()) {
    Opened file = std::move(waiting.front());
    waiting.pop_front();
    for (const std::string& name : file.elf.needed) {
      if (found.contains(name)) continue;
      if (found.size() >= kMaxLibraries)
        return fail(Code::kInvalid, "{}: too many libraries", program.string());
      auto library = find_library(name, file, result.machine, system);
      if (!library)
        return fail(Code::kNotFound, "library '{}', which {} needs, is not installed", name,
                    file.file.string());
      found.emplace(name, library->file);
      waiting.push_back(std::move(*library));
    }
  }
  for (auto& [name, path] : found) result.needed.push_back({name, path});
  return result;
}

}  // namespace tidemill::oci
