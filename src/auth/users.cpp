#include "auth/users.h"

#include "auth/password.h"
#include "auth/rows.h"
#include "base/base64.h"
#include "base/hash.h"
#include "base/id.h"
#include "base/text.h"
#include "base/time.h"

namespace tidemill::auth {
namespace {

constexpr size_t kMaxNameBytes = 255;
constexpr size_t kTokenBytes = 32;

// Basic authentication ends the name at the first colon.
Result<> check_user_name(std::string_view name) {
  if (name.empty()) return fail(Code::kInvalid, "Username cannot be empty.");
  bool good = name.size() <= kMaxNameBytes && is_utf8(name) && trim(name) == name &&
              std::none_of(name.begin(), name.end(), [](char c) {
                return c == ':' || static_cast<unsigned char>(c) < 0x20 || c == 0x7F;
              });
  if (good) return {};
  return fail(
      Code::kInvalid,
      "Invalid username '{}': at most {} bytes, without ':', control characters and spaces at its ends", name,
      kMaxNameBytes);
}

Result<> check_other_admin(db::Connection& connection, const User& user) {
  if (!user.is_admin) return {};
  db::Statement others = TRY(connection.prepare("SELECT 1 FROM users WHERE admin = 1 AND id <> ?"));
  if (TRY(others.bind(user.id).step())) return {};
  return fail(Code::kInvalid, "User '{}' is the last administrator: make another one first", user.name);
}

}  // namespace

Result<User> find_user(db::Connection& connection, std::string_view name) {
  db::Statement row = TRY(connection.prepare("SELECT id, name, admin FROM users WHERE name = ?"));
  if (!TRY(row.bind(name).step())) return fail(Code::kNotFound, "User with username={} not found", name);
  return User{row.integer(0), std::string(row.text(1)), row.integer(2) == 1};
}

std::string own_role_name(int64_t user) { return fmt::format("__user_{}__", user); }

Result<User> Users::create(std::string_view name, std::string_view password, Admin admin) {
  TRY(check_user_name(name));
  TRY(check_password(password));
  std::string hash = TRY(hash_password(password));
  User user{.id = 0, .name = std::string(name), .is_admin = admin == Admin::kYes};
  TRY(change(store_, [&](db::Connection& connection) -> Result<> {
    if (find_user(connection, name)) return fail(Code::kConflict, "User (username={}) already exists.", name);
    user.id = TRY(connection.insert("INSERT INTO users (name, password, admin, created) VALUES (?, ?, ?, ?)",
                                    name, hash, user.is_admin, now_ms()));
    return {};
  }));
  return user;
}

Result<User> Users::find(std::string_view name) {
  return read<User>(store_, [&](db::Connection& connection) { return find_user(connection, name); });
}

Result<std::vector<User>> Users::list() {
  using List = std::vector<User>;
  return read<List>(store_, [&](db::Connection& connection) -> Result<List> {
    List users;
    db::Statement row = TRY(connection.prepare("SELECT id, name, admin FROM users ORDER BY name"));
    while (TRY(row.step())) users.push_back({row.integer(0), std::string(row.text(1)), row.integer(2) == 1});
    return users;
  });
}

Result<> Users::set_password(std::string_view name, std::string_view password) {
  TRY(check_password(password));
  std::string hash = TRY(hash_password(password));
  return change(store_, [&](db::Connection& connection) -> Result<> {
    return connection.run("UPDATE users SET password = ? WHERE id = ?", hash,
                          TRY(find_user(connection, name)).id);
  });
}

Result<> Users::set_admin(std::string_view name, Admin admin) {
  return change(store_, [&](db::Connection& connection) -> Result<> {
    User user = TRY(find_user(connection, name));
    if (admin == Admin::kNo) TRY(check_other_admin(connection, user));
    return connection.run("UPDATE users SET admin = ? WHERE id = ?", admin == Admin::kYes, user.id);
  });
}

Result<> Users::remove(std::string_view name) {
  return change(store_, [&](db::Connection& connection) -> Result<> {
    User user = TRY(find_user(connection, name));
    TRY(check_other_admin(connection, user));
    std::string role = own_role_name(user.id);
    TRY(connection.run("DELETE FROM role_grants WHERE role IN (SELECT id FROM roles WHERE name = ?)", role));
    TRY(connection.run("DELETE FROM role_members WHERE role IN (SELECT id FROM roles WHERE name = ?)", role));
    TRY(connection.run("DELETE FROM roles WHERE name = ?", role));
    TRY(connection.run("DELETE FROM role_members WHERE member = ?", user.id));
    TRY(connection.run("DELETE FROM user_tokens WHERE owner = ?", user.id));
    return connection.run("DELETE FROM users WHERE id = ?", user.id);
  });
}

Result<std::string> Users::create_token(std::string_view user, std::string_view name,
                                        std::optional<int64_t> expires) {
  if (name.empty() || name.size() > kMaxNameBytes || !is_utf8(name))
    return fail(Code::kInvalid, "a token's name has 1 to {} bytes", kMaxNameBytes);
  std::string token = fmt::format("{}{}", kTokenPrefix, base64url_encode(random_bytes(kTokenBytes)));
  TRY(change(store_, [&](db::Connection& connection) -> Result<> {
    int64_t owner = TRY(find_user(connection, user)).id;
    db::Statement taken = TRY(connection.prepare("SELECT 1 FROM user_tokens WHERE owner = ? AND name = ?"));
    if (TRY(taken.bind(owner, name).step()))
      return fail(Code::kConflict, "User '{}' has a token named '{}' already", user, name);
    return connection.run(
        "INSERT INTO user_tokens (owner, name, sha256, created, expires) VALUES (?, ?, ?, ?, ?)", owner, name,
        sha256_hex(token), now_ms(), expires);
  }));
  return token;
}

Result<std::vector<Token>> Users::tokens(std::string_view user) {
  using List = std::vector<Token>;
  return read<List>(store_, [&](db::Connection& connection) -> Result<List> {
    List tokens;
    db::Statement row = TRY(
        connection.prepare("SELECT name, created, expires FROM user_tokens WHERE owner = ? ORDER BY name"));
    row.bind(TRY(find_user(connection, user)).id);
    while (TRY(row.step()))
      tokens.push_back({std::string(row.text(0)), row.integer(1), row.optional_integer(2)});
    return tokens;
  });
}

Result<> Users::revoke_token(std::string_view user, std::string_view name) {
  return change(store_, [&](db::Connection& connection) -> Result<> {
    int64_t owner = TRY(find_user(connection, user)).id;
    TRY(connection.run("DELETE FROM user_tokens WHERE owner = ? AND name = ?", owner, name));
    if (TRY(connection.changes()) > 0) return {};
    return fail(Code::kNotFound, "User '{}' has no token named '{}'", user, name);
  });
}

}  // namespace tidemill::auth
