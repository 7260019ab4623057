#include "config/condition.h"

#include <gmock/gmock.h>

namespace tidemill::config {
namespace {

using testing::HasSubstr;

std::string error_of(std::string_view text) {
  auto parsed = parse_condition(text, {"p.yaml", 5, 11});
  return parsed ? "" : parsed.error().message;
}

TEST(Condition, CollectsItsReferences) {
  auto condition = parse_condition("${params.a} == x and not (${steps.b.metrics.c} in [1, ${params.d}])", {});
  ASSERT_TRUE(condition) << condition.error().message;
  std::vector<std::string> found;
  for (const Template* value : condition->templates())
    for (const auto& reference : value->references()) found.push_back(to_string(reference));
  EXPECT_THAT(found, testing::ElementsAre("${params.a}", "${steps.b.metrics.c}", "${params.d}"));
}

TEST(Condition, NamesTheColumnOfAMistake) {
  EXPECT_THAT(error_of("${params.a} == "), HasSubstr("p.yaml:5:26: expected a value"));
  EXPECT_THAT(error_of("a = b"), HasSubstr("p.yaml:5:13: expected the end or an operator"));
  EXPECT_THAT(error_of("(a == b"), HasSubstr("expected ')'"));
  EXPECT_THAT(error_of("a in b"), HasSubstr("expected a list"));
  EXPECT_THAT(error_of("a in [b"), HasSubstr("expected ',' or ']'"));
  EXPECT_THAT(error_of("a == 'b"), HasSubstr("p.yaml:5:16: a text without its closing '"));
  EXPECT_THAT(error_of("a == ${b"), HasSubstr("'${' without '}'"));
  EXPECT_THAT(error_of("a == b c"), HasSubstr("p.yaml:5:18: expected the end or an operator"));
  EXPECT_THAT(error_of(""), HasSubstr("expected a value"));
  EXPECT_THAT(error_of("a == ${b c}"), HasSubstr("is not a reference"));
}

TEST(Condition, HostileDepthAndLengthAreRefused) {
  EXPECT_THAT(error_of(std::string(2000, '(')), HasSubstr("nested too deeply"));
  EXPECT_THAT(error_of(std::string(2000, '!')), HasSubstr("nested too deeply"));
  EXPECT_THAT(error_of(std::string(5000, 'a')), HasSubstr("longer than"));
}

}  // namespace
}  // namespace tidemill::config
