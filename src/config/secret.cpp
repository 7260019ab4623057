#include "config/secret.h"

#include <cctype>

namespace tidemill::config {
namespace {

bool is_variable_name(std::string_view name) {
  bool good = !name.empty() && !std::isdigit(static_cast<unsigned char>(name[0]));
  for (unsigned char c : name) good = good && (std::isalnum(c) || c == '_');
  return good;
}

Result<Secret> read_secret(const Node::Entry& entry) {
  if (!is_variable_name(entry.key))
    return fail_at(entry.place, "'{}' cannot be the name of a variable, which a secret becomes", entry.key);
  Secret secret{.name = entry.key, .variable = {}, .file = {}, .place = entry.place};
  const Node& node = entry.value;
  if (node.kind == Node::Kind::kNull) {
    secret.variable = entry.key;
    return secret;
  }
  if (!node.is_map() || node.entries.size() != 1)
    return fail_at(entry.place,
                   "secret '{}' needs to be told where it comes from, {{env: NAME}} or {{file: PATH}}; never "
                   "write its value here",
                   entry.key);
  TRY(check_keys(node, {"env", "file"}, fmt::format("secret '{}'", entry.key)));
  std::string text = TRY(as_text(node.entries[0].value, node.entries[0].key));
  if (text.empty()) return fail_at(node.place, "secret '{}' has an empty {}", entry.key, node.entries[0].key);
  if (node.entries[0].key == "env") {
    secret.variable = text;
  } else {
    secret.file = text;
  }
  return secret;
}

}  // namespace

std::vector<Secret> read_secrets(const Node& map, Problems& problems) {
  std::vector<Secret> secrets;
  if (map.kind != Node::Kind::kNull && !map.is_map())
    problems.keep(fail_at(map.place, "secrets must be a map of names"));
  for (const auto& entry : map.entries)
    secrets.push_back(
        problems.keep(read_secret(entry)).value_or(Secret{entry.key, entry.key, {}, entry.place}));
  return secrets;
}

}  // namespace tidemill::config
