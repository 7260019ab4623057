#include "sys/tree_usage.h"

#include <unistd.h>

#include <charconv>
#include <vector>

#include "base/files.h"
#include "base/text.h"

namespace tidemill {
namespace {

constexpr uint64_t kMostBytes = 1 << 20;  // of a file of /proc

std::vector<int64_t> numbers_of(std::string_view text) {
  std::vector<int64_t> numbers;
  for (const auto& word : split(trim(text), ' ')) {
    int64_t number = 0;
    std::from_chars(word.data(), word.data() + word.size(), number);
    numbers.push_back(number);
  }
  return numbers;
}

// Of one process; false when it is no more.
bool add_process(const fs::path& proc, TreeUsage& usage) {
  auto stat = read_file(proc / "stat", kMostBytes);
  auto statm = read_file(proc / "statm", kMostBytes);
  if (!stat || !statm) return false;
  size_t name_end = stat->rfind(')');
  if (name_end == std::string::npos) return false;
  // Fields 14 to 17 of proc(5): user and system time, of it and of its children; counted from field 3.
  std::vector<int64_t> fields = numbers_of(std::string_view(*stat).substr(name_end + 1));
  if (fields.size() < 15) return false;
  const auto ticks = static_cast<double>(fields[11] + fields[12] + fields[13] + fields[14]);
  usage.cpu_seconds += ticks / static_cast<double>(sysconf(_SC_CLK_TCK));
  std::vector<int64_t> pages = numbers_of(*statm);  // size, resident, shared
  if (pages.size() > 2)
    usage.memory_bytes += static_cast<uint64_t>(std::max<int64_t>(0, pages[1] - pages[2])) *
                          static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  ++usage.processes;
  return true;
}

std::vector<int64_t> children_of(const fs::path& proc) {
  std::vector<int64_t> children;
  std::error_code error;
  for (fs::directory_iterator thread(proc / "task", error), end; !error && thread != end;
       thread.increment(error))
    if (auto text = read_file(thread->path() / "children", kMostBytes); text && !trim(*text).empty())
      for (int64_t child : numbers_of(*text)) children.push_back(child);
  return children;
}

}  // namespace

std::optional<TreeUsage> tree_usage(pid_t root) {
  constexpr size_t kMostProcesses = 4096;
  TreeUsage usage;
  std::vector<int64_t> left{root};
  for (size_t i = 0; i < left.size() && left.size() < kMostProcesses; ++i) {
    const fs::path proc = fmt::format("/proc/{}", left[i]);
    if (!add_process(proc, usage)) continue;
    for (int64_t child : children_of(proc)) left.push_back(child);
  }
  if (usage.processes == 0) return std::nullopt;
  return usage;
}

}  // namespace tidemill
