// What is known of a run, as a list of facts that can be laid beside those of others: parameters, what its
// steps were made of, the machine, packages, git, metrics.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "cli/records.h"

namespace tidemill::cli {

struct Fact {
  std::string kind;  // "parameter", "code", "input", "machine", "package", "git", "metric", ...
  std::string name;  // of what belongs to a step, with the step in front: "train/accuracy"
  std::string value;

  bool same_thing(const Fact& other) const { return kind == other.kind && name == other.name; }
};

struct RunFacts {
  tracking::Run run;
  std::vector<Fact> facts;
  bool has_record = false;  // false: from before there were records, or not of a pipeline

  // "" when there is none.
  std::string value(const Fact& like) const;
};

// Of a pipeline's run with its steps. What cannot be read of its artifacts is left out.
Result<RunFacts> facts_of(Records& records, const std::string& run_id);
// The runs of a pipeline's steps, the latest attempt of each.
Result<std::vector<tracking::Run>> step_runs(Records& records, const tracking::Run& parent);
// A JSON file among a run's artifacts; null when it is not there.
Json artifact_json(const Result<std::unique_ptr<artifacts::ArtifactRepository>>& files,
                   std::string_view path);

// The steps of a run's plan, as far as it has been written down among its artifacts.
std::vector<std::string> planned_steps(const Result<std::unique_ptr<artifacts::ArtifactRepository>>& files);
// What is recorded of the steps in the order of that plan, with those that have not had their turn yet.
std::vector<tracking::StepRecord> in_order(std::vector<tracking::StepRecord> recorded,
                                           const std::vector<std::string>& planned);

// Kind and name of everything that any of them knows, in the order of the first that does.
std::vector<Fact> all_things(const std::vector<RunFacts>& runs);
// Those whose values are not all the same; a thing that one of them lacks differs.
std::vector<Fact> differing(const std::vector<RunFacts>& runs);

// A row for each, a column for each run, long values cut.
std::string difference_table(const std::vector<RunFacts>& runs, const std::vector<Fact>& things);

// The facts of a record.json alone.
std::vector<Fact> facts_of_record(const Json& record);

}  // namespace tidemill::cli
