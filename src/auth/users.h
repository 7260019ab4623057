// The people who may log in, and their API tokens. Kept in the store's database; whoever changes something is
// on disk when the call returns. Errors carry MLflow's texts.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "auth/permission.h"
#include "base/result.h"
#include "tracking/store.h"

namespace tidemill::auth {

struct Token {
  std::string name;
  int64_t created = 0;             // ms since 1970
  std::optional<int64_t> expires;  // nullopt: never
};

// All tokens begin so: a secret that begins so is no password.
inline constexpr std::string_view kTokenPrefix = "tidemill_";

enum class Admin { kNo, kYes };

class Users {
 public:
  // The store must outlive it.
  explicit Users(tracking::Store& store) : store_(store) {}

  // kConflict when the name is taken; kInvalid for names that cannot be sent in an Authorization header, and
  // for passwords that check_password refuses.
  Result<User> create(std::string_view name, std::string_view password, Admin admin = Admin::kNo);
  Result<User> find(std::string_view name);  // kNotFound
  Result<std::vector<User>> list();          // by name
  Result<> set_password(std::string_view name, std::string_view password);
  // kInvalid for the last administrator.
  Result<> set_admin(std::string_view name, Admin admin);
  // With tokens, roles and rights; what the user has made stays. kInvalid for the last administrator.
  Result<> remove(std::string_view name);

  // The new token, which cannot be read again. kConflict when the user has one of that name.
  Result<std::string> create_token(std::string_view user, std::string_view name,
                                   std::optional<int64_t> expires);
  Result<std::vector<Token>> tokens(std::string_view user);
  Result<> revoke_token(std::string_view user, std::string_view name);

 private:
  tracking::Store& store_;
};

}  // namespace tidemill::auth
