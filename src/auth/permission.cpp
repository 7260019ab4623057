#include "auth/permission.h"

#include <algorithm>

namespace tidemill::auth {
namespace {

constexpr std::array<std::string_view, 6> kPermissions = {"DENY", "NO_PERMISSIONS", "READ",
                                                          "USE",  "EDIT",           "MANAGE"};
constexpr std::array<std::string_view, kKinds> kKindNames = {"workspace", "experiment", "registered_model"};

Permission both(Permission a, Permission b) {
  if (a == Permission::kDeny || b == Permission::kDeny) return Permission::kDeny;
  return std::max(a, b);
}

void fold(std::optional<Permission>& into, Permission more) { into = into ? both(*into, more) : more; }

}  // namespace

std::string_view to_string(Permission permission) { return kPermissions[static_cast<size_t>(permission)]; }

Result<Permission> parse_permission(std::string_view name) {
  auto found = std::find(kPermissions.begin(), kPermissions.end(), name);
  if (found != kPermissions.end()) return static_cast<Permission>(found - kPermissions.begin());
  return fail(Code::kInvalid,
              "Invalid permission '{}'. Valid permissions are: ('READ', 'USE', 'EDIT', 'MANAGE', "
              "'NO_PERMISSIONS', 'DENY')",
              name);
}

bool allows(Permission permission, Right right) {
  switch (right) {
    case Right::kRead:
      return permission >= Permission::kRead;
    case Right::kEdit:
      return permission >= Permission::kEdit;
    default:
      return permission == Permission::kManage;
  }
}

std::string_view to_string(Kind kind) { return kKindNames[static_cast<size_t>(kind)]; }

Result<Kind> parse_kind(std::string_view name) {
  auto found = std::find(kKindNames.begin(), kKindNames.end(), name);
  if (found != kKindNames.end()) return static_cast<Kind>(found - kKindNames.begin());
  return fail(
      Code::kInvalid,
      "Invalid resource type '{}'. Valid resource types are: ('experiment', 'registered_model', 'workspace')",
      name);
}

Access::Access(User user, Permission default_permission, const std::vector<Grant>& grants)
    : user_(std::move(user)), default_(default_permission), manages_(user_.is_admin) {
  for (const Grant& grant : grants)
    if (grant.pattern.empty()) fold(granted_[static_cast<size_t>(grant.kind)].on_all, grant.permission);
  for (const Grant& grant : grants) {
    if (grant.pattern.empty()) continue;
    Granted& granted = granted_[static_cast<size_t>(grant.kind)];
    Permission permission = granted.on_all ? both(*granted.on_all, grant.permission) : grant.permission;
    auto [place, is_new] = granted.by_name.emplace(grant.pattern, permission);
    if (!is_new) place->second = both(place->second, permission);
  }
  manages_ = manages_ || granted(Kind::kWorkspace).on_all == Permission::kManage;
}

Permission Access::or_default(std::optional<Permission> granted) const {
  if (!granted) return default_;
  return *granted <= Permission::kNone ? *granted : std::max(*granted, default_);
}

Permission Access::permission(Kind kind, std::string_view name) const {
  if (manages_) return Permission::kManage;
  const auto& by_name = granted(kind).by_name;
  auto found = by_name.find(name);
  return found == by_name.end() ? permission(kind) : or_default(found->second);
}

Permission Access::permission(Kind kind) const {
  return manages_ ? Permission::kManage : or_default(granted(kind).on_all);
}

bool Access::may_create(Kind kind) const { return manages_ || granted(kind).on_all != Permission::kDeny; }

tracking::Visible Access::visible(Kind kind) const {
  using Which = tracking::Visible::Which;
  if (manages_) return {};
  bool usually = allows(permission(kind), Right::kRead);
  tracking::Visible visible{.which = usually ? Which::kAllBut : Which::kOnly};
  for (const auto& [name, granted] : granted(kind).by_name)
    if (allows(or_default(granted), Right::kRead) != usually) visible.names.push_back(name);
  return visible;
}

}  // namespace tidemill::auth
