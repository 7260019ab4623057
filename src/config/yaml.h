// YAML with the place of everything, and limits on what a file may hold.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.h"
#include "base/result.h"
#include "base/shared.h"

namespace tidemill::config {

// Where something stands, for error messages; lines and columns count from 1.
struct Place {
  Shared<std::string> file;
  int line = 0, column = 0;

  std::string to_string() const;  // "pipeline.yaml:3:5"
};

// kInvalid at a place: "pipeline.yaml:3:5: unknown step 'tran'".
template <class... Args>
tl::unexpected<Error> fail_at(const Place& place, fmt::format_string<Args...> format, Args&&... args) {
  return tl::unexpected<Error>(
      Error{Code::kInvalid, fmt::format(format, std::forward<Args>(args)...)}.in(place.to_string()));
}

// A node of a parsed file. Aliases are refused (they can make a small file expand without bound).
struct Node {
  enum class Kind { kNull, kScalar, kList, kMap };
  struct Entry;

  Kind kind = Kind::kNull;
  Place place;
  std::string text;  // of a scalar, as written (quotes removed)
  bool quoted = false;
  std::vector<Node> items;
  std::vector<Entry> entries;  // in the order of the file; keys are unique

  bool is_map() const { return kind == Kind::kMap; }
  const Node* find(std::string_view key) const;
};
struct Node::Entry {
  std::string key;
  Place place;  // of the key
  Node value;
};

// Refuses broken YAML, aliases, duplicate keys, keys that are not plain text, more than 64 levels, 100 000
// nodes or max_bytes.
constexpr size_t kMaxYamlBytes = 1 << 20;
Result<Node> parse_yaml(std::string_view text, const std::string& file_name,
                        size_t max_bytes = kMaxYamlBytes);
Result<Node> load_yaml(const fs::path& path);

class Problems;
// Keys of the map that are not among `known`, with the nearest that is: all of them, or the first.
void check_keys(const Node& map, const std::vector<std::string>& known, std::string_view what,
                Problems& problems);
Result<> check_keys(const Node& map, const std::vector<std::string>& known, std::string_view what);
// The value as text; fails for lists and maps. Null is "".
Result<std::string> as_text(const Node& node, std::string_view what);
Result<bool> as_bool(const Node& node, std::string_view what);  // true or false, as YAML 1.2 writes them
// A time: "90s", "15m", "2h", "1d12h", or a number of seconds. The limits too are in seconds.
Result<std::chrono::milliseconds> as_duration(const Node& node, std::string_view what, int64_t least,
                                              int64_t most);
Result<int64_t> as_int(const Node& node, std::string_view what, int64_t least, int64_t most);

}  // namespace tidemill::config
