#include "db/location.h"

#include "db/postgres.h"
#include "db/sqlite.h"

namespace tidemill::db {

std::string Location::name() const { return kind == Kind::kSqlite ? file.string() : without_secrets(uri); }

fs::path Location::folder() const {
  return kind == Kind::kSqlite ? fs::absolute(file).parent_path() : fs::current_path();
}

Result<Location> parse_location(std::string_view text) {
  size_t colon = text.find("://");
  if (colon == std::string_view::npos)
    return Location{.kind = Location::Kind::kSqlite, .file = fs::path(text), .uri = {}};
  std::string_view scheme = text.substr(0, colon), rest = text.substr(colon + 3);
  std::string_view database = scheme.substr(0, scheme.find('+'));
  if (database == "sqlite") {
    std::string_view path = rest.substr(0, rest.find('?'));
    if (path.size() < 2 || path[0] != '/' || path == "/:memory:")
      return fail(Code::kInvalid, "'{}': give sqlite:///path, or the path of the store's file", text);
    return Location{.kind = Location::Kind::kSqlite, .file = fs::path(path.substr(1)), .uri = {}};
  }
  if (database == "postgresql" || database == "postgres")
    return Location{
        .kind = Location::Kind::kPostgres, .file = {}, .uri = fmt::format("postgresql://{}", rest)};
  return fail(
      Code::kInvalid,
      "'{}': a store is a file (a path or sqlite:///path) or in PostgreSQL (postgresql://user@host/db)",
      without_secrets(text));
}

Result<std::unique_ptr<Connection>> open(const Location& location) {
  if (location.kind == Location::Kind::kSqlite) return open_sqlite({.file = location.file});
  return open_postgres({.uri = location.uri});
}

Result<std::unique_ptr<Connection>> open_foreign(const Location& location) {
  if (location.kind == Location::Kind::kPostgres) return open_postgres({.uri = location.uri});
  std::error_code ignored;
  if (!fs::is_regular_file(location.file, ignored))
    return fail(Code::kNotFound, "there is no file {}", location.file.string());
  return open_foreign_sqlite(location.file);
}

std::vector<Secret> secrets_of(std::string_view uri) {
  std::vector<Secret> secrets;
  size_t start = uri.find("://");
  if (start == std::string_view::npos) return secrets;
  start += 3;
  // user:password@host. The password ends at the last '@': it may hold characters that should have been
  // encoded, and too much hidden is better than too little.
  size_t colon = uri.find(':', start), at = uri.rfind('@');
  if (at != std::string_view::npos && colon < uri.find('@', start)) secrets.push_back({colon, at - colon});
  size_t query = uri.find('?', secrets.empty() ? start : at);
  while (query < uri.size()) {
    size_t end = std::min(uri.find('&', query + 1), uri.size());
    std::string_view option = uri.substr(query + 1, end - query - 1);
    if (option.starts_with("password=") || option.starts_with("sslpassword="))
      secrets.push_back({query + 1, option.size()});
    query = end;
  }
  return secrets;
}

std::string without_secrets(std::string_view uri) {
  std::string out(uri);
  std::vector<Secret> secrets = secrets_of(uri);
  for (auto secret = secrets.rbegin(); secret != secrets.rend(); ++secret)
    out.erase(secret->begin, secret->length);
  return out;
}

}  // namespace tidemill::db
