#include <gtest/gtest.h>

#include "auth/password.h"
#include "base/base64.h"

namespace tidemill::auth {
namespace {

std::string from_hex(std::string_view hex) {
  std::string bytes;
  for (size_t i = 0; i < hex.size(); i += 2)
    bytes += static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16));
  return bytes;
}

TEST(Password, MatchesThePublishedVectorOfScrypt) {  // RFC 7914, section 12: the first 32 of its 64 bytes
  std::string hash = from_hex("7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2");
  std::string kept =
      fmt::format("$scrypt$ln=14,r=8,p=1${}${}", base64_encode("SodiumChloride"), base64_encode(hash));
  EXPECT_TRUE(password_matches("pleaseletmein", kept));
  EXPECT_FALSE(password_matches("pleaseletmeim", kept));
}

TEST(Password, TheSamePasswordIsKeptDifferentlyEachTime) {
  std::string one = hash_password("correct horse battery").value(),
              two = hash_password("correct horse battery").value();
  EXPECT_NE(one, two);
  EXPECT_TRUE(password_matches("correct horse battery", one));
  EXPECT_TRUE(password_matches("correct horse battery", two));
  EXPECT_FALSE(password_matches("", one));
  EXPECT_EQ(one.find("correct"), std::string::npos);
}

TEST(Password, ADamagedHashMatchesNothing) {
  for (std::string_view kept :
       {"", "$", "$scrypt$$$", "$scrypt$ln=99,r=8,p=1$c2FsdA==$aGFzaA==", "password", "$bcrypt$a$b$c",
        "$scrypt$ln=15,r=8,p=3$!$!", "$scrypt$ln=,r=8,p=3$c2FsdA==$"})
    EXPECT_FALSE(password_matches("password", kept)) << kept;
}

TEST(Password, WeakOnesAreRefused) {
  EXPECT_FALSE(check_password("elevenchars"));
  EXPECT_FALSE(check_password("password1234"));
  EXPECT_FALSE(check_password(std::string(1025, 'x')));
  EXPECT_FALSE(check_password("\u00e4\u00f6\u00fc\u00e4\u00f6\u00fc"));  // twelve bytes, six characters
  EXPECT_TRUE(check_password("twelve chars"));
}

}  // namespace
}  // namespace tidemill::auth
