#include "config/resources.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/text.h"

namespace tidemill::config {

Result<uint64_t> parse_size(const std::string& text) {
  double number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  std::string unit(trim(std::string_view(end, static_cast<size_t>(text.data() + text.size() - end))));
  if (unit.ends_with('B')) unit.pop_back();
  bool binary = unit.ends_with('i');
  if (binary) unit.pop_back();
  if (unit == "k") unit = "K";  // the SI's own
  constexpr std::string_view kUnits = "KMGT";
  size_t power = unit.empty() ? 0 : kUnits.find(unit) + 1;
  bool known = unit.empty() ? !binary : unit.size() == 1 && power > 0;
  double bytes = number * std::pow(binary ? 1024 : 1000, static_cast<double>(power));
  if (error == std::errc() && known && bytes > 1e18)
    return fail(Code::kInvalid, "'{}' is more than there can be", text);
  if (error != std::errc() || !known || !(bytes >= 1 || number == 0))
    return fail(Code::kInvalid, "'{}' is not a size; write it as 512M, 4G or 4GiB", text);
  return static_cast<uint64_t>(bytes);
}

static Result<uint64_t> read_memory(const Node& node) {
  uint64_t bytes = TRY_IN(node.place.to_string(), parse_size(TRY(as_text(node, "memory"))));
  if (bytes == 0) return fail_at(node.place, "no step runs without memory");
  return bytes;
}

static Result<std::vector<std::string>> read_locks(const Node& node) {
  if (node.kind != Node::Kind::kList) return fail_at(node.place, "locks must be a list of names");
  std::vector<std::string> locks;
  for (const auto& item : node.items) {
    std::string name = TRY(as_text(item, "a lock"));
    if (name.empty()) return fail_at(item.place, "a lock needs a name");
    if (std::find(locks.begin(), locks.end(), name) != locks.end())
      return fail_at(item.place, "the lock '{}' stands here twice", name);
    locks.push_back(std::move(name));
  }
  return locks;
}

Resources read_resources(const Node& node, Problems& problems) {
  Resources resources;
  if (!node.is_map()) {
    problems.keep(fail_at(node.place, "resources must be a map: {{cpus: 2, memory: 4G}}"));
    return resources;
  }
  check_keys(node, {"cpus", "memory", "gpus", "locks"}, "resources", problems);
  if (const Node* cpus = node.find("cpus"))
    resources.cpus = static_cast<int>(problems.keep(as_int(*cpus, "cpus", 1, 4096)).value_or(0));
  if (const Node* gpus = node.find("gpus"))
    resources.gpus = static_cast<int>(problems.keep(as_int(*gpus, "gpus", 0, 1024)).value_or(0));
  if (const Node* memory = node.find("memory"))
    resources.memory = problems.keep(read_memory(*memory)).value_or(0);
  if (const Node* locks = node.find("locks"))
    resources.locks = problems.keep(read_locks(*locks)).value_or(std::vector<std::string>());
  return resources;
}

}  // namespace tidemill::config
