// The store's tables, as SQL from schema/*.sql.
#pragma once

#include "db/database.h"

namespace tidemill::tracking {

const db::Schema& store_schema();

}  // namespace tidemill::tracking
