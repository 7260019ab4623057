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
#include "cli/run_view.h"
#include "engine/engine.h"
#include "engine/step_watch.h"
#include "sys/live_lines.h"

namespace tidemill::cli {

// One JSON object with "event" first.
std::string event_json(const engine::Event& event);

// Lines on stderr. On a terminal the steps that run are redrawn in place below those that have ended; of a
// pipeline with more steps than the terminal has rows, those that have succeeded are only counted.
class RunPrinter {
 public:
  enum class Look { kLive, kPlain };
  // kLive is for a terminal. attempts: the engine's attempts_folder().
  RunPrinter(Look look, fs::path attempts);
  ~RunPrinter();
  RunPrinter(const RunPrinter&) = delete;

  void on(const engine::Event& event);

 private:
  struct Running {
    RunningStep step;
    std::string run_id;
    fs::path log;
    Stopwatch since_start;
  };

  void show(const engine::RunStarted& started);
  void show(const engine::StepWaits& waits);
  void show(const engine::StepStarted& started);
  void show(const engine::StepProgress& progress);
  void show(const engine::AttemptFailed& failed);
  void show(const engine::StepFinished& finished);
  void show(const engine::AllReused& reused);
  void show(const engine::RunFinished& finished);
  // The step runs no more.
  void take_off(const std::string& step, engine::StepState now);
  // Puts text above the lines that are redrawn.
  void print(const std::string& text);
  void draw();
  void tick();

  const bool live_;
  const bool colour_;
  std::mutex mutex_;
  size_t name_width_ = 0;
  bool folded_ = false;  // steps that have succeeded get no line
  std::vector<Running> running_;
  StepCounts counts_;
  engine::StepWatch watch_;
  LiveLines lines_;
  std::string above_;  // to be printed with the next frame
  Stopwatch since_start_, since_drawn_;
  bool stopping_ = false;
  std::condition_variable stop_;
  std::thread ticker_;  // a step that tells nothing still shows its time
};

}  // namespace tidemill::cli
