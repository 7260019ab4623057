// What a transfer did: how many things of each kind were new, changed or as before, and what could not be
// taken.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "tracking/transfer.h"

namespace tidemill::exchange {

struct Problem {
  std::string where;   // a file, with line where there is one, or the thing's name
  std::string reason;  // one sentence
};

class Report {
 public:
  static constexpr size_t kMaxProblems = 1000;  // so many are kept, the others counted

  struct Count {
    uint64_t added = 0, changed = 0, same = 0;

    void add(tracking::Transferred::Outcome outcome);
    uint64_t total() const { return added + changed + same; }
  };
  Count experiments, runs, logged_models, registered_models, model_versions;
  uint64_t points = 0;  // of metrics, new ones
  uint64_t files = 0, file_bytes = 0;

  // Folders of artifacts that were looked for; a run that logged no file may have none.
  uint64_t folders_missing = 0;
  std::string first_missing;

  // What was taken, but not as it was.
  std::vector<std::string> notes;

  void problem(std::string where, std::string reason);
  // Where the error names the place more closely, that is taken.
  void problem(std::string where, const Error& error);
  const std::vector<Problem>& problems() const { return problems_; }
  uint64_t problem_count() const { return problem_count_; }

  Json to_json() const;
  // "12 runs (3 new, 1 changed), 4 experiments (as before)", one line for each kind that occurs.
  std::string to_string() const;

 private:
  std::vector<Problem> problems_;
  uint64_t problem_count_ = 0;
};

}  // namespace tidemill::exchange
