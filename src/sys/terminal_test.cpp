#include "sys/terminal.h"

#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tidemill {
namespace {

using testing::HasSubstr;
using testing::Not;

// What a program prints on a terminal of the given width.
std::string on_terminal(unsigned short columns, const std::function<void()>& body) {
  winsize size{24, columns, 0, 0};
  int terminal = -1;
  pid_t pid = forkpty(&terminal, nullptr, nullptr, &size);
  if (pid == 0) {
    setenv("TERM", "xterm", 1);
    unsetenv("TIDEMILL_PROGRESS_FILE");
    body();
    _exit(0);
  }
  std::string out;
  char buffer[4096];
  for (ssize_t got; (got = read(terminal, buffer, sizeof buffer)) > 0;)
    out.append(buffer, static_cast<size_t>(got));
  waitpid(pid, nullptr, 0);
  close(terminal);
  return out;
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
