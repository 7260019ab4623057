#include "config/foreach.h"

#include <cctype>

#include "base/text.h"

namespace tidemill::config {
namespace {

Result<> check_name(const Node::Entry& entry) {
  bool good = !entry.key.empty() && !std::isdigit(static_cast<unsigned char>(entry.key[0]));
  for (unsigned char c : entry.key) good = good && (std::isalnum(c) || c == '_');
  if (!good)
    return fail_at(entry.place, "'{}' cannot be a name in foreach: letters, digits and '_' only", entry.key);
  return {};
}

Result<Foreach::Values> read_values(const Node::Entry& entry) {
  TRY(check_name(entry));
  Foreach::Values values{.name = entry.key, .list = {}, .place = entry.place};
  const Node& node = entry.value;
  if (node.kind == Node::Kind::kScalar) {
    values.split = true;
    values.list.push_back(TRY(parse_template(node.text, node.place)));
    return values;
  }
  if (node.kind != Node::Kind::kList || node.items.empty())
    return fail_at(entry.place, "'{}' in foreach needs a list of values, or a text with commas between them",
                   entry.key);
  for (const auto& item : node.items)
    values.list.push_back(TRY(parse_template(TRY(as_text(item, "a value in foreach")), item.place)));
  return values;
}

Result<Foreach::Row> read_row(const Node& node, const std::vector<std::string>& names) {
  if (!node.is_map() || node.entries.empty())
    return fail_at(node.place, "an entry of foreach must be a map of names and values");
  Foreach::Row row;
  std::vector<std::string> own;
  for (const auto& entry : node.entries) {
    TRY(check_name(entry));
    std::string text = TRY(as_text(entry.value, "a value in foreach"));
    row.emplace_back(entry.key, TRY(parse_template(text, entry.value.place)));
    own.push_back(entry.key);
  }
  if (!names.empty() && own != names)
    return fail_at(node.place, "every entry of foreach must name the same values in the same order: {}",
                   join(names, ", "));
  return row;
}

}  // namespace

std::vector<std::string> Foreach::names() const {
  std::vector<std::string> all;
  for (const auto& values : product) all.push_back(values.name);
  if (!rows.empty())
    for (const auto& [name, value] : rows[0]) all.push_back(name);
  return all;
}

Result<Foreach> read_foreach(const Node& node) {
  Foreach foreach{.product = {}, .rows = {}, .like = {}, .place = node.place};
  if (node.kind == Node::Kind::kScalar && !node.text.empty()) {
    foreach
      .like = node.text;
  } else if (node.is_map() && !node.entries.empty()) {
    for (const auto& entry : node.entries)
      foreach
        .product.push_back(TRY(read_values(entry)));
  } else if (node.kind == Node::Kind::kList && !node.items.empty()) {
    for (const auto& item : node.items)
      foreach
        .rows.push_back(TRY(read_row(item, foreach.names())));
  } else {
    return fail_at(
        node.place,
        "foreach must be a map of names and lists of values, a list of maps, or the name of a step");
  }
  return foreach;
}

}  // namespace tidemill::config
