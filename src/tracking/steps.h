// What is kept of the steps of pipelines, beside the runs that MLflow clients see.
#pragma once

#include <string>
#include <string_view>

namespace tidemill::tracking {

// The tag of a pipeline's run in which nothing had changed: the run whose steps are all reused in it.
inline constexpr std::string_view kStepsOfTag = "tidemill.steps_of";

// Where a pipeline's run stands with one of its steps.
struct StepRecord {
  std::string run_id;  // the pipeline's
  std::string step;
  std::string state;     // a word of the engine
  int attempt = 0;       // 1 for the first
  std::string step_run;  // the run of the latest attempt; "" before the first
  std::string key;       // of what it was made of, as StepResult::key; also when its result is not kept
  std::string reason;    // why it ran, was reused, failed, was skipped
};

// What a pipeline's run was started with.
struct RunRequest {
  std::string run_id;
  std::string request;  // JSON of whoever started it
};

// The run whose artifacts are the result of everything that the key stands for.
struct StepResult {
  std::string key;
  std::string run_id;
  std::string outputs;       // digest of its files
  std::string artifact_uri;  // of the run; told by step_results()
  int64_t made = 0;          // ms since 1970, when the run ended; likewise
};

// What the key of a step was made of when it last ran, as JSON, to say later what has changed.
struct StepKey {
  std::string pipeline, step;
  std::string key;
  std::string ingredients;
  std::string step_run;
};

}  // namespace tidemill::tracking
