#include "sys/mask.h"

#include <gmock/gmock.h>

namespace tidemill {
namespace {

std::string masked(const std::vector<std::string>& secrets, const std::vector<std::string>& pieces) {
  Mask mask(secrets);
  std::string out;
  for (const auto& piece : pieces) out += mask.feed(piece);
  return out + std::string(mask.finish());
}

TEST(Mask, FindsASecretHoweverTheTextIsCut) {
  std::string text = "a hunter22 b hunter2 hunter3 hunhunter22";
  std::string expected = "a *** b hunter2 hunter3 hun***";
  EXPECT_EQ(masked({"hunter22"}, {text}), expected);
  for (size_t cut = 0; cut < text.size(); ++cut)
    EXPECT_EQ(masked({"hunter22"}, {text.substr(0, cut), text.substr(cut)}), expected) << cut;
  std::vector<std::string> letters;
  for (char c : text) letters.emplace_back(1, c);
  EXPECT_EQ(masked({"hunter22"}, letters), expected);
}

TEST(Mask, TheLongestOfSeveralCounts) {
  EXPECT_EQ(masked({"abcd", "abcdefgh"}, {"abcdefgh abcdefg abcd"}), "*** ***efg ***");
  EXPECT_EQ(masked({"abcd", "abcdefgh"}, {"abcdef", "gh"}), "***");
  EXPECT_EQ(masked({"abcd", "abcdefgh"}, {"xabcdef"}), "x***ef");
}

TEST(Mask, KeepsNothingBackThatCannotBeASecret) {
  Mask mask({"secret"});
  EXPECT_EQ(mask.feed("Password: "), "Password: ");
  EXPECT_EQ(mask.feed("is "), "is ");
  EXPECT_EQ(mask.feed("sec"), "");
  EXPECT_EQ(mask.feed("ond"), "second");
}

}  // namespace
}  // namespace tidemill
