// The store's tables, as SQL from schema/*.sql.
#pragma once

#include <string_view>

#include "db/database.h"

namespace tidemill::tracking {

const db::Schema& store_schema();

// The SQLite file that holds the newest schema and nothing else, made when this program was built: to migrate
// a new file would take a fifth of the time that a small run takes as a whole.
std::string_view empty_store();

}  // namespace tidemill::tracking
