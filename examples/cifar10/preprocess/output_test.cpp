#include "preprocess/output.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>

#include "base/json.h"
#include "common/dataset.h"

namespace tidemill::cifar10 {
namespace {

using testing::HasSubstr;

class OutputTest : public testing::Test {
 protected:
  void write() {
    auto written = write_data_set(images_, out_, [&](size_t count) { reported_ += count; });
    ASSERT_TRUE(written) << written.error().message;
  }
  std::vector<std::string> listing(const fs::path& folder) {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename());
    std::sort(names.begin(), names.end());
    return names;
  }

  TempDir dir_ = TempDir::create().value();
  fs::path out_ = dir_.path() / "data";
  Images images_ = synthetic_images(DataSet::kCifar10, 1000, 207);
  std::atomic<size_t> reported_ = 0;
};

TEST_F(OutputTest, WhatIsWrittenIsReadBackInTheOfficialOrder) {
  write();
  EXPECT_EQ(reported_, 1207U);
  EXPECT_THAT(listing(out_),
              testing::ElementsAre("classes.json", "meta_test.json", "meta_train.json", "test", "train"));
  EXPECT_EQ(read_classes(out_).value(), images_.classes);
  for (auto [part, first, count] :
       {std::tuple{"train", size_t{0}, size_t{1000}}, {"test", size_t{1000}, size_t{207}}}) {
    auto split = read_split(out_, part);
    ASSERT_TRUE(split) << split.error().message;
    ASSERT_EQ(split->count(), count);
    for (size_t i = 0; i < count; ++i) {
      ASSERT_EQ(split->labels[i], images_.labels[first + i]);
      for (size_t b = 0; b < kImageBytes; ++b)
        ASSERT_EQ(split->pixels[i * kImageBytes + b % 3 * 1024 + b / 3],
                  images_.pixels[(first + i) * kImageBytes + b]);
    }
  }
}

TEST_F(OutputTest, MetaFilesListEachClassWithItsFiles) {
  write();
  Json meta = parse_json(read_file(out_ / "meta_test.json").value()).value();
  ASSERT_EQ(meta.size(), 10U);
  EXPECT_EQ(meta["airplane"][0], "00000.png");
  EXPECT_EQ(meta["airplane"][1], "00010.png");
  for (auto& [name, files] : meta.items())
    for (auto& file : files) EXPECT_TRUE(fs::exists(out_ / "test" / name / file.get<std::string>()));
}

TEST_F(OutputTest, WritingAgainReplacesTheOldOutput) {
  write();
  images_ = synthetic_images(DataSet::kCifar10, 30, 10);
  write();
  EXPECT_EQ(read_split(out_, "train")->count(), 30U);
  EXPECT_FALSE(fs::exists(out_ / "train" / "airplane" / "00990.png"));
}

TEST_F(OutputTest, NothingIsLeftWhenWritingFails) {
  ASSERT_TRUE(make_dirs(out_));
  images_.classes[7] = std::string(300, 'x');  // too long for a file system
  auto written = write_data_set(images_, out_, [](size_t) {});
  ASSERT_FALSE(written);
  EXPECT_THAT(listing(out_), testing::IsEmpty());
}

TEST_F(OutputTest, ATruncatedPngIsNamed) {
  write();
  fs::resize_file(out_ / "train" / "bird" / "00002.png", 100);
  auto split = read_split(out_, "train");
  ASSERT_FALSE(split);
  EXPECT_EQ(split.error().code, Code::kInvalid);
  EXPECT_THAT(split.error().message,
              testing::AllOf(HasSubstr("train/bird/00002.png"), HasSubstr("truncated")));
}

TEST_F(OutputTest, AMissingPngIsNamed) {
  write();
  fs::remove(out_ / "train" / "bird" / "00002.png");
  auto split = read_split(out_, "train");
  ASSERT_FALSE(split);
  EXPECT_EQ(split.error().code, Code::kNotFound);
  EXPECT_THAT(split.error().message, HasSubstr("bird/00002.png"));
}

TEST_F(OutputTest, APointerLeadsToTheData) {
  write();
  ASSERT_TRUE(write_data_pointer(out_, dir_.path() / "second"));
  ASSERT_TRUE(write_data_pointer(dir_.path() / "second", dir_.path() / "third"));
  EXPECT_EQ(resolve_data_folder(dir_.path() / "third").value(), out_);
  EXPECT_EQ(read_split(dir_.path() / "third", "test", 5)->count(), 5U);
}

TEST_F(OutputTest, PointersInACircleEndWithAnError) {
  ASSERT_TRUE(write_data_pointer(dir_.path() / "b", dir_.path() / "a"));
  ASSERT_TRUE(write_data_pointer(dir_.path() / "a", dir_.path() / "b"));
  EXPECT_FALSE(resolve_data_folder(dir_.path() / "a"));
}

TEST_F(OutputTest, AFileNameThatLeadsOutOfTheFolderIsRefused) {
  write();
  for (std::string_view name : {"../../secret.png", "a/b.png", ".."}) {
    Json meta = {{"airplane", {name}}};
    ASSERT_TRUE(write_file_atomic(out_ / "meta_test.json", dump_json(meta), Durable::no));
    auto split = read_split(out_, "test");
    ASSERT_FALSE(split) << name;
    EXPECT_THAT(split.error().message, HasSubstr("meta_test.json"));
  }
}

TEST_F(OutputTest, AFolderWithoutDataSaysHowToMakeIt) {
  auto split = read_split(dir_.path(), "train");
  ASSERT_FALSE(split);
  EXPECT_THAT(split.error().message, HasSubstr("cifar10-preprocess"));
}

}  // namespace
}  // namespace tidemill::cifar10
