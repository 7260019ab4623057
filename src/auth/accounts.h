// What the database says of one user, as a login needs it.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "auth/permission.h"
#include "base/result.h"
#include "tracking/store.h"

namespace tidemill::auth {

struct Account {
  Access access;
  std::string password;  // its hash
  struct Token {
    std::string sha256;
    std::optional<int64_t> expires;  // ms since 1970
  };
  std::vector<Token> tokens;

  // Whether it is one of the user's tokens and good at that time.
  bool has_token(std::string_view sha256, int64_t now) const;
};

class Accounts {
 public:
  // The store must outlive it.
  Accounts(tracking::Store& store, Permission default_permission)
      : store_(store), default_permission_(default_permission) {}

  // nullopt: there is no such user.
  Result<std::optional<Account>> find(std::string_view user);
  // Whose token it is; "" when it is nobody's.
  Result<std::string> owner_of_token(std::string_view sha256);
  // Grows with each change of users, tokens, roles and grants, by whatever process.
  Result<int64_t> changes();

 private:
  tracking::Store& store_;
  Permission default_permission_;
};

}  // namespace tidemill::auth
