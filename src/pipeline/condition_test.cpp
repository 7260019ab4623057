#include "pipeline/condition.h"

#include <gmock/gmock.h>

#include <map>

namespace tidemill::pipeline {
namespace {

using testing::HasSubstr;

// References stand for the values of this map, by their last word.
Result<Truth> truth(std::string_view text, std::map<std::string, std::string> values = {}) {
  auto condition = config::parse_condition(text, {"p.yaml", 1, 1});
  EXPECT_TRUE(condition) << condition.error().message;
  return evaluate(*condition, [&](const config::Template& value) -> Result<std::string> {
    std::string whole;
    for (const auto& part : value.parts) {
      if (const auto* literal = std::get_if<std::string>(&part)) {
        whole += *literal;
      } else {
        auto found = values.find(std::get<config::Reference>(part).back());
        if (found == values.end()) return fail(Code::kInvalid, "not there");
        whole += found->second;
      }
    }
    return whole;
  });
}
bool holds(std::string_view text, std::map<std::string, std::string> values = {}) {
  auto result = truth(text, std::move(values));
  EXPECT_TRUE(result) << text << ": " << result.error().message;
  return result && result->holds;
}

TEST(Condition, ComparesNumbersAsNumbersAndTheRestAsText) {
  EXPECT_TRUE(holds("1e-1 == 0.10"));
  EXPECT_TRUE(holds("9 < 10"));
  EXPECT_TRUE(holds("${m.a} >= 0.7", {{"a", "0.7"}}));
  EXPECT_FALSE(holds("${m.a} > 0.7", {{"a", "0.7"}}));
  EXPECT_FALSE(holds("${m.a} >= 0", {{"a", "nan"}}));
  EXPECT_TRUE(holds("'a b' == \"a b\""));
  EXPECT_TRUE(holds("full != fast"));
  EXPECT_TRUE(holds("${m.a} == ''", {{"a", ""}}));
  EXPECT_TRUE(holds("lr-${m.a} == lr-1", {{"a", "1"}}));
}

TEST(Condition, NotBindsStrongerThanAndAndAndStrongerThanOr) {
  EXPECT_TRUE(holds("true or false and false"));
  EXPECT_FALSE(holds("(true or false) and false"));
  EXPECT_TRUE(holds("not false and true"));
  EXPECT_FALSE(holds("not (false or true)"));
  EXPECT_TRUE(holds("!false && !(1 == 2) || false"));
  EXPECT_TRUE(holds("order == order and notable != inside"));
  EXPECT_TRUE(holds("(1 == 1) == true"));
}

TEST(Condition, AListHoldsOrDoesNot) {
  EXPECT_TRUE(holds("${m.a} in [simple, vgg11]", {{"a", "vgg11"}}));
  EXPECT_TRUE(holds("1.0 in [2, 1]"));
  EXPECT_FALSE(holds("not 1 in [2, 1]"));
}

TEST(Condition, WhatDoesNotMatterIsNotLookedAt) {
  EXPECT_FALSE(holds("false and ${m.absent} > 1"));
  EXPECT_TRUE(holds("true or ${m.absent} > 1"));
  EXPECT_FALSE(truth("true and ${m.absent} > 1"));
}

TEST(Condition, ShowsTheValues) {
  EXPECT_EQ(truth("${p.mode} == full and ${m.acc} >= 0.7", {{"mode", "full"}, {"acc", "0.61"}})->shown,
            "full == full and 0.61 >= 0.7");
  EXPECT_EQ(truth("${p.mode} in [a, 'b c']", {{"mode", ""}})->shown, "'' in [a, 'b c']");
}

TEST(Condition, RefusesWhatIsNeitherTrueNorFalseAndOrderOfTexts) {
  EXPECT_THAT(truth("full").error().message,
              HasSubstr("p.yaml:1:1: a condition must be true or false, not 'full'"));
  EXPECT_THAT(truth("a < 1").error().message,
              HasSubstr("p.yaml:1:3: '<' needs numbers on both sides, not a < 1"));
}

}  // namespace
}  // namespace tidemill::pipeline
