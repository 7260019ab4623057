#include "cli/run_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tidemill::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

RunningStep step(std::string name) {
  return {.name = std::move(name), .seconds = 62, .progress = {}, .load = {}, .last_lines = {}};
}

RunView training() {
  RunView view{
      .running = {step("train")}, .counts = {.running = 1, .waiting = 2, .reused = 1}, .seconds = 90};
  view.running[0].progress = ProgressState{
      .label = "train", .unit = "images", .note = "loss 1.2", .done = 25, .total = 100, .seconds = 10};
  view.running[0].load = engine::Load{1.96, 812'000'000};
  view.running[0].last_lines = {"epoch 1", "epoch 2: \x1b[31mloss\x1b[0m 1.2"};
  return view;
}

TEST(RunView, ShowsABarTheLoadTheLogAndTheCounts) {
  EXPECT_THAT(
      lines_of(training(), {.width = 120}),
      ElementsAre("● train  1 min 02 s  ━━━━━╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌  25 %  25 / 100 images  2 images/s  30.0 s "
                  "left  loss 1.2  2.0 cpu, 812 MB",
                  "  | epoch 1", "  | epoch 2: loss 1.2",
                  "1 running, 2 waiting, 1 done (1 reused)  1 min 30 s"));
}

TEST(RunView, ANarrowTerminalGetsLinesThatFit) {
  for (int width : {1, 5, 10, 20, 30, 40, 60, 79})
    for (const auto& line : lines_of(training(), {.width = width, .height = 24, .colour = width % 2 == 0}))
      EXPECT_LE(display_width(line), static_cast<size_t>(width)) << line;
  EXPECT_THAT(lines_of(training(), {.width = 44})[0], HasSubstr("25 %"));
}

TEST(RunView, MoreStepsThanRowsAreCounted) {
  RunView view{.running = {}, .counts = {.running = 50, .waiting = 9'950}, .seconds = 1};
  for (int i = 0; i < 50; ++i) view.running.push_back(step(fmt::format("score[{}]", i)));
  view.running[0].last_lines = {"something"};
  auto lines = lines_of(view, {.width = 80, .height = 10});
  ASSERT_EQ(lines.size(), 9u);
  EXPECT_THAT(lines[0], HasSubstr("score[0]"));
  EXPECT_EQ(lines[7], "  and 43 more");
  EXPECT_EQ(lines[8], "50 running, 9 950 waiting  1.0 s");
}

TEST(RunView, NeverFillsTheTerminal) {
  for (int height : {1, 2, 3, 5, 24})
    for (size_t running : {1u, 2u, 7u, 30u}) {
      RunView view{.running = {}, .counts = {.running = running, .waiting = 1}, .seconds = 1};
      view.running.resize(running, step("s"));
      for (auto& one : view.running) one.last_lines.resize(20, "text");
      EXPECT_LE(lines_of(view, {.width = 80, .height = height}).size(),
                static_cast<size_t>(std::max(2, height - 1)));
    }
}

TEST(RunView, OfNothingIsNothing) {
  EXPECT_THAT(lines_of({}, {}), IsEmpty());
  // A single project has no counts.
  EXPECT_THAT(lines_of({.running = {step("main")}, .counts = {.running = 1}, .seconds = 1}, {}),
              ElementsAre("● main  1 min 02 s"));
}

TEST(RunView, ColoursOnlyWhatIsAskedFor) {
  for (const auto& line : lines_of(training(), {.width = 100})) EXPECT_THAT(line, Not(HasSubstr("\x1b")));
  EXPECT_THAT(lines_of(training(), {.width = 100, .height = 24, .colour = true})[0], HasSubstr("\x1b[36m●"));
}

}  // namespace
}  // namespace tidemill::cli
