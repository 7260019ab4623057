#include "auth/login.h"

#include "auth/password.h"
#include "auth/users.h"
#include "base/hash.h"
#include "base/id.h"
#include "base/time.h"

namespace tidemill::auth {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr minutes kRemembered{5};
constexpr seconds kFreshFor{1};
constexpr size_t kMaxKnown = 10'000;
// Ten mistyped passwords, then one every six seconds; an address may belong to many people.
constexpr int kFailuresOfUser = 10, kFailuresOfAddress = 50;
constexpr seconds kPauseOfUser{6}, kPauseOfAddress{2};

Admission welcome(std::shared_ptr<const Account> account) {
  const Access* access = &account->access;
  return {.kind = Admission::Kind::kWelcome, .access = {std::move(account), access}};
}

bool is_token(const Credentials& credentials) { return credentials.secret.starts_with(kTokenPrefix); }

}  // namespace

Login::Login(tracking::Store& store, Permission default_permission)
    : accounts_(store, default_permission),
      hash_key_(random_bytes(32)),
      by_user_(kFailuresOfUser, kPauseOfUser),
      by_address_(kFailuresOfAddress, kPauseOfAddress) {}

std::string Login::key_of(const Credentials& credentials) const {
  std::string text = credentials.user;
  text += '\0';
  text += credentials.secret;
  return hmac_sha256(hash_key_, text);
}

bool Login::is_fresh(Time now) const {
  int64_t asked = asked_at_.load(std::memory_order_relaxed);
  return asked != INT64_MIN && now - Time(Time::duration(asked)) < kFreshFor;
}

Result<> Login::refresh(Time now) {
  int64_t changes = TRY(accounts_.changes());
  std::lock_guard lock(mutex_);
  asked_at_ = now.time_since_epoch().count();
  if (changes == changes_) return {};
  changes_ = changes;
  by_name_.clear();
  return {};
}

// The account behind credentials that were found good and still are; nullptr when they must be looked at, or
// the account must be read.
std::shared_ptr<const Account> Login::known_account(const std::string& key, Time now) {
  std::lock_guard lock(mutex_);
  auto known = known_.find(key);
  if (known == known_.end()) return nullptr;
  if (known->second.until <= now) {
    known_.erase(known);
    return nullptr;
  }
  auto found = by_name_.find(known->second.user);
  if (found == by_name_.end()) return nullptr;
  const Account& account = *found->second;
  const std::string& proof = known->second.proof;
  return proof == account.password || account.has_token(proof, now_ms()) ? found->second : nullptr;
}

Result<std::shared_ptr<const Access>> Login::access_of(const std::string& user) {
  auto found = TRY(account(user));
  if (!found) return fail(Code::kNotFound, "User with username={} not found", user);
  return std::shared_ptr<const Access>(found, &found->access);
}

void Login::look_again() { asked_at_ = INT64_MIN; }

bool Login::is_quick(const Credentials& credentials, Time now) {
  return is_fresh(now) && known_account(key_of(credentials), now);
}

// nullptr: there is no such user.
Result<std::shared_ptr<const Account>> Login::account(const std::string& user) {
  int64_t changes = 0;
  {
    std::lock_guard lock(mutex_);
    if (auto found = by_name_.find(user); found != by_name_.end()) return found->second;
    changes = changes_;
  }
  auto read = TRY(accounts_.find(user));
  if (!read) return nullptr;
  auto account = std::make_shared<const Account>(std::move(*read));
  std::lock_guard lock(mutex_);
  // What was read before a change that another thread knows of already must not stay.
  if (changes == changes_) by_name_[user] = account;
  return account;
}

// nullptr: they are not good. proof: what of the account says so.
Result<std::shared_ptr<const Account>> Login::verify(const Credentials& credentials, std::string& proof) {
  if (is_token(credentials)) {
    proof = sha256_hex(credentials.secret);
    std::string owner = TRY(accounts_.owner_of_token(proof));
    if (owner.empty() || (!credentials.user.empty() && credentials.user != owner)) return nullptr;
    auto found = TRY(account(owner));
    return found && found->has_token(proof, now_ms()) ? found : nullptr;
  }
  auto found = credentials.user.empty() ? nullptr : TRY(account(credentials.user));
  if (!found) {
    match_nobody(credentials.secret);
    return nullptr;
  }
  proof = found->password;
  return password_matches(credentials.secret, proof) ? found : nullptr;
}

Result<Admission> Login::try_unknown(const Credentials& credentials, const std::string& key,
                                     std::string_view address, Time now) {
  // Tokens cannot be guessed, so nobody who does not know one can shut its owner out.
  std::string who = is_token(credentials) ? "" : credentials.user;
  milliseconds wait = by_address_.begin(address, now);
  if (wait.count() == 0 && !who.empty()) {
    wait = by_user_.begin(who, now);
    if (wait.count() > 0) by_address_.forgive(address);
  }
  if (wait.count() > 0) return Admission{.kind = Admission::Kind::kTooMany, .wait = wait};
  std::string proof;
  auto account = verify(credentials, proof);
  if (account && !*account) return Admission{};
  by_address_.forgive(address);
  if (!who.empty()) by_user_.forgive(who);
  if (!account) return tl::unexpected<Error>(std::move(account).error());
  std::lock_guard lock(mutex_);
  if (known_.size() >= kMaxKnown)
    std::erase_if(known_, [&](const auto& entry) { return entry.second.until <= now; });
  if (known_.size() >= kMaxKnown) known_.clear();
  known_[key] = {
      .user = (*account)->access.user().name, .proof = std::move(proof), .until = now + kRemembered};
  return welcome(std::move(*account));
}

Result<Admission> Login::admit(const Credentials& credentials, std::string_view address, Fresh fresh,
                               Time now) {
  if (fresh == Fresh::kNow || !is_fresh(now)) TRY(refresh(now));
  std::string key = key_of(credentials);
  if (auto account = known_account(key, now)) return welcome(std::move(account));
  begin_verifying(key);
  Result<Admission> admission = verify_alone(credentials, key, address, now);
  std::lock_guard lock(mutex_);
  verifying_.erase(key);
  verified_.notify_all();
  return admission;
}

// Many requests of one program come at once: one of them is checked, the others wait for what is found.
void Login::begin_verifying(const std::string& key) {
  std::unique_lock lock(mutex_);
  verified_.wait(lock, [&] { return !verifying_.contains(key); });
  verifying_.insert(key);
}

Result<Admission> Login::verify_alone(const Credentials& credentials, const std::string& key,
                                      std::string_view address, Time now) {
  std::string user;
  {
    std::lock_guard lock(mutex_);
    if (auto known = known_.find(key); known != known_.end()) user = known->second.user;
  }
  if (!user.empty()) TRY(account(user));
  if (auto account = known_account(key, now)) return welcome(std::move(account));
  return try_unknown(credentials, key, address, now);
}

}  // namespace tidemill::auth
