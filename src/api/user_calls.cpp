// Users and what is granted to them. The answers have what clients of MLflow 2 and 3 look for.
#include "api/replies.h"
#include "api/role_replies.h"
#include "api/service.h"
#include "auth/roles.h"
#include "auth/users.h"
#include "tracking/validate.h"

namespace tidemill::api {
namespace {

using auth::Kind;
using auth::Permission;
using auth::Roles;
using auth::Thing;
using auth::User;
using auth::Users;

// What is granted on the things of one kind, in the words of MLflow 2. In model "workspace" is what 3 adds.
void write_own_grants(JsonWriter& json, const User& user, const std::vector<auth::Grant>& grants, Kind kind) {
  json.begin_array();
  for (const auth::Grant& grant : grants) {
    if (grant.kind != kind || grant.pattern.empty()) continue;
    json.begin_object().field(kind == Kind::kModel ? "name" : "experiment_id", grant.pattern);
    json.key("user_id").integer(user.id).field("permission", to_string(grant.permission)).end_object();
  }
  json.end_array();
}

void write_names(JsonWriter& json, const User& user) {
  json.key("id").integer(user.id).field("username", user.name).key("is_admin").boolean(user.is_admin);
}

Result<std::string> user_reply(Service& service, const User& user) {
  auto grants = TRY(Roles(service.store).own_grants(user.name));
  JsonWriter json;
  json.begin_object().key("user").begin_object();
  write_names(json, user);
  json.key("experiment_permissions");
  write_own_grants(json, user, grants, Kind::kExperiment);
  json.key("registered_model_permissions");
  write_own_grants(json, user, grants, Kind::kModel);
  json.end_object().end_object();
  return json.take();
}

Result<std::string> permissions_reply(Service& service, const User& user) {
  JsonWriter json;
  json.begin_object().key("is_admin").boolean(user.is_admin).key("permissions").begin_array();
  for (const auth::Role& role : TRY(Roles(service.store).list_of(user.name)))
    for (const auth::Grant& grant : role.grants) {
      json.begin_object().key("role_id").integer(role.id).field("role_name", role.name);
      json.field("workspace", kWorkspaceName).field("resource_type", to_string(grant.kind));
      json.field("resource_pattern", grant.pattern.empty() ? "*" : grant.pattern);
      json.field("permission", to_string(grant.permission)).end_object();
    }
  json.end_array().end_object();
  return json.take();
}

// Whoever has only borrowed a session must not be able to keep it.
Result<> check_current_password(Service& service, const Params& params, const std::string& password) {
  std::string current = TRY(params.text("current_password"));
  if (current.empty())
    return fail(Code::kInvalid, "Current password is required when changing your own password.");
  if (current.starts_with(auth::kTokenPrefix))
    return fail(Code::kInvalid, "Current password does not match.");
  const std::string& name = params.sender()->user().name;
  auto admission = TRY(service.login->admit({name, current}, name, auth::Login::Fresh::kNow));
  if (admission.kind == auth::Admission::Kind::kTooMany)
    return fail(Code::kUnavailable, "Too many wrong passwords. Wait before you try again.");
  if (admission.kind != auth::Admission::Kind::kWelcome)
    return fail(Code::kInvalid, "Current password does not match.");
  if (password == current) return fail(Code::kInvalid, "New password must differ from the current password.");
  return {};
}

// The thing that an old client's call is about.
Result<Thing> thing_of(const Params& params, Kind kind) {
  if (kind == Kind::kModel) return Thing{kind, TRY(params.required_text("name"))};
  int64_t id = TRY(tracking::parse_experiment_id(TRY(params.required_text("experiment_id"))));
  return Thing{kind, std::to_string(id)};
}

Result<std::string> permission_reply(Service& service, const std::string& user, const Thing& thing) {
  auth::Grant grant = TRY(Roles(service.store).find(user, thing));
  bool model = thing.kind == Kind::kModel;
  JsonWriter json;
  json.begin_object().key(model ? "registered_model_permission" : "experiment_permission").begin_object();
  if (model) json.field("workspace", kWorkspaceName);
  json.field(model ? "name" : "experiment_id", thing.pattern);
  json.key("user_id").integer(TRY(Users(service.store).find(user)).id);
  json.field("permission", to_string(grant.permission)).end_object().end_object();
  return json.take();
}

Result<std::string> create_permission(Service& service, const Params& params, Kind kind) {
  std::string user = TRY(params.required_text("username"));
  Thing thing = TRY(thing_of(params, kind));
  Permission permission = TRY(auth::parse_permission(TRY(params.required_text("permission"))));
  TRY(Roles(service.store).grant(user, thing, permission));
  return permission_reply(service, user, thing);
}

Result<std::string> get_permission(Service& service, const Params& params, Kind kind) {
  return permission_reply(service, TRY(params.required_text("username")), TRY(thing_of(params, kind)));
}

Result<std::string> update_permission(Service& service, const Params& params, Kind kind) {
  std::string user = TRY(params.required_text("username"));
  Thing thing = TRY(thing_of(params, kind));
  Permission permission = TRY(auth::parse_permission(TRY(params.required_text("permission"))));
  Roles roles(service.store);
  TRY(roles.find(user, thing));
  TRY(roles.set(user, thing, permission));
  return "{}";
}

Result<std::string> delete_permission(Service& service, const Params& params, Kind kind) {
  TRY(Roles(service.store).revoke(TRY(params.required_text("username")), TRY(thing_of(params, kind))));
  return "{}";
}

// For the calls of newer clients, which name kind and thing, and give the workspace to roles alone.
Result<Thing> granted_thing(const Params& params) {
  Thing thing = TRY(read_thing(params, "resource_id"));
  if (thing.kind != Kind::kWorkspace) return thing;
  return fail(
      Code::kInvalid,
      "resource_type 'workspace' is not supported by the per-user permission convenience APIs. Grant it to a "
      "role.");
}

}  // namespace

Result<std::string> create_user(Service& service, const Params& params) {
  std::string name = TRY(params.text("username")), password = TRY(params.text("password"));
  if (name.empty() || password.empty()) return fail(Code::kInvalid, "Username and password cannot be empty.");
  return user_reply(service, TRY(Users(service.store).create(name, password)));
}

Result<std::string> get_user(Service& service, const Params& params) {
  return user_reply(service, TRY(Users(service.store).find(TRY(params.required_text("username")))));
}

// The roles of others are shown to administrators only.
Result<std::string> list_users(Service& service, const Params& params) {
  JsonWriter json;
  json.begin_object().key("users").begin_array();
  for (const User& user : TRY(Users(service.store).list())) {
    json.begin_object();
    write_names(json, user);
    json.key("roles").begin_array();
    if (params.sender()->manages_workspace() || params.sender()->user().name == user.name)
      for (const auth::Role& role : TRY(Roles(service.store).list_of(user.name))) write(json, role);
    json.end_array().end_object();
  }
  json.end_array().end_object();
  return json.take();
}

Result<std::string> get_current_user(Service&, const Params& params) {
  JsonWriter json;
  json.begin_object().key("user").begin_object();
  write_names(json, params.sender()->user());
  json.end_object().key("is_basic_auth").boolean(true).end_object();
  return json.take();
}

Result<std::string> list_own_permissions(Service& service, const Params& params) {
  return permissions_reply(service, params.sender()->user());
}

Result<std::string> list_user_permissions(Service& service, const Params& params) {
  return permissions_reply(service, TRY(Users(service.store).find(TRY(params.required_text("username")))));
}

Result<std::string> update_user_password(Service& service, const Params& params) {
  std::string name = TRY(params.required_text("username")), password = TRY(params.required_text("password"));
  if (name == params.sender()->user().name) TRY(check_current_password(service, params, password));
  TRY(Users(service.store).set_password(name, password));
  return "{}";
}

Result<std::string> update_user_admin(Service& service, const Params& params) {
  std::string name = TRY(params.required_text("username"));
  auto is_admin = TRY(params.boolean("is_admin"));
  if (!is_admin) return fail(Code::kInvalid, "Missing value for required parameter 'is_admin'.");
  TRY(Users(service.store).set_admin(name, *is_admin ? auth::Admin::kYes : auth::Admin::kNo));
  return "{}";
}

Result<std::string> delete_user(Service& service, const Params& params) {
  std::string name = TRY(params.required_text("username"));
  if (name == params.sender()->user().name)
    return fail(Code::kInvalid,
                "Users cannot delete their own account. Ask another admin to delete this user instead.");
  TRY(Users(service.store).remove(name));
  return "{}";
}

Result<std::string> grant_user_permission(Service& service, const Params& params) {
  std::string user = TRY(params.required_text("username"));
  Thing thing = TRY(granted_thing(params));
  Permission permission = TRY(auth::parse_permission(TRY(params.required_text("permission"))));
  TRY(auth::check_grantable(thing, permission));
  TRY(Roles(service.store).grant(user, thing, permission));
  return "{}";
}

Result<std::string> revoke_user_permission(Service& service, const Params& params) {
  TRY(Roles(service.store).revoke(TRY(params.required_text("username")), TRY(granted_thing(params))));
  return "{}";
}

Result<std::string> get_user_permission(Service& service, const Params& params) {
  Thing thing = TRY(granted_thing(params));
  auto access = TRY(service.login->access_of(TRY(params.required_text("username"))));
  Permission permission =
      thing.pattern.empty() ? access->permission(thing.kind) : access->permission(thing.kind, thing.pattern);
  JsonWriter json;
  json.begin_object().key("allowed").boolean(permission >= Permission::kUse);
  json.field("permission", to_string(permission)).end_object();
  return json.take();
}

Result<std::string> create_experiment_permission(Service& service, const Params& params) {
  return create_permission(service, params, Kind::kExperiment);
}
Result<std::string> get_experiment_permission(Service& service, const Params& params) {
  return get_permission(service, params, Kind::kExperiment);
}
Result<std::string> update_experiment_permission(Service& service, const Params& params) {
  return update_permission(service, params, Kind::kExperiment);
}
Result<std::string> delete_experiment_permission(Service& service, const Params& params) {
  return delete_permission(service, params, Kind::kExperiment);
}
Result<std::string> create_model_permission(Service& service, const Params& params) {
  return create_permission(service, params, Kind::kModel);
}
Result<std::string> get_model_permission(Service& service, const Params& params) {
  return get_permission(service, params, Kind::kModel);
}
Result<std::string> update_model_permission(Service& service, const Params& params) {
  return update_permission(service, params, Kind::kModel);
}
Result<std::string> delete_model_permission(Service& service, const Params& params) {
  return delete_permission(service, params, Kind::kModel);
}

}  // namespace tidemill::api
