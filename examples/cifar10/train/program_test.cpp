// cifar10-train as a step of a pipeline: killed inside an epoch, its next attempt ends where it would have.
#include <gmock/gmock.h>
#include <signal.h>

#include <thread>

#include "base/files.h"
#include "sys/process.h"

namespace tidemill::cifar10 {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// 400 images in batches of 4: 100 steps an epoch, and a look at the clock for a checkpoint every 50.
constexpr const char* kInsideAnEpoch = "step-00000150.ckpt";

class Train : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    data_.emplace(TempDir::create().value());
    auto made = run_command({program("cifar10-preprocess"), "--synthetic", "--limit", "400", "--output",
                             (data_->path() / "data").string()},
                            std::chrono::seconds(120));
    ASSERT_TRUE(made) << made.error().message;
    ASSERT_TRUE(made->exit.ok()) << made->errors;
  }
  static void TearDownTestSuite() { data_.reset(); }

  static std::string program(std::string_view name) {
    return fmt::format("{}/bin/{}", TIDEMILL_BINARY_DIR, name);
  }
  fs::path path(std::string_view name) const { return dir_.path() / name; }

  ProcessOptions training(const std::string& output, const fs::path& checkpoints,
                          const std::string& epochs) const {
    return {.argv = {program("cifar10-train"), "--data", (data_->path() / "data").string(), "--output",
                     path(output).string(), "--model-type", "simple", "--precision", "f32", "--batch-size",
                     "4", "--dropout", "0.1", "--augment", "flip+shift", "--checkpoint-seconds", "0",
                     "--epochs", epochs},
            .extra_env = {{"TIDEMILL_CHECKPOINT_DIR", checkpoints.string()}},
            .unset_env = {"MLFLOW_TRACKING_URI"},
            .output_file = path(output + ".log")};
  }
  std::string log(const std::string& output) const { return read_file(path(output + ".log")).value_or(""); }
  void train(const std::string& output, const fs::path& checkpoints = {}, const std::string& epochs = "3") {
    auto process = Process::start(training(output, checkpoints, epochs));
    ASSERT_TRUE(process) << process.error().message;
    ASSERT_TRUE(process->wait().ok()) << log(output);
  }
  // Leaves a checkpoint from the middle of the second epoch.
  void train_and_kill(const std::string& output) {
    ASSERT_TRUE(make_dirs(path("kept")));
    auto process = Process::start(training(output, path("kept"), "3"));
    ASSERT_TRUE(process) << process.error().message;
    while (!fs::exists(path("kept") / kInsideAnEpoch))
      ASSERT_FALSE(process->wait_for(std::chrono::milliseconds(1))) << log(output);
    process->signal_group(SIGKILL);
    process->wait();
    for (const auto& file : fs::directory_iterator(path("kept")))
      if (file.path().filename() != kInsideAnEpoch) fs::remove(file.path());
  }
  std::string weights(const std::string& output) const {
    return read_file(path(output) / "cifar10_default.safetensors", 1 << 30).value();
  }

  static inline std::optional<TempDir> data_;
  TempDir dir_ = TempDir::create().value();
};

TEST_F(Train, AnAttemptAfterAKillInsideAnEpochEndsWithTheSameWeightsBitForBit) {
  train("whole");
  train_and_kill("first");
  EXPECT_FALSE(fs::exists(path("first") / "cifar10_default.safetensors"));
  train("second", path("kept"));
  EXPECT_THAT(log("second"), HasSubstr("going on from step 150"));
  EXPECT_EQ(weights("second"), weights("whole"));
}

TEST_F(Train, WhatAnotherTrainingHasLeftIsNotUsed) {
  train_and_kill("first");
  train("other", path("kept"), "1");
  EXPECT_THAT(log("other"), HasSubstr("what an earlier attempt left is of no use"));
  EXPECT_THAT(log("other"), Not(HasSubstr("going on")));
}

}  // namespace
}  // namespace tidemill::cifar10
