// Keys and values that belong to one row, in tables (<owner>, key, value). Private to this folder.
#pragma once

#include <string_view>
#include <vector>

#include "db/database.h"
#include "tracking/entities.h"
#include "tracking/key_ids.h"

namespace tidemill::tracking {

// Names of tables and columns, never from outside.
struct PairTable {
  std::string_view table, owner;
};

// Brings the pairs of one owner to these values; pairs that are not named stay. True when something changed.
Result<bool> merge_pairs(db::Connection& connection, PairTable where, int64_t owner,
                         const std::vector<KeyValue>& pairs);
// The same where the keys are numbers of the table keys.
Result<bool> merge_numbered_pairs(db::Connection& connection, KeyIds& keys, PairTable where, int64_t owner,
                                  const std::vector<KeyValue>& pairs);

}  // namespace tidemill::tracking
