// The gates of steps: their metrics against thresholds and against the champion of a registry; what has
// passed is registered.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "exchange/model_records.h"
#include "pipeline/gate.h"
#include "pipeline/plan.h"
#include "tracking/store.h"

namespace tidemill::engine {

// The result of a step, or of the whole run: where its files lie here, and whose they are.
struct Origin {
  std::string folder;
  std::string maker, own;  // the run that made it, and the step's own, another one when the result is reused
};

// A result that comes to a gate.
struct Candidate {
  double value = 0;  // of the gate's metric
  pipeline::GateLimits limits;
  std::string model;            // "": nothing is registered
  std::string source;           // what is registered, as it lies here; "": the files of the result
  std::vector<Origin> origins;  // of all that the source may lie in; that of the result is the first

  const Origin& result() const { return origins.front(); }
};

struct Champion {
  std::string version;
  bool is_candidate = false;    // it is the very result
  std::optional<double> value;  // of the gate's metric
};

// Where models are registered.
class ModelRegistry {
 public:
  virtual ~ModelRegistry() = default;
  // nullopt: no version has the alias.
  virtual Result<std::optional<Champion>> champion(const config::Gate& gate, const Candidate& candidate) = 0;
  // Registers the candidate, once for each result however often this is called, and moves the gate's alias to
  // it. why: kept with the version. Returns the version.
  virtual Result<std::string> promote(const config::Gate& gate, const Candidate& candidate,
                                      const std::string& why) = 0;
};

// What registries have in common. The version that has the gate's alias; nullopt: none has.
Result<std::optional<tracking::ModelVersion>> version_of_champion(exchange::ModelRecords& models,
                                                                  const config::Gate& gate,
                                                                  const std::string& model);
// Registers the version, unless is_it says that one of the model and of its run is it already, and moves the
// alias. Returns its number.
using IsVersion = std::function<bool(const tracking::ModelVersion&)>;
Result<std::string> register_once(exchange::ModelRecords& models, const tracking::CreateVersion& create,
                                  const std::string& alias, const IsVersion& is_it);

// That of the store in which the run is recorded.
class StoreRegistry final : public ModelRegistry {
 public:
  explicit StoreRegistry(tracking::Store& store) : store_(store) {}
  Result<std::optional<Champion>> champion(const config::Gate& gate, const Candidate& candidate) override;
  Result<std::string> promote(const config::Gate& gate, const Candidate& candidate,
                              const std::string& why) override;

 private:
  tracking::Store& store_;
};

// The run of the result must have ended. kInvalid: the step has not logged the metric, or a limit is not a
// number.
using ValueOf = std::function<Result<std::string>(const config::Template&)>;
Result<Candidate> candidate_for(const config::Gate& gate, std::vector<Origin> origins, tracking::Store& store,
                                const ValueOf& value_of);
Result<pipeline::GateVerdict> judge(const config::Gate& gate, const Candidate& candidate,
                                    ModelRegistry& registry);
// The same; and when it passes, the model is registered and the alias moved.
Result<pipeline::GateVerdict> pass(const config::Gate& gate, const Candidate& candidate,
                                   ModelRegistry& registry);

}  // namespace tidemill::engine
