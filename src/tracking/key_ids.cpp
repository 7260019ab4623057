#include "tracking/key_ids.h"

namespace tidemill::tracking {

constexpr size_t kMaxCachedKeys = 50'000;

Result<std::optional<int64_t>> find_key(db::Connection& connection, std::string_view name) {
  db::Statement select = TRY(connection.prepare("SELECT id FROM keys WHERE name = ?"));
  if (!TRY(select.bind(name).step())) return std::nullopt;
  return select.integer(0);
}

Result<int64_t> KeyIds::id(db::Connection& connection, std::string_view name) {
  if (auto found = ids_.find(name); found != ids_.end()) return found->second;
  std::optional<int64_t> id = TRY(find_key(connection, name));
  if (!id) {
    db::Statement insert = TRY(connection.prepare("INSERT INTO keys (name) VALUES (?) RETURNING id"));
    TRY(insert.bind(name).step());
    id = insert.integer(0);
  }
  if (ids_.size() >= kMaxCachedKeys) ids_.clear();
  ids_.emplace(name, *id);
  return *id;
}

Result<const std::string*> KeyNames::name(db::Connection& connection, int64_t id) {
  if (auto found = names_.find(id); found != names_.end()) return &found->second;
  db::Statement select = TRY(connection.prepare("SELECT name FROM keys WHERE id = ?"));
  if (!TRY(select.bind(id).step()))
    return fail(Code::kInternal, "{}: damaged: key {} is used but has no name", connection.name(), id);
  if (names_.size() >= kMaxCachedKeys) names_.clear();
  return &names_.emplace(id, select.text(0)).first->second;
}

}  // namespace tidemill::tracking
