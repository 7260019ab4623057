// Names of metrics, parameters and tags <-> the integers that stand for them in the database. Rows of the
// table are never changed or removed, so what was once read stays true.
#pragma once

#include <cstdint>
#include <deque>
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

// For readers: one per connection.
class KeyNames {
 public:
  // kInternal when no name has this number.
  Result<const std::string*> name(db::Connection& connection, int64_t id) {
    if (static_cast<uint64_t>(id) < names_.size() && !names_[static_cast<size_t>(id)].empty())
      return &names_[static_cast<size_t>(id)];
    return read(connection, id);
  }

 private:
  Result<const std::string*> read(db::Connection& connection, int64_t id);

  std::deque<std::string> names_;                       // by id; "" not read yet
  std::unordered_map<int64_t, std::string> far_names_;  // of ids that are too large for that
};

// Nothing when no run has ever used the name.
Result<std::optional<int64_t>> find_key(db::Connection& connection, std::string_view name);

}  // namespace tidemill::tracking
