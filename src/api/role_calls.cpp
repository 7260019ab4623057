#include "api/replies.h"
#include "api/role_replies.h"
#include "api/service.h"
#include "base/text.h"
#include "tracking/validate.h"

namespace tidemill::api {
namespace {

using auth::Grant;
using auth::Role;
using auth::Roles;
using auth::Thing;

void write(JsonWriter& json, const Grant& grant) {
  json.begin_object().key("id").integer(grant.id).key("role_id").integer(grant.role);
  json.field("resource_type", to_string(grant.kind));
  json.field("resource_pattern", grant.pattern.empty() ? "*" : grant.pattern);
  json.field("permission", to_string(grant.permission)).end_object();
}

std::string role_reply(const Role& role) {
  JsonWriter json;
  json.begin_object().key("role");
  write(json, role);
  json.end_object();
  return json.take();
}

std::string roles_reply(const std::vector<Role>& roles) {
  JsonWriter json;
  json.begin_object().key("roles").begin_array();
  for (const Role& role : roles) write(json, role);
  json.end_array().end_object();
  return json.take();
}

std::string grant_reply(const Grant& grant) {
  JsonWriter json;
  json.begin_object().key("role_permission");
  write(json, grant);
  json.end_object();
  return json.take();
}

Result<> check_workspace(std::string_view name) {
  if (name == kWorkspaceName) return {};
  return fail(Code::kInvalid, "There is no workspace '{}': this server has one, 'default'", name);
}

Result<std::optional<std::string>> optional_text(const Params& params, std::string_view key) {
  std::string text = TRY(params.text(key));
  return params.has(key) ? std::optional(std::move(text)) : std::nullopt;
}

void write(JsonWriter& json, const auth::Membership& membership) {
  json.begin_object().key("id").integer(membership.id).key("user_id").integer(membership.user);
  json.key("role_id").integer(membership.role).end_object();
}

}  // namespace

void write(JsonWriter& json, const Role& role) {
  json.begin_object().key("id").integer(role.id).field("name", role.name).field("workspace", kWorkspaceName);
  if (role.description) json.field("description", *role.description);
  json.key("permissions").begin_array();
  for (const Grant& grant : role.grants) write(json, grant);
  json.end_array().end_object();
}

Result<Thing> read_thing(const Params& params, std::string_view key) {
  Thing thing;
  thing.kind = TRY(auth::parse_kind(TRY(params.required_text("resource_type"))));
  thing.pattern = TRY(params.required_text(key));
  if (thing.pattern == "*") {
    thing.pattern.clear();
  } else if (thing.kind == auth::Kind::kExperiment) {
    thing.pattern = std::to_string(TRY(tracking::parse_experiment_id(thing.pattern)));
  }
  return thing;
}

Result<std::string> create_role(Service& service, const Params& params) {
  std::string name = TRY(params.required_text("name"));
  if (trim(name).empty()) return fail(Code::kInvalid, "Role name cannot be empty.");
  TRY(check_workspace(TRY(params.required_text("workspace"))));
  return role_reply(TRY(Roles(service.store).create(name, TRY(optional_text(params, "description")))));
}

Result<std::string> get_role(Service& service, const Params& params) {
  return role_reply(TRY(Roles(service.store).get(TRY(params.required_integer("role_id")))));
}

Result<std::string> list_roles(Service& service, const Params& params) {
  for (const std::string& workspace : TRY(params.texts("workspace"))) TRY(check_workspace(workspace));
  return roles_reply(TRY(Roles(service.store).list()));
}

Result<std::string> update_role(Service& service, const Params& params) {
  int64_t id = TRY(params.required_integer("role_id"));
  auto name = TRY(optional_text(params, "name")), description = TRY(optional_text(params, "description"));
  if (!name && !description)
    return fail(Code::kInvalid, "At least one of 'name' or 'description' must be provided to update a role.");
  return role_reply(TRY(Roles(service.store).update(id, name, description)));
}

Result<std::string> delete_role(Service& service, const Params& params) {
  TRY(Roles(service.store).remove(TRY(params.required_integer("role_id"))));
  return "{}";
}

Result<std::string> add_role_permission(Service& service, const Params& params) {
  int64_t role = TRY(params.required_integer("role_id"));
  Thing thing = TRY(read_thing(params, "resource_pattern"));
  auth::Permission permission = TRY(auth::parse_permission(TRY(params.required_text("permission"))));
  return grant_reply(TRY(Roles(service.store).add_grant(role, thing, permission)));
}

Result<std::string> remove_role_permission(Service& service, const Params& params) {
  TRY(Roles(service.store).remove_grant(TRY(params.required_integer("role_permission_id"))));
  return "{}";
}

Result<std::string> list_role_permissions(Service& service, const Params& params) {
  Role role = TRY(Roles(service.store).get(TRY(params.required_integer("role_id"))));
  JsonWriter json;
  json.begin_object().key("role_permissions").begin_array();
  for (const Grant& grant : role.grants) write(json, grant);
  json.end_array().end_object();
  return json.take();
}

Result<std::string> update_role_permission(Service& service, const Params& params) {
  int64_t id = TRY(params.required_integer("role_permission_id"));
  auth::Permission permission = TRY(auth::parse_permission(TRY(params.required_text("permission"))));
  return grant_reply(TRY(Roles(service.store).update_grant(id, permission)));
}

Result<std::string> assign_role(Service& service, const Params& params) {
  std::string user = TRY(params.required_text("username"));
  auto membership = TRY(Roles(service.store).assign(user, TRY(params.required_integer("role_id"))));
  JsonWriter json;
  json.begin_object().key("assignment");
  write(json, membership);
  json.end_object();
  return json.take();
}

Result<std::string> unassign_role(Service& service, const Params& params) {
  std::string user = TRY(params.required_text("username"));
  TRY(Roles(service.store).unassign(user, TRY(params.required_integer("role_id"))));
  return "{}";
}

Result<std::string> list_user_roles(Service& service, const Params& params) {
  return roles_reply(TRY(Roles(service.store).list_of(TRY(params.required_text("username")))));
}

Result<std::string> list_role_users(Service& service, const Params& params) {
  auto members = TRY(Roles(service.store).members(TRY(params.required_integer("role_id"))));
  JsonWriter json;
  json.begin_object().key("assignments").begin_array();
  for (const auth::Membership& membership : members) write(json, membership);
  json.end_array().end_object();
  return json.take();
}

}  // namespace tidemill::api
