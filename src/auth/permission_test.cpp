#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "auth/permission.h"

namespace tidemill::auth {
namespace {

using testing::ElementsAre;
using Which = tracking::Visible::Which;

Grant on(Kind kind, std::string pattern, Permission permission) {
  return {.id = 0, .role = 0, .kind = kind, .pattern = std::move(pattern), .permission = permission};
}
Access access(Permission default_permission, std::vector<Grant> grants) {
  return {User{1, "ada", false}, default_permission, grants};
}

TEST(Access, WithoutGrantsTheDefaultHolds) {
  Access ada = access(Permission::kRead, {});
  EXPECT_TRUE(ada.may(Right::kRead, Kind::kExperiment, "7"));
  EXPECT_FALSE(ada.may(Right::kEdit, Kind::kExperiment, "7"));
  EXPECT_EQ(ada.visible(Kind::kModel).which, Which::kAllBut);
  EXPECT_FALSE(ada.manages_workspace());
}

TEST(Access, AGrantNeverMeansLessThanTheDefaultUnlessItForbids) {
  Access ada = access(Permission::kEdit, {on(Kind::kExperiment, "1", Permission::kRead),
                                          on(Kind::kExperiment, "2", Permission::kDeny),
                                          on(Kind::kExperiment, "3", Permission::kNone)});
  EXPECT_EQ(ada.permission(Kind::kExperiment, "1"), Permission::kEdit);
  EXPECT_EQ(ada.permission(Kind::kExperiment, "2"), Permission::kDeny);
  EXPECT_EQ(ada.permission(Kind::kExperiment, "3"), Permission::kNone);
  EXPECT_THAT(ada.visible(Kind::kExperiment).names, ElementsAre("2", "3"));
}

TEST(Access, OfSeveralGrantsTheHighestHoldsButDenyWins) {
  Access ada = access(Permission::kNone,
                      {on(Kind::kModel, "m", Permission::kManage), on(Kind::kModel, "", Permission::kRead),
                       on(Kind::kModel, "x", Permission::kManage), on(Kind::kModel, "x", Permission::kDeny)});
  EXPECT_EQ(ada.permission(Kind::kModel, "m"), Permission::kManage);
  EXPECT_EQ(ada.permission(Kind::kModel, "other"), Permission::kRead);
  EXPECT_EQ(ada.permission(Kind::kModel, "x"), Permission::kDeny);
  Access all_denied = access(Permission::kRead, {on(Kind::kModel, "m", Permission::kManage),
                                                 on(Kind::kModel, "", Permission::kDeny)});
  EXPECT_EQ(all_denied.permission(Kind::kModel, "m"), Permission::kDeny);
  EXPECT_FALSE(all_denied.may_create(Kind::kModel));
  EXPECT_TRUE(all_denied.may_create(Kind::kExperiment));
}

TEST(Access, OneKindSaysNothingOfAnother) {
  Access ada = access(Permission::kNone, {on(Kind::kModel, "7", Permission::kManage)});
  EXPECT_FALSE(ada.may(Right::kRead, Kind::kExperiment, "7"));
  EXPECT_EQ(ada.visible(Kind::kExperiment).which, Which::kOnly);
  EXPECT_TRUE(ada.visible(Kind::kExperiment).names.empty());
}

TEST(Access, AThingNamedLikeTheWildcardIsOneThing) {
  Access ada = access(Permission::kNone, {on(Kind::kModel, "*", Permission::kManage)});
  EXPECT_FALSE(ada.may(Right::kRead, Kind::kModel, "other"));
}

TEST(Access, ManagersOfTheWorkspaceManageEverything) {
  Access ada = access(Permission::kNone, {on(Kind::kWorkspace, "", Permission::kManage),
                                          on(Kind::kModel, "m", Permission::kDeny)});
  EXPECT_TRUE(ada.may(Right::kManage, Kind::kModel, "m"));
  EXPECT_EQ(ada.visible(Kind::kModel).which, Which::kAll);
  Access member = access(Permission::kNone, {on(Kind::kWorkspace, "", Permission::kUse)});
  EXPECT_FALSE(member.manages_workspace());
}

TEST(Permission, NamesAreReadAsTheyAreWritten) {
  for (auto name : {"DENY", "NO_PERMISSIONS", "READ", "USE", "EDIT", "MANAGE"})
    EXPECT_EQ(to_string(parse_permission(name).value()), name);
  EXPECT_FALSE(parse_permission("read"));
  EXPECT_FALSE(parse_kind("run"));
}

}  // namespace
}  // namespace tidemill::auth
