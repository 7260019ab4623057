#include <gtest/gtest.h>

#include <thread>

#include "auth/login.h"
#include "auth/roles.h"
#include "auth/test_users.h"
#include "auth/users.h"
#include "base/time.h"
#include "test_database.h"

namespace tidemill::auth {
namespace {

using namespace std::chrono_literals;
using Fresh = Login::Fresh;
using Outcome = Admission::Kind;

class LoginTest : public testing::Test {
 protected:
  Outcome login(const std::string& user, const std::string& secret, Login::Time now = Login::Time() + 1h) {
    auto admission = login_.admit({user, secret}, "192.0.2.1", Fresh::kNow, now);
    EXPECT_TRUE(admission) << admission.error().message;
    return admission->kind;
  }

  TempDir dir_ = TempDir::create().value();
  tracking::Store store_ = tracking::Store::open({.uri = test::new_database(dir_.path() / "t.db")}).value();
  Users users_{store_};
  Login login_{store_, Permission::kRead};
  const std::string good_ = std::string(test::kPassword), other_ = "another long one";
};

TEST_F(LoginTest, OnlyTheRightPasswordOfTheUserIsTaken) {
  test::add_user(store_, "ada");
  ASSERT_TRUE(users_.create("bob", other_));
  EXPECT_EQ(login("ada", good_), Outcome::kWelcome);
  EXPECT_EQ(login("ada", other_), Outcome::kUnknown);
  EXPECT_EQ(login("bob", good_), Outcome::kUnknown);
  EXPECT_EQ(login("nobody", good_), Outcome::kUnknown);
  EXPECT_EQ(login("", good_), Outcome::kUnknown);
  EXPECT_EQ(login("ada", ""), Outcome::kUnknown);
}

TEST_F(LoginTest, AKnownPasswordIsQuickForSomeMinutes) {
  test::add_user(store_, "ada");
  Login::Time now = Login::Time() + 1h;
  EXPECT_FALSE(login_.is_quick({"ada", good_}, now));
  EXPECT_EQ(login("ada", good_, now), Outcome::kWelcome);
  EXPECT_TRUE(login_.is_quick({"ada", good_}, now));
  EXPECT_FALSE(login_.is_quick({"ada", other_}, now));
  EXPECT_FALSE(login_.is_quick({"ada", good_}, now + 2s));  // it is time to ask for changes
  EXPECT_EQ(login("ada", good_, now + 2s), Outcome::kWelcome);
  EXPECT_TRUE(login_.is_quick({"ada", good_}, now + 2s));
  EXPECT_EQ(login("ada", other_, now + 10min), Outcome::kUnknown);
  EXPECT_FALSE(login_.is_quick({"ada", good_}, now + 10min));
}

TEST_F(LoginTest, AChangedPasswordEndsTheOldOneAtOnce) {
  test::add_user(store_, "ada");
  EXPECT_EQ(login("ada", good_), Outcome::kWelcome);
  ASSERT_TRUE(users_.set_password("ada", other_));
  login_.look_again();
  EXPECT_FALSE(login_.is_quick({"ada", good_}, Login::Time() + 1h));
  EXPECT_EQ(login("ada", good_), Outcome::kUnknown);
  EXPECT_EQ(login("ada", other_), Outcome::kWelcome);
}

TEST_F(LoginTest, WhoIsRemovedOrComesBackWithANewPasswordIsNotKnown) {
  test::add_user(store_, "ada");
  EXPECT_EQ(login("ada", good_), Outcome::kWelcome);
  ASSERT_TRUE(users_.remove("ada"));
  EXPECT_EQ(login("ada", good_), Outcome::kUnknown);
  ASSERT_TRUE(users_.create("ada", other_));  // gets the same number
  EXPECT_EQ(login("ada", good_), Outcome::kUnknown);
}

TEST_F(LoginTest, TokensWorkAloneAndInPlaceOfThePassword) {
  test::add_user(store_, "ada");
  ASSERT_TRUE(users_.create("bob", other_));
  std::string token = users_.create_token("ada", "ci", std::nullopt).value();
  EXPECT_EQ(login("", token), Outcome::kWelcome);
  EXPECT_EQ(login("ada", token), Outcome::kWelcome);
  EXPECT_EQ(login("bob", token), Outcome::kUnknown);
  EXPECT_EQ(login("", token + "x"), Outcome::kUnknown);
  EXPECT_EQ(login_.admit({"", token}, "", Fresh::kNow)->access->user().name, "ada");
  ASSERT_TRUE(users_.revoke_token("ada", "ci"));
  EXPECT_EQ(login("", token), Outcome::kUnknown);
}

TEST_F(LoginTest, ATokenThatHasEndedIsNotTaken) {
  test::add_user(store_, "ada");
  std::string token = users_.create_token("ada", "old", now_ms() - 1).value();
  EXPECT_EQ(login("ada", token), Outcome::kUnknown);
}

TEST_F(LoginTest, NewRightsAreSeenByTheNextRequest) {
  test::add_user(store_, "ada");
  Credentials ada{"ada", good_};
  auto before = login_.admit(ada, "", Fresh::kNow)->access;
  EXPECT_FALSE(before->may(Right::kEdit, Kind::kExperiment, "7"));
  ASSERT_TRUE(Roles(store_).grant("ada", {Kind::kExperiment, "7"}, Permission::kEdit));
  EXPECT_TRUE(login_.admit(ada, "", Fresh::kNow)->access->may(Right::kEdit, Kind::kExperiment, "7"));
}

TEST_F(LoginTest, GuessingIsSlowedDownButDoesNotShutOutWhoIsKnown) {
  test::add_user(store_, "ada");
  std::string token = users_.create_token("ada", "ci", std::nullopt).value();
  EXPECT_EQ(login("ada", good_), Outcome::kWelcome);
  int tried = 0;
  while (tried < 20 && login("ada", fmt::format("a wrong guess {}", tried)) == Outcome::kUnknown) ++tried;
  EXPECT_EQ(tried, 10);
  EXPECT_EQ(login("ada", good_), Outcome::kWelcome);
  EXPECT_EQ(login("ada", token), Outcome::kWelcome);
  EXPECT_EQ(login("ada", other_), Outcome::kTooMany);
  EXPECT_EQ(login("ada", other_, Login::Time() + 1h + 1min), Outcome::kUnknown);
}

TEST_F(LoginTest, ManyRequestsAtOnceAreCheckedOnce) {
  test::add_user(store_, "ada");
  std::atomic<int> welcome = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 16; ++i)
    threads.emplace_back([&] { welcome += login("ada", good_) == Outcome::kWelcome; });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(welcome, 16);  // more than may fail at once
}

}  // namespace
}  // namespace tidemill::auth
