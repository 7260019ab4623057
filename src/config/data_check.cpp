#include "config/data_check.h"

#include <charconv>
#include <cmath>

#include "base/text.h"

namespace tidemill::config {
namespace {

Result<double> read_number(const Node& node, std::string_view what) {
  std::string text = TRY(as_text(node, what));
  double value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty() || !std::isfinite(value))
    return fail_at(node.place, "{} must be a number, not '{}'", what, text);
  return value;
}

Result<double> read_share(const Node& node, std::string_view what) {
  double share = TRY(read_number(node, what));
  if (share < 0 || share > 1) return fail_at(node.place, "{} is a share, from 0 to 1", what);
  return share;
}

Result<Limits> read_limits(const Node& node, std::string_view what) {
  if (!node.is_map()) return fail_at(node.place, "{} must be a map with min or max", what);
  TRY(check_keys(node, {"min", "max"}, what));
  Limits limits;
  if (const Node* min = node.find("min")) limits.min = TRY(read_number(*min, fmt::format("{}.min", what)));
  if (const Node* max = node.find("max")) limits.max = TRY(read_number(*max, fmt::format("{}.max", what)));
  return limits;
}

Result<ColumnCheck> read_column(const Node::Entry& entry) {
  ColumnCheck column{.name = entry.key, .range = {}, .values = {}};
  const Node& node = entry.value;
  if (node.kind == Node::Kind::kNull) return column;
  if (!node.is_map())
    return fail_at(node.place, "column '{}' must be a map with min, max, nulls or values", entry.key);
  const std::string what = fmt::format("column '{}'", entry.key);
  TRY(check_keys(node, {"min", "max", "nulls", "values"}, what));
  if (const Node* min = node.find("min")) column.range.min = TRY(read_number(*min, what));
  if (const Node* max = node.find("max")) column.range.max = TRY(read_number(*max, what));
  if (const Node* nulls = node.find("nulls")) column.nulls = TRY(read_share(*nulls, "nulls"));
  if (const Node* values = node.find("values")) {
    if (values->kind != Node::Kind::kList) return fail_at(values->place, "values must be a list");
    column.values.emplace();
    for (const auto& item : values->items) column.values->push_back(TRY(as_text(item, "a value")));
  }
  return column;
}

Result<> read_classes(const Node& node, DataCheck& check) {
  const bool table = check.kind == DataCheck::Kind::kTable;
  if (!node.is_map())
    return fail_at(node.place, "classes must be a map with {}least", table ? "column and " : "");
  TRY(check_keys(node,
                 table ? std::vector<std::string>{"column", "least"} : std::vector<std::string>{"least"},
                 "classes"));
  const Node* column = node.find("column");
  if (table && column == nullptr) return fail_at(node.place, "classes of a table need a column");
  if (column != nullptr) check.class_column = TRY(as_text(*column, "classes.column"));
  if (const Node* least = node.find("least")) check.least_class = TRY(read_share(*least, "classes.least"));
  return {};
}

Result<DataCheck> read_check(const Node& node) {
  if (!node.is_map()) return fail_at(node.place, "an entry of validate is a map with table or images");
  DataCheck check{.path = "", .place = node.place};
  const Node *table = node.find("table"), *images = node.find("images");
  if (table == nullptr && images == nullptr)
    TRY(check_keys(node,
                   {"table", "images", "rows", "columns", "count", "corrupt", "constant", "sample",
                    "duplicates", "classes", "drift", "otherwise"},
                   "an entry of validate"));
  if ((table != nullptr) == (images != nullptr))
    return fail_at(node.place, "a check is of a table or of images");
  check.kind = table != nullptr ? DataCheck::Kind::kTable : DataCheck::Kind::kImages;
  const Node& path = table != nullptr ? *table : *images;
  check.path = TRY(as_text(path, "the path"));
  for (const auto& part : split(check.path, '/'))
    if (check.path.empty() || check.path[0] == '/' || part == "..")
      return fail_at(path.place, "'{}' must be below the step's artifacts", check.path);
  std::vector<std::string> keys = {"duplicates", "classes", "drift", "otherwise"};
  const bool is_table = table != nullptr;
  if (is_table)
    keys.insert(keys.end(), {"table", "rows", "columns"});
  else
    keys.insert(keys.end(), {"images", "count", "corrupt", "constant", "sample"});
  TRY(check_keys(node, keys, is_table ? "the check of a table" : "the check of images"));
  const char* count = is_table ? "rows" : "count";
  if (const Node* limits = node.find(count)) check.count = TRY(read_limits(*limits, count));
  if (const Node* share = node.find("duplicates")) check.duplicates = TRY(read_share(*share, "duplicates"));
  if (const Node* share = node.find("corrupt")) check.corrupt = TRY(read_share(*share, "corrupt"));
  if (const Node* share = node.find("constant")) check.constant = TRY(read_share(*share, "constant"));
  if (const Node* drift = node.find("drift")) check.drift = TRY(read_number(*drift, "drift"));
  if (const Node* sample = node.find("sample"))
    check.sample = TRY(as_int(*sample, "sample", 1, 1'000'000'000));
  if (const Node* classes = node.find("classes")) TRY(read_classes(*classes, check));
  if (const Node* columns = node.find("columns")) {
    if (!columns->is_map()) return fail_at(columns->place, "columns must be a map of names");
    for (const auto& entry : columns->entries) check.columns.push_back(TRY(read_column(entry)));
  }
  if (const Node* otherwise = node.find("otherwise")) {
    const std::vector<std::string> known = {"fail", "warn", "exclude"};
    std::string word = TRY(as_text(*otherwise, "otherwise"));
    auto found = std::find(known.begin(), known.end(), word);
    if (found == known.end())
      return fail_at(otherwise->place, "otherwise is fail, warn or exclude, not '{}'{}", word,
                     did_you_mean(word, known));
    check.otherwise = static_cast<DataCheck::Otherwise>(found - known.begin());
    if (check.otherwise == DataCheck::Otherwise::kExclude && check.sample > 0)
      return fail_at(otherwise->place, "images that are not looked at cannot be excluded: leave out sample");
  }
  return check;
}

std::string shown(const std::optional<double>& value) { return value ? fmt::format("{}", *value) : "-"; }

}  // namespace

std::string_view to_string(DataCheck::Otherwise otherwise) {
  switch (otherwise) {
    case DataCheck::Otherwise::kFail:
      return "fail";
    case DataCheck::Otherwise::kWarn:
      return "warn";
    case DataCheck::Otherwise::kExclude:
      return "exclude";
  }
  return "";
}

std::vector<DataCheck> read_data_checks(const Node& list, Problems& problems) {
  std::vector<DataCheck> checks;
  if (list.kind != Node::Kind::kList) {
    problems.keep(fail_at(list.place, "validate must be a list of checks"));
    return checks;
  }
  for (const auto& item : list.items)
    if (auto check = problems.keep(read_check(item))) checks.push_back(std::move(*check));
  return checks;
}

std::string identity_of(const std::vector<DataCheck>& checks) {
  std::string text;
  for (const auto& check : checks) {
    text += fmt::format("{} {} {} {} {} {} {} {} {} {} {} {} {}\n", static_cast<int>(check.kind), check.path,
                        shown(check.count.min), shown(check.count.max), shown(check.duplicates),
                        check.class_column.value_or("-"), shown(check.least_class), shown(check.drift),
                        check.corrupt, check.constant, check.sample, to_string(check.otherwise),
                        check.columns.size());
    for (const auto& column : check.columns) {
      text += fmt::format("{} {} {} {}", column.name, shown(column.range.min), shown(column.range.max),
                          shown(column.nulls));
      if (column.values) text += " [" + join(*column.values, "\n") + "]";
      text += "\n";
    }
  }
  return text;
}

}  // namespace tidemill::config
