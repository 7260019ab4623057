// Roles: what is granted to them, and who has them. What is granted to one user alone is a role of his own,
// "__user_<id>__", as in MLflow. Kept in the store's database; whoever changes something is on disk when the
// call returns. Errors carry MLflow's texts.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "auth/permission.h"
#include "base/result.h"
#include "tracking/store.h"

namespace tidemill::auth {

struct Role {
  int64_t id = 0;
  std::string name;
  std::optional<std::string> description;
  std::vector<Grant> grants;  // by id
};

struct Membership {
  int64_t id = 0, role = 0, user = 0;
};

// One thing, or all of a kind: pattern "".
struct Thing {
  Kind kind = Kind::kExperiment;
  std::string pattern;
};

class Roles {
 public:
  // The store must outlive it.
  explicit Roles(tracking::Store& store) : store_(store) {}

  // What a user has on one thing, in the role of his own. grant: kConflict when there is something already.
  // set: replaces what there is. find and revoke: kNotFound when there is nothing.
  Result<> grant(std::string_view user, const Thing& thing, Permission permission);
  Result<> set(std::string_view user, const Thing& thing, Permission permission);
  Result<> revoke(std::string_view user, const Thing& thing);
  Result<Grant> find(std::string_view user, const Thing& thing);
  // All in the role of his own, by kind and pattern.
  Result<std::vector<Grant>> own_grants(std::string_view user);

  // kConflict when the name is taken, kInvalid for names of users' own roles.
  Result<Role> create(std::string_view name, const std::optional<std::string>& description);
  Result<Role> get(int64_t role);    // kNotFound
  Result<std::vector<Role>> list();  // by id
  Result<std::vector<Role>> list_of(std::string_view user);
  Result<Role> update(int64_t role, const std::optional<std::string>& name,
                      const std::optional<std::string>& description);
  Result<> remove(int64_t role);
  Result<Grant> add_grant(int64_t role, const Thing& thing, Permission permission);
  Result<Grant> get_grant(int64_t grant);
  Result<Grant> update_grant(int64_t grant, Permission permission);
  Result<> remove_grant(int64_t grant);
  Result<Membership> assign(std::string_view user, int64_t role);
  Result<> unassign(std::string_view user, int64_t role);
  Result<std::vector<Membership>> members(int64_t role);

 private:
  tracking::Store& store_;
};

// Of the workspace USE and MANAGE can be granted, of everything else all but NO_PERMISSIONS, which only old
// clients grant: it says what an absent grant says.
Result<> check_grantable(const Thing& thing, Permission permission);

}  // namespace tidemill::auth
