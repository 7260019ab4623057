#include "tracking/grants.h"

namespace tidemill::tracking {

static Result<> note_change(db::Connection& connection) {
  return connection.run("UPDATE auth_state SET changes = changes + 1");
}

Result<> forget_grants(db::Connection& connection, Granted kind, std::string_view name) {
  TRY(connection.run("DELETE FROM role_grants WHERE kind = ? AND pattern = ?", static_cast<int>(kind), name));
  return note_change(connection);
}

Result<> rename_grants(db::Connection& connection, Granted kind, std::string_view from, std::string_view to) {
  if (from == to) return {};
  int64_t number = static_cast<int>(kind);
  TRY(connection.run("DELETE FROM role_grants WHERE kind = ? AND pattern = ?", number, to));
  TRY(connection.run("UPDATE role_grants SET pattern = ? WHERE kind = ? AND pattern = ?", to, number, from));
  return note_change(connection);
}

}  // namespace tidemill::tracking
