// Passwords as they are kept: scrypt (RFC 7914), which costs whoever guesses 32 MiB and some tenths of a
// second for each guess, in the PHC string format: "$scrypt$ln=15,r=8,p=3$<salt>$<hash>". Few are computed at
// a time, so that many logins at once do not fill the memory; the others wait.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace tidemill::auth {

constexpr size_t kMinPasswordChars = 12;
constexpr size_t kMaxPasswordBytes = 1024;

// scrypt's parameters; the hash says them, so that they may change.
struct PasswordCost {
  uint64_t log = 15, block = 8, parallel = 3;
};

// kInvalid when it is too short, too long, or one that everybody knows.
Result<> check_password(std::string_view password);
Result<std::string> hash_password(std::string_view password, const PasswordCost& cost = {});
// False also when the hash cannot be read. Takes the same time for every password.
bool password_matches(std::string_view password, std::string_view hash);
// Takes as long as password_matches: whoever asks cannot tell that there is no such user.
void match_nobody(std::string_view password);

}  // namespace tidemill::auth
