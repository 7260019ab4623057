#include "tracking/key_ids.h"

namespace tidemill::tracking {

constexpr size_t kMaxCachedKeys = 50'000;
constexpr size_t kMaxDenseNames = 1 << 18;

Result<std::optional<int64_t>> find_key(db::Connection& connection, std::string_view name) {
  db::Statement select = TRY(connection.prepare("SELECT id FROM keys WHERE name = ?"));
  if (!TRY(select.bind(name).step())) return std::nullopt;
  return select.integer(0);
}

Result<int64_t> KeyIds::id(db::Connection& connection, std::string_view name) {
  if (auto found = ids_.find(name); found != ids_.end()) return found->second;
  std::optional<int64_t> id = TRY(find_key(connection, name));
  if (!id) id = TRY(connection.insert("INSERT INTO keys (name) VALUES (?)", name));
  if (ids_.size() >= kMaxCachedKeys) ids_.clear();
  ids_.emplace(name, *id);
  return *id;
}

Result<const std::string*> KeyNames::read(db::Connection& connection, int64_t id) {
  if (auto far = far_names_.find(id); far != far_names_.end()) return &far->second;
  db::Statement select = TRY(connection.prepare("SELECT name FROM keys WHERE id = ?"));
  if (!TRY(select.bind(id).step()))
    return fail(Code::kInternal, "{}: damaged: key {} is used but has no name", connection.name(), id);
  auto index = static_cast<size_t>(id);
  if (index >= kMaxDenseNames) return &far_names_.emplace(id, select.text(0)).first->second;
  if (index >= names_.size()) names_.resize(index + 1);
  names_[index] = select.text(0);
  return &names_[index];
}

}  // namespace tidemill::tracking
