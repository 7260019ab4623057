#include "sys/left_out.h"

#include <fcntl.h>
#include <gtest/gtest.h>

namespace tidemill {
namespace {

TEST(LeftOut, WhatWasPrintedIsFoundAgainAndWhatIsGoneIsWhereTheNoticeStands) {
  TempDir dir = TempDir::create().value();
  const std::string notice = fmt::format("{} {}{}", kLeftOutBegins, 1000, kLeftOutEnds);
  ASSERT_TRUE(
      write_file_atomic(dir.path() / "log", "first\n... no notice\n" + notice + "last\n", Durable::no));
  const Fd file = open_file(dir.path() / "log", O_RDONLY).value();
  const auto found = find_left_out(file);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->at, 20);
  EXPECT_EQ(found->bytes, 1000);
  EXPECT_EQ(found->size, static_cast<int64_t>(notice.size()));
  EXPECT_EQ(left_out_at(file, 20)->bytes, 1000);
  EXPECT_FALSE(left_out_at(file, 21));
  EXPECT_EQ(found->place_of(7), 7);
  EXPECT_EQ(found->place_of(500), 20) << "in the middle";
  EXPECT_EQ(found->place_of(1022), 22 + found->size);
  for (int64_t place : {int64_t{3}, int64_t{20}, 20 + found->size, 23 + found->size})
    EXPECT_EQ(found->place_of(found->offset_of(place)), place);
}

TEST(LeftOut, ThereIsNoneInAFileThatIsWhole) {
  TempDir dir = TempDir::create().value();
  ASSERT_TRUE(
      write_file_atomic(dir.path() / "log", std::string(3 << 20, '\n') + kLeftOutBegins, Durable::no));
  EXPECT_FALSE(find_left_out(open_file(dir.path() / "log", O_RDONLY).value()));
}

}  // namespace
}  // namespace tidemill
