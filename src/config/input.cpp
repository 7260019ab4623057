#include "config/input.h"

#include <cctype>

#include "base/text.h"

namespace tidemill::config {
namespace {

bool is_url(std::string_view text) { return text.starts_with("http://") || text.starts_with("https://"); }

bool is_sha256(std::string_view text) {
  bool good = text.size() == 64;
  for (unsigned char c : text) good = good && (std::isdigit(c) || (c >= 'a' && c <= 'f'));
  return good;
}

Result<Input> read_input(const Node::Entry& entry) {
  bool good = !entry.key.empty();
  for (unsigned char c : entry.key) good = good && (std::isalnum(c) || c == '_' || c == '-');
  if (!good)
    return fail_at(entry.place, "'{}' cannot be an input's name: letters, digits, '_' and '-' only",
                   entry.key);
  Input input{.name = entry.key, .file = {}, .url = {}, .sha256 = {}, .place = entry.place};
  const Node& node = entry.value;
  if (node.kind == Node::Kind::kScalar && !node.text.empty()) {
    if (is_url(node.text)) {
      input.url = node.text;
    } else {
      input.file = node.text;
    }
    return input;
  }
  if (!node.is_map())
    return fail_at(entry.place, "input '{}' needs a path, or an http or https URL", entry.key);
  TRY(check_keys(node, {"file", "url", "sha256"}, fmt::format("input '{}'", entry.key)));
  if (const Node* file = node.find("file")) input.file = TRY(as_text(*file, "file"));
  if (const Node* url = node.find("url")) input.url = TRY(as_text(*url, "url"));
  if (input.file.empty() == input.url.empty())
    return fail_at(entry.place, "input '{}' needs either a file or a url", entry.key);
  if (!input.url.empty() && !is_url(input.url))
    return fail_at(entry.place, "input '{}': '{}' is not an http or https URL", entry.key, input.url);
  const Node* sha256 = node.find("sha256");
  if (sha256 == nullptr) return input;
  input.sha256 = to_lower(TRY(as_text(*sha256, "sha256")));
  if (input.url.empty())
    return fail_at(sha256->place, "sha256 is for a url; the content of a file counts anyway");
  if (!is_sha256(input.sha256)) return fail_at(sha256->place, "sha256 must be 64 hexadecimal digits");
  return input;
}

}  // namespace

std::vector<Input> read_inputs(const Node& map, Problems& problems) {
  std::vector<Input> inputs;
  if (map.kind != Node::Kind::kNull && !map.is_map())
    problems.keep(fail_at(map.place, "inputs must be a map of names"));
  for (const auto& entry : map.entries)
    inputs.push_back(
        problems.keep(read_input(entry)).value_or(Input{.name = entry.key, .place = entry.place}));
  return inputs;
}

}  // namespace tidemill::config
