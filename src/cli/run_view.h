// How a run looks while it goes on: a function from what is known of it to lines of text.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "engine/events.h"
#include "engine/step_watch.h"
#include "sys/terminal.h"

namespace tidemill::cli {

// How many steps are in which state.
struct StepCounts {
  size_t running = 0, waiting = 0, finished = 0, reused = 0, skipped = 0, failed = 0, killed = 0;

  size_t& of(engine::StepState state);
  size_t total() const { return running + waiting + finished + reused + skipped + failed + killed; }
  // "2 running, 3 waiting, 5 done (4 reused), 1 failed"
  std::string text() const;
};

struct RunningStep {
  std::string name;
  double seconds = 0;                     // since its start
  std::optional<ProgressState> progress;  // as far as it tells
  std::optional<engine::Load> load;       // once it is known
  std::vector<std::string> last_lines;    // of its log, as the program printed them
};

struct RunView {
  std::vector<RunningStep> running;
  StepCounts counts;
  double seconds = 0;  // since the start of the run
};

struct Screen {
  int width = 80, height = 24;
  bool colour = false;
};

// None is wider than the screen, nor are there more than its rows less one. Steps come before the last lines
// of their logs; a line with the counts is the last when there is more than one step.
std::vector<std::string> lines_of(const RunView& view, const Screen& screen);
// How many of a step's last lines there is room for.
size_t log_lines_shown(size_t running, const Screen& screen);

// "✓", in green, and the like.
std::string mark_of(engine::StepState state, bool colour);
std::string padded(const std::string& text, size_t width);

}  // namespace tidemill::cli
