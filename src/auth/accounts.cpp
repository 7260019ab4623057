#include "auth/accounts.h"

#include <algorithm>

#include "auth/rows.h"

namespace tidemill::auth {

Grant read_grant(const db::Statement& row) {
  int64_t kind = row.integer(2), permission = row.integer(4);
  bool known = kind >= 0 && kind < static_cast<int64_t>(kKinds) && permission >= 0 &&
               permission <= static_cast<int64_t>(Permission::kManage);
  return {.id = row.integer(0),
          .role = row.integer(1),
          .kind = known ? static_cast<Kind>(kind) : Kind::kWorkspace,
          .pattern = std::string(row.text(3)),
          .permission = known ? static_cast<Permission>(permission) : Permission::kDeny};
}

static Result<std::vector<Grant>> grants_of(db::Connection& connection, int64_t user) {
  std::vector<Grant> grants;
  db::Statement row = TRY(connection.prepare(
      fmt::format("SELECT {} FROM role_members m JOIN role_grants g ON g.role = m.role WHERE m.member = ?",
                  kGrantColumns)));
  row.bind(user);
  while (TRY(row.step())) grants.push_back(read_grant(row));
  return grants;
}

bool Account::has_token(std::string_view sha256, int64_t now) const {
  return std::any_of(tokens.begin(), tokens.end(), [&](const Token& token) {
    return token.sha256 == sha256 && (!token.expires || *token.expires > now);
  });
}

Result<std::optional<Account>> Accounts::find(std::string_view name) {
  using Found = std::optional<Account>;
  return read<Found>(store_, [&](db::Connection& connection) -> Result<Found> {
    db::Statement row = TRY(connection.prepare("SELECT id, name, admin, password FROM users WHERE name = ?"));
    if (!TRY(row.bind(name).step())) return Found();
    User user{row.integer(0), std::string(row.text(1)), row.integer(2) == 1};
    std::string password(row.text(3));
    Account account{.access = Access(user, default_permission_, TRY(grants_of(connection, user.id))),
                    .password = std::move(password),
                    .tokens = {}};
    db::Statement token = TRY(connection.prepare("SELECT sha256, expires FROM user_tokens WHERE owner = ?"));
    token.bind(user.id);
    while (TRY(token.step()))
      account.tokens.push_back({std::string(token.text(0)), token.optional_integer(1)});
    return account;
  });
}

Result<std::string> Accounts::owner_of_token(std::string_view sha256) {
  return read<std::string>(store_, [&](db::Connection& connection) -> Result<std::string> {
    db::Statement row = TRY(connection.prepare(
        "SELECT u.name FROM user_tokens t JOIN users u ON u.id = t.owner WHERE t.sha256 = ?"));
    return TRY(row.bind(sha256).step()) ? std::string(row.text(0)) : std::string();
  });
}

Result<int64_t> Accounts::changes() {
  return read<int64_t>(store_, [&](db::Connection& connection) -> Result<int64_t> {
    db::Statement row = TRY(connection.prepare("SELECT changes FROM auth_state"));
    return TRY(row.step()) ? row.integer(0) : int64_t{0};
  });
}

}  // namespace tidemill::auth
