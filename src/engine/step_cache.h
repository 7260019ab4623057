// Whether a step has to run, or an earlier result is the same as what it would make. Reads files and the
// store; writes nothing but what FileHashes remembers.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "engine/file_tree.h"
#include "pipeline/key.h"
#include "pipeline/plan.h"
#include "tracking/store.h"

namespace tidemill::engine {

// The result of a step that has been run or reused.
struct KnownResult {
  std::string run_id;     // the run that made it
  std::string artifacts;  // their folder; a path takes five times the memory of its text
  std::string artifact_uri;
  std::string outputs;  // digest of the files there
};

struct Decision {
  enum class What { kRun, kReuse };
  What what = What::kRun;
  std::string reason;                     // one line
  std::vector<std::string> changes = {};  // since its last run, where they are the reason
  std::string key;                        // "" when its result cannot be kept
  std::string identity;               // as key, also when the result cannot be kept: of use within one run
  pipeline::Ingredients ingredients;  // of the key
  KnownResult result;                 // when reused
  std::string left_by = {};           // the run of the same step, made of the same, which has left no result
};

// Names of files and folders that are made, not written.
bool is_not_code(std::string_view name);
// The program that a step starts by this name: beside Tidemill's own, or in PATH. "": there is none.
fs::path program_place(const std::string& name, const fs::path& program_dir);
// Of this process's environment, as it stands in a key.
std::string variable_value(const std::string& name);

class RelianceLog;

class StepCache {
 public:
  StepCache(const pipeline::Plan& plan, tracking::Store& store, const FileHashes& hashes,
            const Options& options);

  // What is looked at is told to the log from now on.
  void tell(RelianceLog& log) { log_ = &log; }

  // That steps which are not to be run again have a result: kInvalid at the place otherwise. To be asked
  // before anything is recorded.
  Result<> check_standing();
  // Whether its latest result is used, whatever has changed since.
  bool stands(size_t step) const;

  // The results of all that these steps need must be known.
  Result<std::vector<Decision>> decide(const std::vector<size_t>& steps);
  // The same in two parts, for one step: first its key as things are now, then what to do.
  Decision key_now(size_t step);
  Result<> decide(size_t step, Decision& decision);

  void learn(size_t step, KnownResult result) { known_[step] = std::move(result); }
  const std::optional<KnownResult>& known(size_t step) const { return known_[step]; }
  // The latest value of a metric of a known step.
  std::optional<std::string> metric(size_t step, const std::string& key) const;

 private:
  struct Source;

  Result<FileTree> look(const fs::path& path, FileHashes::Skip skip = nullptr) const;
  Decision make_key(size_t step);
  Result<Decision> standing(size_t step);
  void forget_files();
  Result<> weigh(size_t step, const std::optional<tracking::StepResult>& found, Decision& decision);
  Result<> tell_why_run(size_t step, Decision& decision) const;
  Result<std::optional<KnownResult>> verify(const tracking::StepResult& found, std::string& problem) const;

  Result<pipeline::Ingredients> ingredients(const pipeline::PlannedStep& step);
  Result<> add_arguments(const pipeline::PlannedStep& step, pipeline::Ingredients& to);
  // When there is something at the path.
  Result<> add_named_file(const std::string& name, const fs::path& path, pipeline::Ingredients& to);
  Result<> add_code(const pipeline::PlannedStep& step, pipeline::Ingredients& to);
  Result<> add_programs(const pipeline::PlannedStep& step, pipeline::Ingredients& to);
  Result<> add_variables(const pipeline::PlannedStep& step, pipeline::Ingredients& to);
  Result<pipeline::Ingredient> ingredient_of(const std::string& name, const config::Template& value,
                                             config::ParameterType type, const fs::path& folder);
  Result<Source> expand(const config::Template& value);
  Result<std::string> content_of(const Source& source);

  const pipeline::Plan& plan_;
  tracking::Store& store_;
  const FileHashes& hashes_;
  const Options& options_;
  RelianceLog* log_ = nullptr;
  std::vector<std::optional<KnownResult>> known_;
  std::map<size_t, KnownResult> standing_;  // what stands for such steps
  // Of one call of decide() or key_now(): many steps share a project.
  std::map<std::pair<fs::path, std::vector<std::string>>, pipeline::Ingredients> code_;
  std::map<std::string, std::string> programs_;
};

}  // namespace tidemill::engine
