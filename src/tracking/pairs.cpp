#include "tracking/pairs.h"

#include <map>

namespace tidemill::tracking {
namespace {

using Values = std::map<std::string, std::string, std::less<>>;

Result<Values> values_of(db::Connection& connection, const std::string& select, int64_t owner) {
  Values values;
  db::Statement row = TRY(connection.prepare(select));
  row.bind(owner);
  while (TRY(row.step())) values.emplace(row.text(0), row.text(1));
  return values;
}

template <class KeyOf>
Result<bool> merge(db::Connection& connection, PairTable where, const Values& present, int64_t owner,
                   const std::vector<KeyValue>& pairs, KeyOf key_of) {
  std::string insert = fmt::format(
      "INSERT INTO {} ({}, key, value) VALUES (?, ?, ?) ON CONFLICT ({}, key) DO UPDATE SET value = "
      "excluded.value",
      where.table, where.owner, where.owner);
  bool changed = false;
  for (const auto& [key, value] : pairs) {
    auto old = present.find(key);
    if (old != present.end() && old->second == value) continue;
    TRY(connection.run(insert, owner, TRY(key_of(key)), value));
    changed = true;
  }
  return changed;
}

}  // namespace

Result<bool> merge_pairs(db::Connection& connection, PairTable where, int64_t owner,
                         const std::vector<KeyValue>& pairs) {
  if (pairs.empty()) return false;
  Values present = TRY(values_of(
      connection, fmt::format("SELECT key, value FROM {} WHERE {} = ?", where.table, where.owner), owner));
  return merge(connection, where, present, owner, pairs,
               [](const std::string& key) -> Result<std::string_view> { return key; });
}

Result<bool> merge_numbered_pairs(db::Connection& connection, KeyIds& keys, PairTable where, int64_t owner,
                                  const std::vector<KeyValue>& pairs) {
  if (pairs.empty()) return false;
  std::string select =
      fmt::format("SELECT k.name, t.value FROM {} t JOIN keys k ON k.id = t.key WHERE t.{} = ?", where.table,
                  where.owner);
  Values present = TRY(values_of(connection, select, owner));
  return merge(connection, where, present, owner, pairs,
               [&](const std::string& key) { return keys.id(connection, key); });
}

}  // namespace tidemill::tracking
