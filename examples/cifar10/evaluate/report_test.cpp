#include "evaluate/report.h"

#include <gmock/gmock.h>

namespace tidemill::cifar10 {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

DataSplit four_images() {
  DataSplit data;
  data.height = data.width = 1;
  data.labels = {0, 1, 2, 3};
  data.names = {"a/1.png", "b/2.png", "c/3.png", "d/4.png"};
  data.pixels.assign(12, 0);
  return data;
}

TEST(Report, AccuracyAndLatencies) {
  Answers answers{.predictions = {0, 1, 2, 9}, .seconds = {0.4f, 0.1f, 0.3f, 0.2f}};
  Figures figures = figures_of(four_images(), answers, 12);
  EXPECT_EQ(figures.correct, 3u);
  EXPECT_DOUBLE_EQ(figures.accuracy, 0.75);
  EXPECT_NEAR(figures.average_duration_second, 0.25, 1e-6);
  EXPECT_NEAR(figures.p50_second, 0.2, 1e-6);
  EXPECT_NEAR(figures.p99_second, 0.4, 1e-6);
  EXPECT_EQ(figures.total_seconds, 12);
}

TEST(Report, ComparisonWithTheTrainerCountsImages) {
  Answers answers{.predictions = {0, 1, 2, 9}, .seconds = {1, 1, 1, 1}};
  DataSplit data = four_images();
  Figures figures = figures_of(data, answers, 1);
  Comparison by_image = compare(data, answers, figures, {.accuracy = {}, .predictions = {0, 0, 2, 3}});
  EXPECT_EQ(by_image.images_differing, 2u);
  EXPECT_EQ(by_image.images_better, 0);
  EXPECT_EQ(by_image.trained_accuracy, 0.75);
  Comparison by_accuracy = compare(data, answers, figures, {.accuracy = 0.5, .predictions = {}});
  EXPECT_EQ(by_accuracy.images_better, 1);
  EXPECT_FALSE(by_accuracy.images_differing);
  EXPECT_FALSE(compare(data, answers, figures, {}).trained_accuracy);
}

TEST(Report, HoldsEachImagesLabelAndPrediction) {
  Answers answers{.predictions = {0, 1, 2, 9}, .seconds = {1, 1, 1, 1}};
  DataSplit data = four_images();
  Json report = report_of(data, {"a", "b", "c", "d"}, answers, figures_of(data, answers, 1), {});
  EXPECT_THAT(report["predictions"].get<std::vector<int>>(), ElementsAre(0, 1, 2, 9));
  EXPECT_THAT(report["labels"].get<std::vector<int>>(), ElementsAre(0, 1, 2, 3));
  EXPECT_EQ(report["names"][3], "d/4.png");
  EXPECT_FALSE(report.contains("trained_accuracy"));
}

TEST(Report, PredictionsFileIsChecked) {
  auto dir = TempDir::create().value();
  fs::path file = dir.path() / "p.json";
  ASSERT_TRUE(write_file_atomic(file, R"({"predictions": [1, 2]})"));
  EXPECT_THAT(read_predictions(file, 2).value(), ElementsAre(1, 2));
  auto wrong = read_predictions(file, 3);
  ASSERT_FALSE(wrong);
  EXPECT_THAT(wrong.error().message, HasSubstr("2 predictions for 3 images"));
  ASSERT_TRUE(write_file_atomic(file, R"([1, "x"])"));
  EXPECT_FALSE(read_predictions(file, 2));
}

TEST(Report, AccuracyAsFractionOrPercentage) {
  EXPECT_EQ(parse_accuracy("0.5").value(), 0.5);
  EXPECT_EQ(parse_accuracy("73").value(), 0.73);
  for (std::string_view bad : {"", "-1", "101", "nan", "0.5x"}) EXPECT_FALSE(parse_accuracy(bad)) << bad;
}

}  // namespace
}  // namespace tidemill::cifar10
