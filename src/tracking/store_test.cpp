#include "tracking/store.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/files.h"

namespace tidemill::tracking {
namespace {

struct StoreTest : testing::Test {
  TempDir folder = TempDir::create().value();
  fs::path file = folder.path() / "tidemill.db";
  Store store = Store::open({.file = file, .default_artifact_root = "mlflow-artifacts:"}).value();

  std::string new_run(std::string name = "") {
    CreateRun create;
    create.name = std::move(name);
    return store.create_run(create).value().info.id;
  }
};

TEST_F(StoreTest, what_was_logged_comes_back) {
  std::string id = new_run("nm");
  Batch batch;
  batch.metrics = {{"m", 1.5, 10, 0}, {"m", 2.5, 11, 1}, {"nan", std::nan(""), 5, 0}};
  batch.params = {{"p", "1"}};
  batch.tags = {{"t", "v"}};
  ASSERT_TRUE(store.log_batch(id, batch)) ;
  auto run = store.run(id).value();
  EXPECT_EQ(run.metric("m"), 2.5);
  EXPECT_TRUE(std::isnan(*run.metric("nan")));
  EXPECT_EQ(run.param("p"), "1");
  EXPECT_EQ(run.tag("t"), "v");
  EXPECT_EQ(run.tag("mlflow.runName"), "nm");
  auto history = store.metric_history(id, "m").value();
  ASSERT_EQ(history.items.size(), 2u);
  EXPECT_EQ(history.items[1].value, 2.5);
}

}  // namespace
}  // namespace tidemill::tracking
