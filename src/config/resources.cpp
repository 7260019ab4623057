#include "config/resources.h"

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
  if (error != std::errc() || !known || !(bytes >= 1 || number == 0) || bytes > 1e18)
    return fail(Code::kInvalid, "'{}' is not a size; write it as 512M, 4G or 4GiB", text);
  return static_cast<uint64_t>(bytes);
}

Result<Resources> read_resources(const Node& node) {
  if (!node.is_map()) return fail_at(node.place, "resources must be a map: {{cpus: 2, memory: 4G}}");
  TRY(check_keys(node, {"cpus", "memory", "gpus", "locks"}, "resources"));
  Resources resources;
  if (const Node* cpus = node.find("cpus"))
    resources.cpus = static_cast<int>(TRY(as_int(*cpus, "cpus", 1, 4096)));
  if (const Node* gpus = node.find("gpus"))
    resources.gpus = static_cast<int>(TRY(as_int(*gpus, "gpus", 0, 1024)));
  if (const Node* memory = node.find("memory")) {
    resources.memory = TRY_IN(memory->place.to_string(), parse_size(TRY(as_text(*memory, "memory"))));
    if (resources.memory == 0) return fail_at(memory->place, "no step runs without memory");
  }
  if (const Node* locks = node.find("locks")) {
    if (locks->kind != Node::Kind::kList) return fail_at(locks->place, "locks must be a list of names");
    for (const auto& item : locks->items) {
      resources.locks.push_back(TRY(as_text(item, "a lock")));
      if (resources.locks.back().empty()) return fail_at(item.place, "a lock needs a name");
      for (size_t i = 0; i + 1 < resources.locks.size(); ++i)
        if (resources.locks[i] == resources.locks.back())
          return fail_at(item.place, "the lock '{}' stands here twice", resources.locks[i]);
    }
  }
  return resources;
}

}  // namespace tidemill::config
