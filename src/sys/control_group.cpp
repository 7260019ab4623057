#include "sys/control_group.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <vector>

#include "base/text.h"

namespace tidemill {
namespace {

const fs::path kMount = "/sys/fs/cgroup";
constexpr int kCpuPeriodUs = 100'000;

// A file of the kernel's: it is there, or what it stands for is not to be had.
Result<> write_setting(const fs::path& file, const std::string& value) {
  Fd opened = TRY(open_file(file, O_WRONLY));
  if (::write(opened.get(), value.data(), value.size()) != static_cast<ssize_t>(value.size()))
    return tl::unexpected<Error>(errno_error("write " + file.string(), errno));
  return {};
}

bool has_word(const fs::path& file, const std::string& word) {
  const std::vector<std::string> words = split(trim(read_file(file, 1 << 16).value_or("")), ' ');
  return std::find(words.begin(), words.end(), word) != words.end();
}

bool gives(const fs::path& group, const std::vector<std::string>& controllers) {
  return std::all_of(controllers.begin(), controllers.end(), [&](const std::string& controller) {
    return has_word(group / "cgroup.subtree_control", controller);
  });
}

// So that groups below this one have these controllers. The kernel allows it only when nothing runs in the
// group itself, or when it is the root.
void let_give(const fs::path& group, const std::vector<std::string>& controllers) {
  for (const auto& controller : controllers)
    if (!has_word(group / "cgroup.subtree_control", controller))
      (void)write_setting(group / "cgroup.subtree_control", "+" + controller);
}

Result<> set_limits(const fs::path& group, const GroupLimits& limits) {
  if (limits.memory > 0) {
    TRY(write_setting(group / "memory.max", std::to_string(limits.memory)));
    (void)write_setting(group / "memory.swap.max", "0");  // a machine without swap lacks it
    TRY(write_setting(group / "memory.oom.group", "1"));  // half of a step is no step
  }
  if (limits.cpus > 0)
    TRY(write_setting(group / "cpu.max", fmt::format("{} {}", limits.cpus * kCpuPeriodUs, kCpuPeriodUs)));
  return {};
}

// A quota of version 2 is "max" or "50000 100000", one of version 1 -1 or 50000: microseconds.
bool has_quota(const fs::path& file) {
  auto text = read_file(file);
  return text && !text->empty() && std::isdigit(static_cast<unsigned char>(text->front())) != 0;
}

bool any_has_quota(fs::path group, const fs::path& mount, std::string_view file) {
  while (!has_quota(group / file)) {
    if (group == mount || !group.has_relative_path()) return false;
    group = group.parent_path();
  }
  return true;
}

}  // namespace

Result<fs::path> make_control_group(const std::string& name, const GroupLimits& limits) {
  struct statfs mounted{};
  if (statfs(kMount.c_str(), &mounted) != 0 || mounted.f_type != CGROUP2_SUPER_MAGIC)
    return fail(Code::kUnavailable, "{} is not a cgroup v2", kMount.string());
  return make_control_group(name, limits, read_file("/proc/self/cgroup", 1 << 16).value_or(""), kMount);
}

Result<fs::path> make_control_group(const std::string& name, const GroupLimits& limits,
                                    std::string_view own_groups, const fs::path& mount) {
  constexpr std::string_view kUnified = "0::/";
  fs::path own = mount;
  for (const auto& line : split(own_groups, '\n'))
    if (line.starts_with(kUnified)) own = (mount / line.substr(kUnified.size())).lexically_normal();
  std::vector<std::string> controllers;
  if (limits.memory > 0) controllers.push_back("memory");
  if (limits.cpus > 0) controllers.push_back("cpu");
  let_give(own, controllers);
  std::vector<fs::path> parents{own};
  if (own != mount) parents.push_back(own.parent_path());
  for (const fs::path& parent : parents) {
    const fs::path group = parent / name;
    if (!gives(parent, controllers) || ::mkdir(group.c_str(), 0755) != 0) continue;
    auto set = set_limits(group, limits);
    if (set) return group;
    remove_control_group(group);
  }
  return fail(Code::kUnavailable, "{} may have no groups of ours with limits for {}", own.string(),
              join(controllers, " and "));
}

bool is_rationed() { return is_rationed(read_file("/proc/self/cgroup").value_or(""), kMount); }

bool is_rationed(std::string_view own_groups, const fs::path& mount) {
  for (std::string_view line : split(own_groups, '\n')) {  // "0::/a/b" or "3:cpu,cpuacct:/a/b"
    size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string_view::npos) continue;
    std::string_view kinds = line.substr(first + 1, second - first - 1), group = line.substr(second + 1);
    group.remove_prefix(std::min(group.size(), group.find_first_not_of('/')));
    if (kinds.empty() && any_has_quota(mount / group, mount, "cpu.max")) return true;
    for (std::string_view kind : split(kinds, ','))
      if (kind == "cpu" && any_has_quota(mount / kinds / group, mount / kinds, "cpu.cfs_quota_us"))
        return true;
  }
  return false;
}

void remove_control_group(const fs::path& group) { ::rmdir(group.c_str()); }

}  // namespace tidemill
