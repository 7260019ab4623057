// What `tidemill run` shows while it runs: lines with bars on a terminal, plain lines elsewhere, or JSON
// lines.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/time.h"
#include "engine/engine.h"
#include "sys/terminal.h"

namespace tidemill::cli {

// One JSON object with "event" first.
std::string event_json(const engine::Event& event);

// Lines on stderr. On a terminal the steps that run are redrawn in place below those that have ended.
class RunPrinter {
 public:
  RunPrinter();
  ~RunPrinter();
  RunPrinter(const RunPrinter&) = delete;

  void on(const engine::Event& event);

 private:
  struct Running {
    std::string step;
    Stopwatch since_start;
    ProgressState progress;  // label "" until the step tells of it
  };

  void show(const engine::RunStarted& started);
  void show(const engine::StepStarted& started);
  void show(const engine::StepProgress& progress);
  void show(const engine::AttemptFailed& failed);
  void show(const engine::StepFinished& finished);
  void show(const engine::RunFinished& finished);
  std::string line_of(const Running& running, int width) const;
  // Puts text above the lines that are redrawn.
  void print(const std::string& text);
  void redraw(const std::string& text_above);
  void tick();

  const bool terminal_;
  const bool colour_;
  std::mutex mutex_;
  size_t name_width_ = 0;
  size_t lines_drawn_ = 0;
  std::vector<Running> running_;
  bool stopping_ = false;
  std::condition_variable stop_;
  std::thread ticker_;  // a step that tells nothing still shows its time
};

}  // namespace tidemill::cli
