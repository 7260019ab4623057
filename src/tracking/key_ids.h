// Names of metrics, parameters and tags <-> the integers that stand for them in the database. Rows of the
// table are never changed or removed, so what was once read stays true.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "db/database.h"

namespace tidemill::tracking {

// For the writer: gives every name a number.
class KeyIds {
 public:
  Result<int64_t> id(db::Connection& connection, std::string_view name);
  // To be called when a transaction that may have added names was rolled back.
  void forget() { ids_.clear(); }

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  std::unordered_map<std::string, int64_t, Hash, std::equal_to<>> ids_;
};

// For readers: one per connection. kNotFound never happens in an undamaged store.
class KeyNames {
 public:
  Result<const std::string*> name(db::Connection& connection, int64_t id);

 private:
  std::unordered_map<int64_t, std::string> names_;
};

// Nothing when no run has ever used the name.
Result<std::optional<int64_t>> find_key(db::Connection& connection, std::string_view name);

}  // namespace tidemill::tracking
