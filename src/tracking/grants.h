// What people may do with a thing (the tables of auth/): it goes when the thing goes for good, lest a later
// thing of that name inherit it, and comes along when the thing gets another name.
#pragma once

#include <string_view>

#include "base/result.h"
#include "db/database.h"

namespace tidemill::tracking {

enum class Granted { kExperiment = 1, kModel = 2 };  // role_grants.kind

Result<> forget_grants(db::Connection& connection, Granted kind, std::string_view name);
Result<> rename_grants(db::Connection& connection, Granted kind, std::string_view from, std::string_view to);

}  // namespace tidemill::tracking
