#include "auth/roles.h"

#include "auth/rows.h"

namespace tidemill::auth {
namespace {

constexpr std::string_view kOwnRolePrefix = "__user_";

// As MLflow writes a pattern.
std::string_view shown(const Thing& thing) {
  return thing.pattern.empty() ? "*" : std::string_view(thing.pattern);
}

Result<> check_role_name(std::string_view name) {
  if (name.empty()) return fail(Code::kInvalid, "Role name cannot be empty.");
  if (!name.starts_with(kOwnRolePrefix)) return {};
  return fail(Code::kInvalid,
              "Role name '{}' uses the reserved '__user_' prefix, which is held for the per-user permission "
              "representation. Choose a different name.",
              name);
}

Result<std::optional<int64_t>> find_own_role(db::Connection& connection, int64_t user) {
  db::Statement row = TRY(connection.prepare("SELECT id FROM roles WHERE name = ?"));
  std::string name = own_role_name(user);
  return TRY(row.bind(name).step()) ? std::optional(row.integer(0)) : std::nullopt;
}

Result<int64_t> insert_role(db::Connection& connection, std::string_view name,
                            const std::optional<std::string>& description) {
  return connection.insert("INSERT INTO roles (name, description) VALUES (?, ?)", name, description);
}

Result<int64_t> insert_member(db::Connection& connection, int64_t role, int64_t user) {
  return connection.insert("INSERT INTO role_members (role, member) VALUES (?, ?)", role, user);
}

Result<int64_t> own_role(db::Connection& connection, int64_t user) {
  if (auto role = TRY(find_own_role(connection, user))) return *role;
  int64_t role = TRY(insert_role(connection, own_role_name(user), std::nullopt));
  TRY(insert_member(connection, role, user));
  return role;
}

Result<std::optional<Grant>> find_grant(db::Connection& connection, int64_t role, const Thing& thing) {
  db::Statement row = TRY(connection.prepare(fmt::format(
      "SELECT {} FROM role_grants g WHERE g.role = ? AND g.kind = ? AND g.pattern = ?", kGrantColumns)));
  row.bind(role, static_cast<int>(thing.kind), thing.pattern);
  return TRY(row.step()) ? std::optional(read_grant(row)) : std::nullopt;
}

Result<std::optional<Grant>> find_own_grant(db::Connection& connection, std::string_view user,
                                            const Thing& thing) {
  auto role = TRY(find_own_role(connection, TRY(find_user(connection, user)).id));
  if (!role) return std::optional<Grant>();
  return find_grant(connection, *role, thing);
}

Result<int64_t> insert_grant(db::Connection& connection, int64_t role, const Thing& thing,
                             Permission permission) {
  return connection.insert("INSERT INTO role_grants (role, kind, pattern, permission) VALUES (?, ?, ?, ?)",
                           role, static_cast<int>(thing.kind), thing.pattern, static_cast<int>(permission));
}

Result<std::vector<Grant>> grants_of(db::Connection& connection, int64_t role,
                                     std::string_view order = "g.id") {
  std::vector<Grant> grants;
  db::Statement row = TRY(connection.prepare(
      fmt::format("SELECT {} FROM role_grants g WHERE g.role = ? ORDER BY {}", kGrantColumns, order)));
  row.bind(role);
  while (TRY(row.step())) grants.push_back(read_grant(row));
  return grants;
}

Error no_grant(std::string_view user, const Thing& thing) {
  return {Code::kNotFound,
          fmt::format("Permission for user={} on resource_type={}, resource_id={} not found.", user,
                      to_string(thing.kind), shown(thing))};
}

Result<Role> find_role(db::Connection& connection, int64_t id) {
  Role role;
  {
    db::Statement row = TRY(connection.prepare("SELECT id, name, description FROM roles WHERE id = ?"));
    if (!TRY(row.bind(id).step())) return fail(Code::kNotFound, "Role with id={} not found", id);
    role.id = row.integer(0);
    role.name = row.text(1);
    if (!row.is_null(2)) role.description = row.text(2);
  }
  role.grants = TRY(grants_of(connection, id));
  return role;
}

Result<Grant> grant_by_id(db::Connection& connection, int64_t id) {
  db::Statement row =
      TRY(connection.prepare(fmt::format("SELECT {} FROM role_grants g WHERE g.id = ?", kGrantColumns)));
  if (TRY(row.bind(id).step())) return read_grant(row);
  return fail(Code::kNotFound, "Role permission with id={} not found", id);
}

Result<> check_role_free(db::Connection& connection, std::string_view name, int64_t but) {
  db::Statement taken = TRY(connection.prepare("SELECT 1 FROM roles WHERE name = ? AND id <> ?"));
  if (!TRY(taken.bind(name, but).step())) return {};
  return fail(Code::kConflict, "Role with name={} already exists in workspace=default", name);
}

// The roles that a query's only column names.
Result<std::vector<Role>> read_roles(db::Connection& connection, db::Statement ids) {
  std::vector<int64_t> found;
  while (TRY(ids.step())) found.push_back(ids.integer(0));
  std::vector<Role> roles;
  for (int64_t id : found) roles.push_back(TRY(find_role(connection, id)));
  return roles;
}

}  // namespace

Result<> check_grantable(const Thing& thing, Permission permission) {
  if (thing.kind == Kind::kWorkspace) {
    if (!thing.pattern.empty())
      return fail(
          Code::kInvalid,
          "Invalid resource_pattern '{}' for resource_type='workspace'. This resource type supports only "
          "wildcard ('*') grants.",
          thing.pattern);
    if (permission == Permission::kUse || permission == Permission::kManage) return {};
    return fail(Code::kInvalid,
                "Invalid permission '{}' for resource_type='workspace'. Workspace-wide grants accept only: "
                "('MANAGE', 'USE').",
                to_string(permission));
  }
  if (permission != Permission::kNone) return {};
  return fail(
      Code::kInvalid,
      "Invalid permission 'NO_PERMISSIONS' for resource_type='{}'. Resource-level grants accept only: "
      "('DENY', 'EDIT', 'MANAGE', 'READ', 'USE').",
      to_string(thing.kind));
}

Result<> Roles::grant(std::string_view user, const Thing& thing, Permission permission) {
  return change(store_, [&](db::Connection& connection) -> Result<> {
    int64_t role = TRY(own_role(connection, TRY(find_user(connection, user)).id));
    if (TRY(find_grant(connection, role, thing)))
      return fail(Code::kConflict,
                  "Permission for user={} on resource_type={}, resource_id={} already exists.", user,
                  to_string(thing.kind), shown(thing));
    TRY(insert_grant(connection, role, thing, permission));
    return {};
  });
}

Result<> Roles::set(std::string_view user, const Thing& thing, Permission permission) {
  return change(store_, [&](db::Connection& connection) -> Result<> {
    int64_t role = TRY(own_role(connection, TRY(find_user(connection, user)).id));
    return connection.run(
        "INSERT INTO role_grants (role, kind, pattern, permission) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (role, kind, pattern) DO UPDATE SET permission = excluded.permission",
        role, static_cast<int>(thing.kind), thing.pattern, static_cast<int>(permission));
  });
}

Result<> Roles::revoke(std::string_view user, const Thing& thing) {
  return change(store_, [&](db::Connection& connection) -> Result<> {
    auto grant = TRY(find_own_grant(connection, user, thing));
    if (!grant) return tl::unexpected<Error>(no_grant(user, thing));
    return connection.run("DELETE FROM role_grants WHERE id = ?", grant->id);
  });
}

Result<Grant> Roles::find(std::string_view user, const Thing& thing) {
  return read<Grant>(store_, [&](db::Connection& connection) -> Result<Grant> {
    auto grant = TRY(find_own_grant(connection, user, thing));
    if (!grant) return tl::unexpected<Error>(no_grant(user, thing));
    return *grant;
  });
}

Result<std::vector<Grant>> Roles::own_grants(std::string_view user) {
  using List = std::vector<Grant>;
  return read<List>(store_, [&](db::Connection& connection) -> Result<List> {
    auto role = TRY(find_own_role(connection, TRY(find_user(connection, user)).id));
    return role ? grants_of(connection, *role, "g.kind, g.pattern") : List();
  });
}

Result<Role> Roles::create(std::string_view name, const std::optional<std::string>& description) {
  TRY(check_role_name(name));
  Role role{.name = std::string(name), .description = description};
  TRY(change(store_, [&](db::Connection& connection) -> Result<> {
    TRY(check_role_free(connection, name, 0));
    role.id = TRY(insert_role(connection, name, description));
    return {};
  }));
  return role;
}

Result<Role> Roles::get(int64_t role) {
  return read<Role>(store_, [&](db::Connection& connection) { return find_role(connection, role); });
}

Result<std::vector<Role>> Roles::list() {
  return read<std::vector<Role>>(store_, [&](db::Connection& connection) -> Result<std::vector<Role>> {
    return read_roles(connection, TRY(connection.prepare("SELECT id FROM roles ORDER BY id")));
  });
}

Result<std::vector<Role>> Roles::list_of(std::string_view user) {
  return read<std::vector<Role>>(store_, [&](db::Connection& connection) -> Result<std::vector<Role>> {
    int64_t id = TRY(find_user(connection, user)).id;
    db::Statement ids =
        TRY(connection.prepare("SELECT role FROM role_members WHERE member = ? ORDER BY role"));
    ids.bind(id);
    return read_roles(connection, std::move(ids));
  });
}

Result<Role> Roles::update(int64_t id, const std::optional<std::string>& name,
                           const std::optional<std::string>& description) {
  if (name) TRY(check_role_name(*name));
  Role role;
  TRY(change(store_, [&](db::Connection& connection) -> Result<> {
    TRY(find_role(connection, id));
    if (name) {
      TRY(check_role_free(connection, *name, id));
      TRY(connection.run("UPDATE roles SET name = ? WHERE id = ?", *name, id));
    }
    if (description) TRY(connection.run("UPDATE roles SET description = ? WHERE id = ?", *description, id));
    role = TRY(find_role(connection, id));
    return {};
  }));
  return role;
}

Result<> Roles::remove(int64_t id) {
  return change(store_, [&](db::Connection& connection) -> Result<> {
    TRY(find_role(connection, id));
    TRY(connection.run("DELETE FROM role_grants WHERE role = ?", id));
    TRY(connection.run("DELETE FROM role_members WHERE role = ?", id));
    return connection.run("DELETE FROM roles WHERE id = ?", id);
  });
}

Result<Grant> Roles::add_grant(int64_t role, const Thing& thing, Permission permission) {
  TRY(check_grantable(thing, permission));
  Grant grant{.role = role, .kind = thing.kind, .pattern = thing.pattern, .permission = permission};
  TRY(change(store_, [&](db::Connection& connection) -> Result<> {
    TRY(find_role(connection, role));
    if (TRY(find_grant(connection, role, thing)))
      return fail(Code::kConflict,
                  "Role permission (role_id={}, resource_type={}, resource_pattern={}) already exists.", role,
                  to_string(thing.kind), shown(thing));
    grant.id = TRY(insert_grant(connection, role, thing, permission));
    return {};
  }));
  return grant;
}

Result<Grant> Roles::get_grant(int64_t id) {
  return read<Grant>(store_, [&](db::Connection& connection) { return grant_by_id(connection, id); });
}

Result<Grant> Roles::update_grant(int64_t id, Permission permission) {
  Grant grant;
  TRY(change(store_, [&](db::Connection& connection) -> Result<> {
    grant = TRY(grant_by_id(connection, id));
    TRY(check_grantable({grant.kind, grant.pattern}, permission));
    grant.permission = permission;
    return connection.run("UPDATE role_grants SET permission = ? WHERE id = ?", static_cast<int>(permission),
                          id);
  }));
  return grant;
}

Result<> Roles::remove_grant(int64_t id) {
  return change(store_, [&](db::Connection& connection) -> Result<> {
    TRY(grant_by_id(connection, id));
    return connection.run("DELETE FROM role_grants WHERE id = ?", id);
  });
}

Result<Membership> Roles::assign(std::string_view user, int64_t role) {
  Membership made{.role = role};
  TRY(change(store_, [&](db::Connection& connection) -> Result<> {
    made.user = TRY(find_user(connection, user)).id;
    TRY(find_role(connection, role));
    db::Statement present =
        TRY(connection.prepare("SELECT 1 FROM role_members WHERE member = ? AND role = ?"));
    if (TRY(present.bind(made.user, role).step()))
      return fail(Code::kConflict, "User role assignment (user_id={}, role_id={}) already exists", made.user,
                  role);
    made.id = TRY(insert_member(connection, role, made.user));
    return {};
  }));
  return made;
}

Result<> Roles::unassign(std::string_view user, int64_t role) {
  return change(store_, [&](db::Connection& connection) -> Result<> {
    int64_t id = TRY(find_user(connection, user)).id;
    TRY(connection.run("DELETE FROM role_members WHERE member = ? AND role = ?", id, role));
    if (TRY(connection.changes()) > 0) return {};
    return fail(Code::kNotFound, "User role assignment (user_id={}, role_id={}) not found", id, role);
  });
}

Result<std::vector<Membership>> Roles::members(int64_t role) {
  using List = std::vector<Membership>;
  return read<List>(store_, [&](db::Connection& connection) -> Result<List> {
    TRY(find_role(connection, role));
    List members;
    db::Statement row =
        TRY(connection.prepare("SELECT id, role, member FROM role_members WHERE role = ? ORDER BY id"));
    row.bind(role);
    while (TRY(row.step())) members.push_back({row.integer(0), row.integer(1), row.integer(2)});
    return members;
  });
}

}  // namespace tidemill::auth
