// What is seen on a terminal while a pipeline runs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/text.h"
#include "cli/cli_fixture.h"
#include "sys/terminal.h"
#include "sys/terminal_fixture.h"
#include "tracking/store.h"

namespace tidemill {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

class Live : public Cli {
 protected:
  std::unique_ptr<OnTerminal> on_terminal(std::vector<std::string> words, unsigned short columns = 120,
                                          unsigned short rows = 24) const {
    words.insert(words.begin(), kProgram);
    words.insert(words.end(), {"--store", store()});
    return std::make_unique<OnTerminal>(columns, rows, [&words] {
      std::vector<char*> argv;
      for (auto& word : words) argv.push_back(word.data());
      argv.push_back(nullptr);
      execv(kProgram.c_str(), argv.data());
      _exit(127);
    });
  }
  static std::string screen(const std::string& printed, size_t columns = 120) {
    Screen screen(columns);
    screen.feed(printed);
    return screen.text();
  }
  static auto shows(const std::string& text) {
    return [text](const std::string& printed) { return printed.find(text) != std::string::npos; };
  }
};

TEST_F(Live, ABarTheLogAndTheLoadAreDrawnAndNothingOfThemStays) {
  write("a.sh", R"(
echo 'from its log'
echo '{"label":"a","unit":"images","note":"loss 1.5","done":30,"total":60,"seconds":1}' > $TIDEMILL_PROGRESS_FILE
while [ ! -e stop ]; do sleep 0.1; done
)");
  write("pipeline.yaml", "name: p\nsteps:\n  a: {command: sh a.sh}\n  b: {command: 'true', needs: [a]}\n");
  auto terminal = on_terminal({"run", dir_.path().string()});
  EXPECT_TRUE(terminal->read_until(
      [&](const std::string& printed) { return shows("cpu")(printed) && shows("from its log")(printed); }));
  const std::string during = screen(terminal->printed());
  EXPECT_THAT(during, HasSubstr("━"));
  EXPECT_THAT(during, HasSubstr("30 / 60 images"));
  EXPECT_THAT(during, HasSubstr("loss 1.5"));
  EXPECT_THAT(during, HasSubstr("  | from its log|"));
  EXPECT_THAT(during, HasSubstr("1 running, 1 waiting"));
  write("stop", "");
  const std::string after = screen(terminal->read_all());
  EXPECT_EQ(terminal->status(), 0);
  EXPECT_THAT(after, HasSubstr("✓ a"));
  EXPECT_THAT(after, HasSubstr("✓ b"));
  for (const char* gone : {"●", "━", "from its log", "running"}) EXPECT_THAT(after, Not(HasSubstr(gone)));
}

TEST_F(Live, InterruptedByTheKeyboardItLeavesTheTerminalClean) {
  write("pipeline.yaml", "name: p\nsteps:\n  wait: {command: 'echo begun; exec sleep 600'}\n");
  auto terminal = on_terminal({"run", dir_.path().string()});
  ASSERT_TRUE(terminal->read_until(shows("| begun")));
  terminal->type("\x03");
  const std::string after = screen(terminal->read_all());
  EXPECT_EQ(terminal->status(), 130);
  EXPECT_THAT(after, HasSubstr("■ wait"));
  EXPECT_THAT(after, HasSubstr("KILLED in"));
  EXPECT_THAT(after, Not(HasSubstr("●")));
  EXPECT_THAT(after, Not(HasSubstr("begun")));
}

TEST_F(Live, ATerminalThatBecomesNarrowerGetsLinesThatFit) {
  write("pipeline.yaml",
        "name: p\nsteps:\n  a_step_with_a_long_name: {command: 'printf \"%0100d\\n\" 7; exec sleep 600'}\n");
  auto terminal = on_terminal({"run", dir_.path().string()});
  ASSERT_TRUE(terminal->read_until(shows("| 000")));
  terminal->resize(30, 24);
  const size_t before = terminal->printed().size();
  auto drawn_since = [&] { return std::string_view(terminal->printed()).substr(before); };
  ASSERT_TRUE(terminal->read_until([&](const std::string&) {
    const std::string_view since = drawn_since();
    return std::count(since.begin(), since.end(), 'J') > 3;
  }));
  std::string_view last = drawn_since();
  last.remove_prefix(last.rfind("\x1b[", last.rfind("● ")));
  for (auto line : split(last, '\n')) EXPECT_LE(display_width(line), 30u) << line;
  terminal->type("\x03");
  terminal->read_all();
}

TEST_F(Live, PlainLinesAreToBeHadOnATerminalToo) {
  write("pipeline.yaml", "name: p\nsteps:\n  a: {command: 'sleep 0.5'}\n");
  auto terminal = on_terminal({"run", dir_.path().string(), "--plain"});
  const std::string printed = terminal->read_all();
  EXPECT_EQ(terminal->status(), 0);
  EXPECT_THAT(printed, HasSubstr("  a  started: "));
  for (const char* moves : {"\x1b[J", "\x1b[K", "\x1b[1A"}) EXPECT_THAT(printed, Not(HasSubstr(moves)));
}

TEST_F(Live, AValueThatIsTooLongIsCutToTheTerminal) {
  in_store({"runs", "create", "--experiment-id", "0", "--run-name", "r", "-t",
            "long=" + std::string(300, 'x') + "\nend"});
  const std::string id = listed("runs", {"runs", "list"}).at(0).at("run_id");
  auto terminal = on_terminal({"runs", "show", id}, 60);
  const std::string printed = terminal->read_all();
  EXPECT_EQ(terminal->status(), 0);
  EXPECT_THAT(printed, HasSubstr("xxx…"));
  for (std::string_view line : split(printed.substr(printed.find("TAG")), '\n'))
    EXPECT_LE(display_width(line), 61u) << line;  // with the carriage return
  EXPECT_THAT(in_store({"runs", "show", id}).output, HasSubstr(std::string(300, 'x') + "\nend"));
}

TEST_F(Live, OfManyStepsOnlyFailuresGetALine) {
  std::vector<std::string> values;
  for (int i = 0; i < 60; ++i) values.push_back(std::to_string(i));
  write("pipeline.yaml", fmt::format("name: p\nsteps:\n  score:\n    command: test {{n}} != 17\n"
                                     "    params: {{n: '${{each.n}}'}}\n    foreach: {{n: [{}]}}\n",
                                     join(values, ", ")));
  auto terminal = on_terminal({"run", dir_.path().string(), "--keep-going"});
  const std::string printed = terminal->read_all();
  EXPECT_EQ(terminal->status(), 1);
  const std::string above = screen(printed).substr(0, screen(printed).find("STEP"));
  EXPECT_THAT(above, HasSubstr("✗ score[n=17]"));
  EXPECT_THAT(above, HasSubstr("59 done, 1 failed|"));
  EXPECT_THAT(above, Not(HasSubstr("✓")));
}

TEST_F(Live, AMetricIsWatchedOnASmallTerminal) {
  auto recorded = tracking::Store::open({.uri = store(), .default_artifact_root = "/"}).value();
  tracking::CreateRun create;
  create.name = std::string(200, 'n');
  const std::string id = recorded.create_run(create).value().info.id;
  ASSERT_TRUE(recorded.log_metric(id, {"loss", 0.5, 1, 0}));
  auto terminal = on_terminal({"runs", "watch", id, "loss"}, 60, 10);
  EXPECT_TRUE(terminal->read_until(shows("0.5")));
  ASSERT_TRUE(recorded.log_metric(id, {"loss", 0.25, 2, 1}));
  ASSERT_TRUE(recorded.update_run(
      {.run_id = id, .status = tracking::RunStatus::kFinished, .end_time = 5, .name = {}}));
  const std::string after = screen(terminal->read_all(), 60);
  EXPECT_EQ(terminal->status(), 0);
  EXPECT_THAT(after, StartsWith(std::string(59, 'n') + "…|"));
  EXPECT_THAT(after, HasSubstr("0.25"));
  EXPECT_LT(std::count(after.begin(), after.end(), '|'), 11);  // the last of them for the cursor
}

TEST_F(Live, ARunIsFollowedFromAnotherTerminal) {
  write("pipeline.yaml",
        "name: p\nsteps:\n  work: {command: 'echo begun; while [ ! -e stop ]; do sleep 0.05; done'}\n"
        "  last: {command: 'true', needs: [work]}\n");
  auto running =
      Process::start({.argv = {kProgram, "run", dir_.path().string(), "--json", "--store", store()},
                      .output_file = path("events")});
  ASSERT_TRUE(running);
  std::string id;
  while (id.empty() || read_file(path("events")).value().find("step_started") == std::string::npos) {
    ASSERT_FALSE(running->wait_for(std::chrono::milliseconds(20)));
    auto event = parse_json(split(read_file(path("events")).value_or(""), '\n')[0]);
    if (event && event->is_object()) id = json_string(*event, "run_id");
  }
  Json steps;
  do steps = json_of({"status", id})["steps"];
  while (steps.size() < 2);
  EXPECT_EQ(json_string(steps[0], "state"), "running");
  EXPECT_EQ(json_string(steps[1], "step"), "last");
  EXPECT_EQ(json_string(steps[1], "state"), "waiting");

  auto terminal = on_terminal({"status", "-f", id});
  EXPECT_TRUE(terminal->read_until(shows("| begun")));
  EXPECT_THAT(screen(terminal->printed()), HasSubstr("1 running, 1 waiting"));
  write("stop", "");
  const std::string after = screen(terminal->read_all());
  EXPECT_EQ(terminal->status(), 0);
  EXPECT_THAT(after, StartsWith("p  FINISHED"));
  EXPECT_THAT(after, Not(HasSubstr("waiting")));
  EXPECT_TRUE(running->wait().ok());
}

}  // namespace
}  // namespace tidemill
