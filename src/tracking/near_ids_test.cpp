#include "tracking/near_ids.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <set>

#include "base/files.h"
#include "base/id.h"
#include "test_database.h"
#include "tracking/store.h"

namespace tidemill::tracking {
namespace {

std::string beginning(const std::string& id) { return id.substr(0, 4); }

struct NearIdsTest : testing::Test {
  NearIds ids;
  NearIds::Clock::time_point now = NearIds::Clock::now();

  std::string next(std::chrono::microseconds after) {
    now += after;
    return ids.near_last(new_run_id(), now);
  }
};

constexpr std::chrono::microseconds kAtOnce{10}, kLater{2000};

TEST_F(NearIdsTest, ThoseOfAMomentBeginAlikeAndGoOnAtRandom) {
  std::set<std::string> all, rests;
  std::string first = next(kAtOnce);
  for (int i = 0; i < 8; ++i) {
    std::string id = next(kAtOnce);
    EXPECT_EQ(beginning(id), beginning(first));
    EXPECT_THAT(id, testing::MatchesRegex("[0-9a-f]{12}4[0-9a-f]{3}[89ab][0-9a-f]{15}"));
    all.insert(id);
    rests.insert(id.substr(4, 8));
  }
  EXPECT_EQ(all.size(), 8);
  EXPECT_GT(rests.size(), 6);
}

// A burst of thousands must not fill one place of the index alone.
TEST_F(NearIdsTest, ALongBurstGoesToManyPlaces) {
  std::set<std::string> beginnings;
  for (int i = 0; i < 6400; ++i) beginnings.insert(beginning(next(kAtOnce)));
  EXPECT_GT(beginnings.size(), 80);
  EXPECT_LE(beginnings.size(), 100);
}

TEST_F(NearIdsTest, AfterAPauseAnIdIsAltogetherRandom) {
  std::set<std::string> beginnings;
  for (int i = 0; i < 4; ++i) beginnings.insert(beginning(next(kLater)));
  EXPECT_GT(beginnings.size(), 1);
}

TEST_F(NearIdsTest, RunsThatAreHandedOverTogetherHaveThem) {
  TempDir folder = TempDir::create().value();
  auto store =
      Store::open({.uri = test::new_database(folder.path() / "tidemill.db"), .default_artifact_root = "/"})
          .value();
  int alike = 0;
  for (int round = 0; round < 20; ++round) {
    std::string first, second;
    store.create_run_later({}, [&](Result<tracking::Run> run) { first = run.value().info.id; });
    store.create_run_later({}, [&](Result<tracking::Run> run) { second = run.value().info.id; });
    while (store.settle()) {
    }
    EXPECT_EQ(store.run(first)->info.id, first);
    EXPECT_EQ(store.run(second)->info.id, second);
    alike += beginning(first) == beginning(second);
  }
  EXPECT_GT(alike, 0);  // all, unless the machine pauses between the two calls
}

}  // namespace
}  // namespace tidemill::tracking
