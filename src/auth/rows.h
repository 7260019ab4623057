// What users.cpp, roles.cpp and accounts.cpp share. Private to this folder.
#pragma once

#include "auth/permission.h"
#include "db/database.h"
#include "tracking/store.h"

namespace tidemill::auth {

// As Store::write; tells servers that something has changed.
template <class Work>
Result<> change(tracking::Store& store, Work&& work) {
  return store.write([&](db::Connection& connection) -> Result<> {
    TRY(work(connection));
    return connection.run("UPDATE auth_state SET changes = changes + 1");
  });
}

template <class T, class Read>
Result<T> read(tracking::Store& store, Read&& from) {
  std::optional<T> value;
  TRY(store.read([&](db::Connection& connection) -> Result<> {
    value = TRY(from(connection));
    return {};
  }));
  return std::move(*value);
}

// kNotFound with MLflow's text.
Result<User> find_user(db::Connection& connection, std::string_view name);
// The role that holds what is granted to this user alone, as MLflow names it.
std::string own_role_name(int64_t user);

// The columns that read_grant expects, of role_grants g.
inline constexpr std::string_view kGrantColumns = "g.id, g.role, g.kind, g.pattern, g.permission";
Grant read_grant(const db::Statement& row);

}  // namespace tidemill::auth
