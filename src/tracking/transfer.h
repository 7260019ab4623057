// Writes what another store has recorded, with its ids, its times and its deleted things. What is here
// already is changed to what is given, what is missing is added, nothing is removed: a transfer can be
// repeated while the other store still grows. Same guarantees as the Store whose data it writes.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "base/result.h"
#include "tracking/chunk.h"
#include "tracking/logged_models.h"
#include "tracking/registry.h"
#include "tracking/store.h"

namespace tidemill::tracking {

// What an artifact URI is to something that is here already.
enum class Location { kKeep, kReplace };

struct TransferredRun {
  Run run;  // without its metrics: their points come in RunPoints
  std::optional<int64_t> deleted_time;
  Location location = Location::kKeep;
};
struct Series {
  std::string key;
  std::vector<Point> points;
};
// Of a run that is here, or stands before this among the items of the same call. Points that are here already
// are passed over. A metric may come in several pieces.
struct RunPoints {
  std::string run_id;
  std::vector<Series> series;
};
using TransferItem = std::variant<TransferredRun, RunPoints>;

struct Transferred {
  enum class Outcome { kNew, kChanged, kSame };
  Outcome outcome = Outcome::kSame;
  uint64_t new_points = 0;
};

struct TransferredExperiment {
  std::string id;  // here
  Transferred::Outcome outcome = Transferred::Outcome::kSame;
};

struct TransferredModel {
  RegisteredModel model;  // without its latest versions
  std::vector<ModelVersion> versions;
};
struct TransferredModelResult {
  Transferred::Outcome model = Transferred::Outcome::kSame;
  std::vector<Transferred::Outcome> versions;  // of those that were taken
  std::vector<int64_t> refused;                // that are another model's here
};

// A run as a transfer takes it, with the latest point of each metric. kNotFound.
Result<TransferredRun> recorded_run(Store& store, std::string_view id);

class Transfer {
 public:
  // The store must outlive it.
  explicit Transfer(Store& store) : state_(store.state()) {}

  // An experiment is here already when its id and time of creation are, or its name. Else it gets its own id,
  // or the next free one where that id is another experiment's here. The other store's Default takes the
  // place of this one's, when nobody has used that yet.
  Result<TransferredExperiment> put_experiment(const Experiment& experiment, Location location);
  // In one transaction, all or nothing. Each run's experiment is one of here.
  Result<std::vector<Transferred>> put(std::span<const TransferItem> items);
  // Metrics of runs that are not here are left out, and counted in unknown_runs.
  Result<Transferred> put_logged_model(const LoggedModel& model, Location location, size_t& unknown_runs);
  // A version that has the number of one of here, but another source and time of creation, is refused.
  Result<TransferredModelResult> put_registered_model(const TransferredModel& model);

 private:
  Store::State& state_;
};

}  // namespace tidemill::tracking
