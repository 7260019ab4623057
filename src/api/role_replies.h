// What the calls of users and of roles share. Private to these two.
#pragma once

#include <string_view>

#include "api/json_writer.h"
#include "api/params.h"
#include "auth/roles.h"

namespace tidemill::api {

// There is one; MLflow calls it so.
inline constexpr std::string_view kWorkspaceName = "default";

void write(JsonWriter& json, const auth::Role& role);
// resource_type, and under this key an experiment's id, a model's name, or "*" for all of that kind.
Result<auth::Thing> read_thing(const Params& params, std::string_view key);

}  // namespace tidemill::api
