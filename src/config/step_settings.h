// How a step of pipeline.yaml is to be run, apart from what it runs (docs/pipeline.md, "Settings of a step").
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "config/condition.h"
#include "config/data_check.h"
#include "config/gate.h"
#include "config/problems.h"
#include "config/reference.h"
#include "config/resources.h"
#include "config/retry.h"
#include "config/yaml.h"

namespace tidemill::config {

// kFrozen: a result of the step is used for good, whatever has changed since.
enum class Caching { kOn, kOff, kFrozen };

// A shell command whose output tells what the step finds outside: a version, an ETag, a number of rows.
struct Probe {
  std::string command;  // {NAME} stands for a parameter of the step
  Place place;
};

// How long a step may take; nullopt: as long as it does.
struct Timeouts {
  using Time = std::optional<std::chrono::milliseconds>;
  Time attempt;
  Time total;    // from its first attempt on, with all further ones and what is waited between them
  Time waiting;  // for what others hold, once its turn has come
};
Result<Timeouts> read_timeouts(const Node& node);
inline constexpr int64_t kLongestTimeout = 30 * 24 * 3600;  // seconds

// A variable of the step's environment; without a value it is the caller's.
struct Variable {
  std::string name;
  std::optional<Template> value;
};

struct Named {
  std::string name;
  Place place;
};

// What the step leaves behind: a file or a folder below its artifact folder.
struct DeclaredOutput {
  std::string name;
  std::string path;  // relative, without "." and ".."
};

struct StepSettings {
  // --- What decides whether an earlier result can be used again ---
  Caching cache = Caching::kOn;
  Place cache_place;
  std::optional<std::chrono::milliseconds> ttl;  // a result that is older is not used again
  std::optional<Probe> probe;
  std::vector<Template> inputs;  // files and folders that it reads, beside parameters of type path
  std::optional<std::vector<std::string>> code;  // below the project's folder; nullopt: all of it
  std::vector<std::string> programs;             // that it runs, beside the first word of its command
  std::vector<Variable> environment;
  std::vector<DeclaredOutput> outputs;  // without them it has failed

  // Which of the caller's variables it sees, beside those that every program needs; nullopt: all of them. An
  // ending "*" stands for any.
  std::optional<std::vector<std::string>> inherit;

  std::optional<Condition> when;  // else it is skipped
  bool allow_failure = false;     // its failure is not the run's
  Timeouts timeout;
  RetryPolicy retry;
  Resources resources;  // held while it runs
  Place resources_place;
  std::vector<Named> secrets;
  std::vector<DataCheck> validate;   // of what it has made
  std::optional<Gate> gate;          // what must hold before anything behind it runs
  uint64_t log_limit = 256 << 20;    // bytes that are kept of what an attempt prints
  std::vector<std::string> figures;  // names of metrics, tags or parameters to show when the run has ended
};

// Letters, digits, '_' and '-': a name of steps and outputs, which references hold.
bool is_plain_name(std::string_view name);

// `inherit` of a step or a pipeline: true, false, or names of variables.
std::optional<std::vector<std::string>> read_inherit(const Node& node, Problems& problems);

// The keys of a step that are settings.
const std::vector<std::string>& setting_names();
// `step` is the step's map.
Shared<StepSettings> read_settings(const Node& step, Problems& problems);

}  // namespace tidemill::config
