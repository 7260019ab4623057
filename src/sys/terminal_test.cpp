#include "sys/terminal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sys/live_lines.h"
#include "sys/terminal_fixture.h"

namespace tidemill {
namespace {

using testing::HasSubstr;
using testing::Not;

std::string on_terminal(unsigned short columns, const std::function<void()>& body) {
  return OnTerminal(columns, 24, body).read_all();
}

TEST(Table, AlignsTextLeftAndNumbersRight) {
  Table table({"name", "time", "n"});
  table.add({"preprocess", "1.0", "7"});
  table.add({"träin", "12.5", "60 000"});
  table.add({"short"});
  EXPECT_EQ(table.to_string(),
            "name        time       n\n"
            "preprocess   1.0       7\n"
            "träin       12.5  60 000\n"
            "short\n");
}

TEST(Table, WithoutRowsIsEmpty) { EXPECT_EQ(Table({"a"}).to_string(), ""); }

TEST(Table, EscapeSequencesTakeNoRoom) {
  EXPECT_EQ(display_width(styled("abc", Style::kRed, true)), 3u);
  EXPECT_EQ(display_width("é━"), 2u);
}

TEST(Text, IsCutToTheWidthThatThereIs) {
  EXPECT_EQ(cut_to_width("träin", 5), "träin");
  EXPECT_EQ(cut_to_width("träining", 5), "träi…");
  EXPECT_EQ(cut_to_width("anything", 0), "");
  std::string styles = cut_to_width(styled("abcdef", Style::kRed, true), 3);
  EXPECT_EQ(styles, "\x1b[31mab…\x1b[0m");
}

TEST(Text, OfAProgramCannotPlayWithTheTerminal) {
  EXPECT_EQ(plain_line("10 %\r55 %\r100 %\r\n"), "100 %");
  EXPECT_EQ(plain_line("\x1b[2J\x1b[31mred\x1b[0m\x1b]x\tand\a"), "redx and");
  EXPECT_EQ(plain_line("caf\xe9 \xff"), "caf? ?");
  EXPECT_EQ(plain_line("\x1b["), "");
}

TEST(LiveLines, ReplaceEachOtherBelowWhatStays) {
  Screen screen(40);
  screen.feed("$ run\n" + frame({}, "", {"one running", "two running"}, 40));
  EXPECT_EQ(screen.text(), "$ run|one running|two running||");
  screen.feed(frame({"one running", "two running"}, "one done\nits note\n", {"two"}, 40));
  EXPECT_EQ(screen.text(), "$ run|one done|its note|two||");
  screen.feed("^C" + frame({"two"}, "", {}, 40));
  EXPECT_EQ(screen.text(), "$ run|one done|its note||");
}

TEST(LiveLines, FillTheRowsThatANarrowerTerminalHasBrokenThemInto) {
  Screen screen(10);
  screen.feed(
      "$ run\n0123456789abc\nx\n");  // as a terminal shows two lines that were drawn when it was wider
  screen.feed(frame({"0123456789abc", "x"}, "", {"new"}, 10));
  EXPECT_EQ(screen.text(), "$ run|new||");
}

TEST(LiveLines, AreBlankedNowhereBeforeTheyAreWritten) {
  std::string text = frame({"a", "b"}, "above\n", {"c", "d"}, 40);
  EXPECT_EQ(text, "\r\x1b[2Aabove\x1b[K\nc\x1b[K\nd\x1b[K\n\x1b[J");
}

TEST(Progress, DrawsABarOnATerminalAndEndsItsLine) {
  std::string out = on_terminal(100, [] {
    Progress progress("download", 1000, "images");
    progress.set(1000);
    progress.note("loss 1.5");
    progress.finish();
  });
  EXPECT_THAT(out, HasSubstr("━"));
  EXPECT_THAT(out, HasSubstr("\x1b[K"));
  EXPECT_THAT(out, HasSubstr("loss 1.5"));
  EXPECT_TRUE(out.ends_with("\n"));
}

TEST(Progress, StaysWithinTheWidthOfTheTerminal) {
  std::string out =
      on_terminal(30, [] { Progress progress("a very long label that does not fit", 10, "things"); });
  std::string first = out.substr(0, out.find("\x1b[K"));
  EXPECT_LE(display_width(first), 31u);  // with the carriage return
}

TEST(Progress, WritesItsStateForTheRunner) {
  auto dir = TempDir::create().value();
  fs::path file = dir.path() / "progress.json";
  setenv("TIDEMILL_PROGRESS_FILE", file.c_str(), 1);
  testing::internal::CaptureStderr();
  {
    Progress progress("train", 50, "images");
    progress.advance(20);
    progress.note("loss \"x\"");
  }
  std::string printed = testing::internal::GetCapturedStderr();
  unsetenv("TIDEMILL_PROGRESS_FILE");
  auto state = read_progress(file);
  ASSERT_TRUE(state);
  EXPECT_EQ(state->label, "train");
  EXPECT_EQ(state->done, 20u);
  EXPECT_EQ(state->total, 50u);
  EXPECT_EQ(state->note, "loss \"x\"");
  EXPECT_THAT(printed, HasSubstr("20 images"));
  EXPECT_THAT(printed, Not(HasSubstr("\x1b")));
}

TEST(Progress, GarbageInTheFileIsNoProgress) {
  auto dir = TempDir::create().value();
  ASSERT_TRUE(write_file_atomic(dir.path() / "p", "[1,2", Durable::no));
  EXPECT_FALSE(read_progress(dir.path() / "p"));
  EXPECT_FALSE(read_progress(dir.path() / "absent"));
}

TEST(Progress, ShowsTimeLeft) {
  ProgressState state{.label = "x", .unit = "images", .note = "", .done = 25, .total = 100, .seconds = 10};
  EXPECT_THAT(state.bar(200), HasSubstr("30.0 s left"));
  EXPECT_THAT(state.bar(200), HasSubstr("25 / 100 images"));
}

TEST(Progress, OneThingHasNoPlural) {
  ProgressState state{.label = "", .unit = "files", .note = "", .done = 1, .total = 1, .seconds = 0};
  EXPECT_THAT(state.bar(100), testing::EndsWith("1 / 1 file"));
}

TEST(Progress, OfNothingInParticularIsARatio) {
  ProgressState state{.label = "", .unit = "", .note = "loss 1", .done = 250, .total = 1000, .seconds = 10};
  EXPECT_THAT(state.bar(100), testing::EndsWith("25 %  30.0 s left  loss 1"));
  EXPECT_THAT(state.bar(20), testing::StartsWith("25 %  30.0 s left"));
}

TEST(Colour, ObeysNoColor) {
  setenv("CLICOLOR_FORCE", "1", 1);
  EXPECT_TRUE(use_colour(STDERR_FILENO));
  setenv("NO_COLOR", "1", 1);
  EXPECT_FALSE(use_colour(STDERR_FILENO));
  unsetenv("NO_COLOR");
  unsetenv("CLICOLOR_FORCE");
}

}  // namespace
}  // namespace tidemill
