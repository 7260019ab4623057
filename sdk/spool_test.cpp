// The file of what could not be sent: order, restarts, damage, permissions.
#include "spool.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cmath>

namespace tidemill::sdk {
namespace {

constexpr const char* kServer = "http://host:5000";

LogBatch metric(double value) {
  LogBatch batch;
  batch.metrics.push_back({"m", value, 1, 2});
  return batch;
}

class SpoolTest : public ::testing::Test {
 protected:
  TempDir dir_ = TempDir::create().value();
  fs::path folder_ = dir_.path() / "spool";

  std::vector<Spool> left_behind(const std::string& server = kServer) {
    std::vector<Spool> found;
    for (const fs::path& path : Spool::files(folder_))
      if (auto spool = Spool::open(path, server)) found.push_back(std::move(*spool));
    return found;
  }
  fs::path leave(int batches) {
    Spool spool(folder_, kServer, "r");
    for (int i = 0; i < batches; ++i) EXPECT_TRUE(spool.append(metric(i)));
    return spool.path();
  }
};

TEST_F(SpoolTest, NothingIsWrittenUntilThereIsSomethingToKeep) {
  Spool spool(folder_, kServer, "r");
  EXPECT_TRUE(spool.empty());
  EXPECT_FALSE(fs::exists(folder_));
}

TEST_F(SpoolTest, ALaterProgramGoesOnWhereTheFirstStopped) {
  {
    Spool spool(folder_, kServer, "r");
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(spool.append(metric(i)));
    ASSERT_EQ(spool.front()->metrics.at(0).value, 0);
    ASSERT_TRUE(spool.pop());
  }
  auto found = left_behind();
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].run_id(), "r");
  for (int i = 1; i < 3; ++i) {
    EXPECT_EQ(found[0].front()->metrics.at(0).value, i);
    ASSERT_TRUE(found[0].pop());
  }
  EXPECT_TRUE(found[0].empty());
  EXPECT_TRUE(fs::is_empty(folder_));
}

TEST_F(SpoolTest, EveryKindOfEntryComesBackAsItWas) {
  LogBatch batch = metric(std::nan(""));
  batch.metrics.push_back({"i", -INFINITY, 3, -4});
  batch.metrics.push_back({"d", 0.1, 5, 6});
  batch.params = {{"p\n", "ü\""}};
  batch.tags = {{"t", ""}};
  batch.end = RunEnd{"FAILED", 7};
  Spool spool(folder_, kServer, "r");
  ASSERT_TRUE(spool.append(batch));
  LogBatch back = spool.front().value();
  EXPECT_TRUE(std::isnan(back.metrics.at(0).value));
  EXPECT_EQ(back.metrics.at(1).value, -INFINITY);
  EXPECT_EQ(back.metrics.at(2).value, 0.1);
  EXPECT_EQ(back.metrics.at(1).step, -4);
  EXPECT_EQ(back.params, batch.params);
  EXPECT_EQ(back.tags, batch.tags);
  EXPECT_EQ(back.end->status, "FAILED");
}

TEST_F(SpoolTest, OthersCannotReadIt) {
  fs::path path = leave(1);
  struct stat about{};
  ASSERT_EQ(::stat(path.c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 0777, 0600u);
  ASSERT_EQ(::stat(folder_.c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 0777, 0700u);
}

TEST_F(SpoolTest, AFileInUseOrOfAnotherServerIsLeftAlone) {
  Spool used(folder_, kServer, "r");
  ASSERT_TRUE(used.append(metric(1)));
  EXPECT_TRUE(left_behind().empty());
  leave(1);
  EXPECT_TRUE(left_behind("http://elsewhere").empty());
  EXPECT_EQ(left_behind().size(), 1u);
}

TEST_F(SpoolTest, AFileCutOffAnywhereGivesItsWholeBatchesOrNothing) {
  fs::path path = leave(2);
  std::string whole = read_file(path).value();
  for (size_t size = 0; size < whole.size(); ++size) {
    ASSERT_TRUE(write_file_atomic(path, whole.substr(0, size), Durable::no));
    for (Spool& spool : left_behind())
      for (; !spool.empty(); (void)spool.pop()) ASSERT_TRUE(spool.front()) << "cut at " << size;
  }
}

TEST_F(SpoolTest, WhatIsNotASpoolFileIsDamagedAndNamed) {
  fs::path path = leave(1);
  for (const char* text : {"", "x", "tidemill-spool 1 00000000000000000000\n{}\n",
                           "tidemill-spool 1 99999999999999999999\n"
                           R"({"tracking_uri":"http://host:5000","run_id":"r"})"
                           "\n"}) {
    ASSERT_TRUE(write_file_atomic(path, text, Durable::no));
    auto opened = Spool::open(path, kServer);
    ASSERT_FALSE(opened) << text;
    EXPECT_NE(opened.error().message.find(path.string()), std::string::npos);
  }
  fs::path link = folder_ / "1-link.spool";
  fs::create_symlink(path, link);
  EXPECT_FALSE(Spool::open(link, kServer));
}

TEST_F(SpoolTest, ABatchThatIsNoBatchIsAnError) {
  fs::path path = leave(1);
  std::string text = read_file(path).value();
  for (const char* line :
       {"{}", "[1]", "{", R"({"metrics":[{"key":1}],"params":[],"tags":[]})",
        R"({"metrics":[{"key":"k","value":null,"timestamp":1,"step":1}],"params":[],"tags":[]})"}) {
    ASSERT_TRUE(write_file_atomic(path, text.substr(0, text.rfind("{\"metrics")) + line + "\n", Durable::no));
    auto found = left_behind();
    ASSERT_EQ(found.size(), 1u);
    EXPECT_FALSE(found[0].front()) << line;
    found[0].set_aside();
  }
}

}  // namespace
}  // namespace tidemill::sdk
