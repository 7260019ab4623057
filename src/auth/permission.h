// What people may do with things, by MLflow's names and rules: what is granted on a thing by its name and on
// all things of its kind counts together, the highest wins but for DENY, which wins over all; where nothing
// is granted the server's default holds, and a grant of something never means less than that default.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "tracking/visible.h"

namespace tidemill::auth {

enum class Permission { kDeny = 0, kNone = 1, kRead = 2, kUse = 3, kEdit = 4, kManage = 5 };
std::string_view to_string(Permission permission);  // "NO_PERMISSIONS", "READ", ...
Result<Permission> parse_permission(std::string_view name);

enum class Right { kRead, kEdit, kDelete, kManage };
bool allows(Permission permission, Right right);

// What can be granted on. MANAGE of the workspace, there is one, is MANAGE of everything in it.
enum class Kind { kWorkspace = 0, kExperiment = 1, kModel = 2 };
constexpr size_t kKinds = 3;
std::string_view to_string(Kind kind);  // "workspace", "experiment", "registered_model"
Result<Kind> parse_kind(std::string_view name);

struct Grant {
  int64_t id = 0, role = 0;
  Kind kind = Kind::kExperiment;
  std::string pattern;  // an experiment's id or a model's name; "": all
  Permission permission = Permission::kNone;
};

struct User {
  int64_t id = 0;
  std::string name;
  bool is_admin = false;
};

// What one user may do. Never changes: many requests share it.
class Access {
 public:
  Access(User user, Permission default_permission, const std::vector<Grant>& grants);

  const User& user() const { return user_; }
  // Of administrators always MANAGE.
  Permission permission(Kind kind, std::string_view name) const;
  // Of a thing that has no name yet, or none of its own.
  Permission permission(Kind kind) const;
  bool may(Right right, Kind kind, std::string_view name) const {
    return allows(permission(kind, name), right);
  }
  // Anybody who was not denied all things of that kind.
  bool may_create(Kind kind) const;
  bool manages_workspace() const { return manages_; }  // administrators do
  tracking::Visible visible(Kind kind) const;

 private:
  struct Granted {
    std::optional<Permission> on_all;
    std::map<std::string, Permission, std::less<>> by_name;  // with what is granted on all
  };

  const Granted& granted(Kind kind) const { return granted_[static_cast<size_t>(kind)]; }
  Permission or_default(std::optional<Permission> granted) const;

  User user_;
  Permission default_;
  bool manages_;
  std::array<Granted, kKinds> granted_;
};

}  // namespace tidemill::auth
