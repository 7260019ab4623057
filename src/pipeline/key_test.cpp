#include "pipeline/key.h"

#include <gmock/gmock.h>

namespace tidemill::pipeline {
namespace {

using Kind = IngredientKind;

const Ingredients kTrain = {{Kind::kParameter, "lr", "0.1"},
                            {Kind::kCommand, "", "train --lr {lr}"},
                            {Kind::kCode, "train.py", content_value("aaaaaaaaaaaa")},
                            {Kind::kInput, "data", content_value("bbbbbbbbbbbb")}};

Ingredients with(Kind kind, const std::string& name, const std::string& value) {
  Ingredients changed = kTrain;
  for (auto& ingredient : changed)
    if (ingredient.kind == kind && ingredient.name == name) ingredient.value = value;
  return changed;
}

std::string change(const Ingredients& before, const Ingredients& now) {
  return in_short(describe_changes(before, now));
}

TEST(Key, DependsOnEveryIngredientAndNotOnTheirOrder) {
  std::set<std::string> keys = {key_of(kTrain)};
  for (const auto& [kind, name, value] : kTrain) keys.insert(key_of(with(kind, name, value + "x")));
  Ingredients fewer(kTrain.begin(), kTrain.end() - 1);
  keys.insert(key_of(fewer));
  EXPECT_EQ(keys.size(), kTrain.size() + 2);
  EXPECT_EQ(key_of(Ingredients(kTrain.rbegin(), kTrain.rend())), key_of(kTrain));
}

TEST(Key, TextsThatRunIntoEachOtherDiffer) {
  EXPECT_NE(key_of({{Kind::kParameter, "a", "bc"}}), key_of({{Kind::kParameter, "ab", "c"}}));
  EXPECT_NE(key_of({{Kind::kParameter, "a", "b"}, {Kind::kParameter, "c", "d"}}),
            key_of({{Kind::kParameter, "a", "b9:parameter1:c1:d"}}));
}

TEST(Key, AChangeIsToldWithOldAndNewValue) {
  EXPECT_EQ(change(kTrain, kTrain), "");
  EXPECT_EQ(change(kTrain, with(Kind::kParameter, "lr", "0.2")), "parameter lr: 0.1 -> 0.2");
  EXPECT_EQ(change(kTrain, with(Kind::kCode, "train.py", content_value("cccccccccccc"))),
            "code train.py: aaaaaaaa -> cccccccc");
  EXPECT_EQ(change(kTrain, with(Kind::kCommand, "", "train\n--lr {lr}")),
            "command: train --lr {lr} -> train...");
}

TEST(Key, WhatIsNewOrGoneIsToldAndTheRestCounted) {
  Ingredients more = kTrain;
  more.push_back({Kind::kParameter, "epochs", "3"});
  EXPECT_EQ(change(kTrain, more), "parameter epochs is new (3)");
  EXPECT_EQ(change(more, kTrain), "parameter epochs is gone (was 3)");
  EXPECT_EQ(change(more, with(Kind::kInput, "data", "none")),
            "parameter epochs is gone (was 3), and 1 more change");
}

TEST(Key, ChecksThatTakeOutWhatIsBadAreToldInThePipelinesWords) {
  Ingredients with_checks = kTrain, with_others = kTrain;
  with_checks.push_back({Kind::kCommand, std::string(kExclusion), "aaaa"});
  with_others.push_back({Kind::kCommand, std::string(kExclusion), "bbbb"});
  EXPECT_EQ(change(with_checks, kTrain), "validate takes nothing out any more (otherwise: exclude is gone)");
  EXPECT_EQ(change(kTrain, with_checks), "validate takes out what is bad now (otherwise: exclude is new)");
  EXPECT_EQ(change(with_checks, with_others), "what validate takes out has changed");
}

TEST(Key, IngredientsSurviveBeingWrittenAndRead) {
  auto read = ingredients_from_json(ingredients_to_json(kTrain));
  ASSERT_TRUE(read);
  EXPECT_EQ(key_of(*read), key_of(kTrain));
  EXPECT_FALSE(ingredients_from_json("{}"));
  EXPECT_FALSE(ingredients_from_json("[[1,2,3]]"));
}

}  // namespace
}  // namespace tidemill::pipeline
