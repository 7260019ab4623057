#include "config/input.h"

#include <cctype>

#include "base/text.h"

namespace tidemill::config {
namespace {

constexpr std::string_view kSchemes[] = {"http://", "https://", "s3://",
                                         "runs:/",  "models:/", "mlflow-artifacts:/"};

bool is_url(std::string_view text) {
  return std::any_of(std::begin(kSchemes), std::end(kSchemes),
                     [&](std::string_view scheme) { return text.starts_with(scheme); });
}

bool is_database(std::string_view text) {
  return text.starts_with("postgresql://") || text.starts_with("postgres://") ||
         text.starts_with("sqlite://");
}

// A password belongs into the environment, not into a file that is shared and recorded.
bool has_password(std::string_view database) {
  const size_t start = database.find("://");
  if (start == std::string_view::npos) return false;
  const std::string_view rest = database.substr(start + 3);
  const size_t at = rest.find('@');
  return (at != std::string_view::npos && rest.find(':') < at) ||
         rest.find("password=") != std::string_view::npos;
}

Result<> read_query(const Node& node, Input& input) {
  const Node& query = *node.find("query");
  input.query = TRY(as_text(query, "query"));
  if (trim(input.query).empty()) return fail_at(query.place, "input '{}': the query is empty", input.name);
  const Node* database = node.find("database");
  if (database == nullptr)
    return fail_at(
        query.place,
        "input '{}': a query needs a database: a path, sqlite:///path, postgresql://user@host/db, or "
        "{{env: VARIABLE}}",
        input.name);
  if (database->is_map()) {
    TRY(check_keys(*database, {"env"}, "database"));
    const Node* variable = database->find("env");
    if (variable != nullptr) input.database_variable = TRY(as_text(*variable, "env"));
    if (input.database_variable.empty())
      return fail_at(database->place, "input '{}': env names the variable with the database", input.name);
    return {};
  }
  input.database = TRY(as_text(*database, "database"));
  if (input.database.empty())
    return fail_at(database->place, "input '{}': the database is empty", input.name);
  if (has_password(input.database))
    return fail_at(database->place,
                   "input '{}': a password does not belong into this file; use PGPASSWORD or ~/.pgpass, or "
                   "database: {{env: VARIABLE}}",
                   input.name);
  return {};
}

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
  Input input{.name = entry.key, .place = entry.place};
  const auto no_url = [&](const std::string& text) {
    return fail_at(entry.place, "input '{}': '{}' is not a URL of http, https or s3, nor runs:/ or models:/",
                   entry.key, text);
  };
  const Node& node = entry.value;
  if (node.kind == Node::Kind::kScalar && !node.text.empty()) {
    if (is_url(node.text)) {
      input.url = node.text;
    } else if (is_database(node.text)) {
      return fail_at(entry.place,
                     "input '{}': a database needs a query: {{query: SELECT ..., database: ...}}", entry.key);
    } else if (node.text.find("://") != std::string::npos) {
      return no_url(node.text);
    } else {
      input.file = node.text;
    }
    return input;
  }
  if (!node.is_map()) return fail_at(entry.place, "input '{}' needs a path, a URL or a query", entry.key);
  TRY(check_keys(node, {"file", "url", "query", "database", "sha256"}, fmt::format("input '{}'", entry.key)));
  if (const Node* file = node.find("file")) input.file = TRY(as_text(*file, "file"));
  if (const Node* url = node.find("url")) input.url = TRY(as_text(*url, "url"));
  if (node.find("query") != nullptr) TRY(read_query(node, input));
  if (input.query.empty() && node.find("database") != nullptr)
    return fail_at(node.find("database")->place, "input '{}': a database needs a query", entry.key);
  if (int(!input.file.empty()) + int(!input.url.empty()) + int(!input.query.empty()) != 1)
    return fail_at(entry.place, "input '{}' needs one of file, url and query", entry.key);
  if (!input.url.empty() && !is_url(input.url)) return no_url(input.url);
  const Node* sha256 = node.find("sha256");
  if (sha256 == nullptr) return input;
  input.sha256 = to_lower(TRY(as_text(*sha256, "sha256")));
  if (!input.is_fetched())
    return fail_at(sha256->place, "sha256 is for what is fetched; the content of a file counts anyway");
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
