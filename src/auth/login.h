// Finds out who sends a request and what he may do: by name and password, by name and API token, or by a
// token alone. What was found good is remembered for some minutes (as a keyed hash, not as it is), because a
// password takes long to check; a change of users, tokens or rights is seen at once by this process, and by
// others within a second. Failures are limited by user and by address. Thread-safe.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include "auth/accounts.h"
#include "auth/attempts.h"
#include "auth/permission.h"

namespace tidemill::auth {

struct Credentials {
  std::string user;    // "": whoever owns the token
  std::string secret;  // a password or a token
};

struct Admission {
  enum class Kind { kWelcome, kUnknown, kTooMany };
  Kind kind = Kind::kUnknown;
  std::shared_ptr<const Access> access = {};  // with kWelcome
  std::chrono::milliseconds wait{0};          // with kTooMany: before it makes sense to try again
};

class Login {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // The store must outlive it.
  Login(tracking::Store& store, Permission default_permission);

  // Whether admit(.., kSecondOld, now) will answer without waiting for anything.
  bool is_quick(const Credentials& credentials, Time now = std::chrono::steady_clock::now());
  // kNow asks the database whether anything has changed, kSecondOld at most once in a second. address: of the
  // sender, without its port.
  enum class Fresh { kNow, kSecondOld };
  Result<Admission> admit(const Credentials& credentials, std::string_view address, Fresh fresh,
                          Time now = std::chrono::steady_clock::now());
  // What a user may do, whoever asks. kNotFound.
  Result<std::shared_ptr<const Access>> access_of(const std::string& user);
  // Users, tokens or rights were changed here: the next request sees it.
  void look_again();

 private:
  struct Known {
    std::string user;
    std::string proof;  // the password's hash or the token's, as it was in the account
    Time until;
  };

  std::string key_of(const Credentials& credentials) const;
  bool is_fresh(Time now) const;
  Result<> refresh(Time now);
  std::shared_ptr<const Account> known_account(const std::string& key, Time now);
  Result<std::shared_ptr<const Account>> account(const std::string& user);
  Result<std::shared_ptr<const Account>> verify(const Credentials& credentials, std::string& proof);
  void begin_verifying(const std::string& key);
  Result<Admission> verify_alone(const Credentials& credentials, const std::string& key,
                                 std::string_view address, Time now);
  Result<Admission> try_unknown(const Credentials& credentials, const std::string& key,
                                std::string_view address, Time now);

  Accounts accounts_;
  const std::string hash_key_;
  Attempts by_user_, by_address_;

  std::mutex mutex_;
  std::condition_variable verified_;
  std::unordered_map<std::string, Known> known_;                             // by key_of()
  std::unordered_set<std::string> verifying_;                                // the same
  std::unordered_map<std::string, std::shared_ptr<const Account>> by_name_;  // of those that have logged in
  int64_t changes_ = -1;
  std::atomic<int64_t> asked_at_ = INT64_MIN;  // when changes_ was read, of the steady clock
};

}  // namespace tidemill::auth
