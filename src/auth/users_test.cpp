// Users, tokens and roles in the store.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "auth/accounts.h"
#include "auth/roles.h"
#include "auth/test_users.h"
#include "auth/users.h"
#include "base/time.h"
#include "test_database.h"
#include "tracking/garbage.h"
#include "tracking/registry.h"

namespace tidemill::auth {
namespace {

using test::add_user;
using test::kPassword;

class UsersTest : public testing::Test {
 protected:
  Access access(std::string_view user) { return accounts_.find(user).value().value().access; }

  TempDir dir_ = TempDir::create().value();
  tracking::Store store_ = tracking::Store::open({.uri = test::new_database(dir_.path() / "t.db")}).value();
  Users users_{store_};
  Roles roles_{store_};
  Accounts accounts_{store_, Permission::kNone};
};

TEST_F(UsersTest, NamesAreTakenOnceAndMustFitAnAuthorizationHeader) {
  ASSERT_TRUE(users_.create("ada", kPassword));
  EXPECT_EQ(users_.create("ada", kPassword).error().code, Code::kConflict);
  for (std::string_view bad : {"", "a:b", " ada", "a\nb", "\xff"})
    EXPECT_FALSE(users_.create(bad, kPassword)) << bad;
  EXPECT_FALSE(users_.create("bob", "short"));
  EXPECT_EQ(users_.find("bob").error().message, "User with username=bob not found");
  EXPECT_EQ(users_.list()->size(), 1u);
}

TEST_F(UsersTest, ThereIsAlwaysAnAdministratorLeft) {
  add_user(store_, "root", test::Admin::kYes);
  add_user(store_, "ada");
  EXPECT_EQ(users_.remove("root").error().code, Code::kInvalid);
  EXPECT_EQ(users_.set_admin("root", Admin::kNo).error().code, Code::kInvalid);
  ASSERT_TRUE(users_.set_admin("ada", Admin::kYes));
  EXPECT_TRUE(users_.remove("root"));
  EXPECT_TRUE(users_.find("ada")->is_admin);
}

TEST_F(UsersTest, WhatAUserHadGoesWithHim) {
  add_user(store_, "ada");
  ASSERT_TRUE(roles_.grant("ada", {Kind::kExperiment, "7"}, Permission::kManage));
  std::string token = users_.create_token("ada", "ci", std::nullopt).value();
  ASSERT_TRUE(users_.remove("ada"));
  EXPECT_FALSE(accounts_.find("ada").value());
  add_user(store_, "eve");  // gets the number that ada had
  EXPECT_FALSE(access("eve").may(Right::kRead, Kind::kExperiment, "7"));
  EXPECT_TRUE(users_.tokens("eve")->empty());
  EXPECT_TRUE(roles_.list()->empty());
}

TEST_F(UsersTest, TokensAreKeptAsHashesAndEnd) {
  add_user(store_, "ada");
  std::string token = users_.create_token("ada", "ci", now_ms() + 60'000).value();
  EXPECT_TRUE(token.starts_with(kTokenPrefix));
  EXPECT_EQ(users_.create_token("ada", "ci", std::nullopt).error().code, Code::kConflict);
  Account account = accounts_.find("ada").value().value();
  ASSERT_EQ(account.tokens.size(), 1u);
  EXPECT_NE(account.tokens[0].sha256, token);
  EXPECT_TRUE(account.has_token(account.tokens[0].sha256, now_ms()));
  EXPECT_FALSE(account.has_token(account.tokens[0].sha256, now_ms() + 61'000));
  ASSERT_TRUE(users_.revoke_token("ada", "ci"));
  EXPECT_EQ(users_.revoke_token("ada", "ci").error().code, Code::kNotFound);
}

TEST_F(UsersTest, EveryChangeIsNoticed) {
  int64_t before = accounts_.changes().value();
  add_user(store_, "ada");
  int64_t made = accounts_.changes().value();
  EXPECT_GT(made, before);
  ASSERT_TRUE(roles_.grant("ada", {Kind::kModel, "m"}, Permission::kRead));
  EXPECT_GT(accounts_.changes().value(), made);
  EXPECT_FALSE(roles_.grant("nobody", {Kind::kModel, "m"}, Permission::kRead));
}

TEST_F(UsersTest, AGrantIsMadeOnceChangedAndTakenBack) {
  add_user(store_, "ada");
  Thing seven{Kind::kExperiment, "7"};
  ASSERT_TRUE(roles_.grant("ada", seven, Permission::kRead));
  EXPECT_EQ(roles_.grant("ada", seven, Permission::kEdit).error().message,
            "Permission for user=ada on resource_type=experiment, resource_id=7 already exists.");
  ASSERT_TRUE(roles_.set("ada", seven, Permission::kEdit));
  EXPECT_EQ(roles_.find("ada", seven)->permission, Permission::kEdit);
  EXPECT_TRUE(access("ada").may(Right::kEdit, Kind::kExperiment, "7"));
  ASSERT_TRUE(roles_.revoke("ada", seven));
  EXPECT_EQ(roles_.revoke("ada", seven).error().code, Code::kNotFound);
  EXPECT_FALSE(access("ada").may(Right::kRead, Kind::kExperiment, "7"));
}

TEST_F(UsersTest, ARoleGivesItsMembersWhatItHas) {
  add_user(store_, "ada");
  Role role = roles_.create("readers", "may read").value();
  EXPECT_EQ(roles_.create("readers", std::nullopt).error().code, Code::kConflict);
  EXPECT_FALSE(roles_.create("__user_1__", std::nullopt));
  Grant grant = roles_.add_grant(role.id, {Kind::kExperiment, ""}, Permission::kRead).value();
  EXPECT_FALSE(access("ada").may(Right::kRead, Kind::kExperiment, "7"));
  ASSERT_TRUE(roles_.assign("ada", role.id));
  EXPECT_EQ(roles_.assign("ada", role.id).error().code, Code::kConflict);
  EXPECT_TRUE(access("ada").may(Right::kRead, Kind::kExperiment, "7"));
  ASSERT_TRUE(roles_.update_grant(grant.id, Permission::kDeny));
  EXPECT_EQ(access("ada").permission(Kind::kExperiment, "7"), Permission::kDeny);
  EXPECT_EQ(roles_.members(role.id)->size(), 1u);
  EXPECT_EQ(roles_.list_of("ada")->front().grants.size(), 1u);
  ASSERT_TRUE(roles_.remove(role.id));
  EXPECT_EQ(access("ada").permission(Kind::kExperiment, "7"), Permission::kNone);
  EXPECT_EQ(roles_.get_grant(grant.id).error().code, Code::kNotFound);
}

TEST_F(UsersTest, RightsFollowAModelToItsNewNameAndEndWithIt) {
  add_user(store_, "ada");
  tracking::Registry registry(store_);
  ASSERT_TRUE(registry.create_model({.name = "m", .description = "", .tags = {}}));
  ASSERT_TRUE(roles_.grant("ada", {Kind::kModel, "m"}, Permission::kManage));
  ASSERT_TRUE(
      roles_.grant("ada", {Kind::kModel, "n"}, Permission::kDeny));  // of a model that is not there yet
  ASSERT_TRUE(registry.rename_model("m", "n"));
  EXPECT_EQ(access("ada").permission(Kind::kModel, "m"), Permission::kNone);
  EXPECT_EQ(access("ada").permission(Kind::kModel, "n"), Permission::kManage);
  ASSERT_TRUE(registry.delete_model("n"));
  EXPECT_EQ(access("ada").permission(Kind::kModel, "n"), Permission::kNone);
}

TEST_F(UsersTest, RightsEndWithAnExperimentThatIsCollected) {
  add_user(store_, "ada");
  std::string id = store_.create_experiment("e").value();
  ASSERT_TRUE(roles_.grant("ada", {Kind::kExperiment, id}, Permission::kManage));
  ASSERT_TRUE(store_.delete_experiment(id));
  EXPECT_EQ(access("ada").permission(Kind::kExperiment, id), Permission::kManage);  // it can be restored
  ASSERT_TRUE(tracking::GarbageCollection(store_).erase_experiment(id));
  EXPECT_EQ(access("ada").permission(Kind::kExperiment, id), Permission::kNone);
}

}  // namespace
}  // namespace tidemill::auth
