// The machine and what is installed on it, read from files: nothing is started for it.
#include <gnu/libc-version.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <fstream>
#include <set>

#include "base/text.h"
#include "engine/machine.h"
#include "engine/snapshot.h"
#include "sys/process.h"

namespace tidemill::engine {
namespace {

constexpr size_t kMostPackages = 5'000;

// The value behind "name<separator>" at the start of a line; "" when there is none within the first
// kilobytes.
std::string value_in(const fs::path& file, std::string_view name, char separator) {
  std::ifstream in(file);
  std::string line;
  for (int i = 0; i < 200 && std::getline(in, line); ++i) {
    size_t at = line.find(separator);
    if (at != std::string::npos && trim(std::string_view(line).substr(0, at)) == name) {
      std::string_view value = trim(std::string_view(line).substr(at + 1));
      if (value.size() > 1 && value.front() == '"' && value.back() == '"')
        value = value.substr(1, value.size() - 2);
      return std::string(value);
    }
  }
  return "";
}

std::string first_line(const fs::path& file) {
  std::ifstream in(file);
  std::string line;
  std::getline(in, line);
  return std::string(trim(line));
}

void add_gpus(Json& machine) {
  std::error_code ignored;
  if (std::string driver = first_line("/proc/driver/nvidia/version"); !driver.empty())
    machine["nvidia_driver"] = driver;
  if (std::string driver = first_line("/sys/module/amdgpu/version"); !driver.empty())
    machine["amd_driver"] = driver;
  Json gpus = Json::array();
  for (const auto& gpu : fs::directory_iterator("/proc/driver/nvidia/gpus", ignored))
    gpus.push_back(value_in(gpu.path() / "information", "Model", ':'));
  if (!gpus.empty()) machine["gpus"] = std::move(gpus);
}

// "numpy-1.26.4.dist-info" -> numpy 1.26.4.
void add_packages(const fs::path& folder, Json& packages) {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    std::string name = entry.path().filename().string();
    for (std::string_view ending : {".dist-info", ".egg-info"}) {
      size_t dash = name.find('-');
      if (!name.ends_with(ending) || dash == std::string::npos || packages.size() >= kMostPackages) continue;
      std::string version = name.substr(dash + 1, name.size() - ending.size() - dash - 1);
      packages[name.substr(0, dash)] = version.substr(0, version.find("-py"));
    }
  }
}

// "3.11" of a path like /usr/bin/python3.11; "" when it has none.
std::string version_in_name(const fs::path& python) {
  std::string name = python.filename().string();
  return name.starts_with("python") && name.find('.') != std::string::npos ? name.substr(6) : "";
}

Json describe_python(const fs::path& python) {
  std::error_code ignored;
  const fs::path prefix = python.parent_path().parent_path();
  const fs::path real = fs::canonical(python, ignored);
  std::string version = value_in(prefix / "pyvenv.cfg", "version", '=');
  if (version.empty()) version = value_in(prefix / "pyvenv.cfg", "version_info", '=');
  if (version.empty()) version = version_in_name(real);
  Json described = {{"version", version}, {"program", real.string()}};
  Json packages = Json::object();
  for (const auto& entry : fs::directory_iterator(prefix / "lib", ignored)) {
    std::string name = entry.path().filename().string();
    if (!name.starts_with("python3")) continue;
    add_packages(entry.path() / "site-packages", packages);
    add_packages(entry.path() / "dist-packages", packages);
  }
  described["packages"] = std::move(packages);
  return described;
}

bool names_python(std::string_view text) {
  return fs::path(text).filename().string().starts_with("python") &&
         text.find_first_of(" \n{") == std::string_view::npos;
}

}  // namespace

Json describe_machine() {
  utsname system{};
  uname(&system);
  const Machine usable = this_machine();
  Json machine = {{"host", system.nodename},
                  {"os", value_in("/etc/os-release", "PRETTY_NAME", '=')},
                  {"kernel", fmt::format("{} {} {}", system.sysname, system.release, system.machine)},
                  {"libc", fmt::format("glibc {}", gnu_get_libc_version())},
                  {"cpu", value_in("/proc/cpuinfo", "model name", ':')},
                  {"cpus", usable.cpus},
                  {"memory_bytes", usable.memory}};
  add_gpus(machine);
  return machine;
}

Json describe_software(const pipeline::Plan& plan, const Options& options) {
  std::set<fs::path> pythons;
  std::error_code ignored;
  for (const auto& [folder, environment] : options.environments)
    if (fs::exists(environment.programs() / "python", ignored))
      pythons.insert(environment.programs() / "python");
  auto add = [&](std::string_view word) {
    if (!names_python(word)) return;
    if (auto found = find_program(word)) pythons.insert(*found);
  };
  for (const auto& param : plan.params) add(param.second);
  std::set<std::string> commands;
  for (const auto& step : plan.steps)
    commands.insert(step.entry->command.substr(0, step.entry->command.find(' ')));
  for (const auto& command : commands) add(command);
  Json described = Json::object();
  for (const auto& python : pythons) described[python.string()] = describe_python(python);
  return described;
}

}  // namespace tidemill::engine
