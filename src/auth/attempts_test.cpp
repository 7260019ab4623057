#include <gtest/gtest.h>

#include "auth/attempts.h"

namespace tidemill::auth {
namespace {

using namespace std::chrono_literals;

TEST(Attempts, AfterAFewFailuresOneIsLeftForEachInterval) {
  Attempts attempts(3, 10s);
  Attempts::Time now{};
  for (int i = 0; i < 3; ++i) EXPECT_EQ(attempts.begin("ada", now), 0ms);
  EXPECT_EQ(attempts.begin("ada", now), 10s);
  EXPECT_EQ(attempts.begin("ada", now + 4s), 6s);
  EXPECT_EQ(attempts.begin("ada", now + 10s), 0ms);
  EXPECT_GT(attempts.begin("ada", now + 10s), 0ms);
}

TEST(Attempts, OthersAreNotHeldUp) {
  Attempts attempts(1, 10s);
  EXPECT_EQ(attempts.begin("ada", {}), 0ms);
  EXPECT_GT(attempts.begin("ada", {}), 0ms);
  EXPECT_EQ(attempts.begin("eve", {}), 0ms);
}

TEST(Attempts, SuccessDoesNotCount) {
  Attempts attempts(1, 10s);
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(attempts.begin("ada", {}), 0ms);
    attempts.forgive("ada");
  }
}

}  // namespace
}  // namespace tidemill::auth
