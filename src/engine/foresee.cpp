#include <algorithm>

#include "engine/engine.h"
#include "engine/file_tree.h"
#include "engine/gates.h"
#include "engine/step_cache.h"
#include "engine/validation.h"
#include "pipeline/condition.h"
#include "pipeline/resolve.h"

namespace tidemill::engine {
namespace {

using What = Foreseen::What;

constexpr const char* kDataCheck = "; its data would be checked";

class Foresight {
 public:
  Foresight(const pipeline::Plan& plan, tracking::Store* store, const Options& options)
      : plan_(plan),
        store_(store),
        options_(options),
        is_recorded_elsewhere_(options.tracking_server.has_value()),
        hashes_(options.hash_folder(), options.own_places),
        results_(plan.steps.size()) {
    if (store != nullptr) cache_.emplace(plan, *store, hashes_, options);
  }

  Result<std::vector<Foreseen>> all() {
    for (size_t i = 0; i < plan_.steps.size(); ++i) {
      auto [what, reason, changes] = TRY(one(i));
      if (what == What::kSkip) results_[i].state = "skipped";
      if (what == What::kFail) results_[i].state = "failed";
      foreseen_.push_back({plan_.steps[i].name, what, std::move(reason), std::move(changes)});
    }
    return std::move(foreseen_);
  }

 private:
  struct Fate {
    What what;
    std::string reason;
    std::vector<std::string> changes = {};
  };

  Result<Fate> one(size_t index) {
    const auto& step = plan_.steps[index];
    if (step.phase != config::Phase::kMain) return Fate{What::kDepends, "on how the run goes"};
    for (size_t need : step.needs) {
      const What before = foreseen_[need].what;
      if ((before == What::kSkip || before == What::kFail) && !step.tolerates(need))
        return Fate{What::kSkip, fmt::format("needs {}, which would {}", plan_.steps[need].name,
                                             before == What::kFail ? "fail" : "be skipped")};
    }
    if (auto condition = condition_of(step); condition && !condition->holds)
      return Fate{What::kSkip, "its condition does not hold: " + condition->shown};
    const bool is_frozen = step.settings->cache == config::Caching::kFrozen;
    for (size_t need : step.needs)
      if (const What what = foreseen_[need].what;
          !is_frozen && (what == What::kRun || what == What::kDepends))
        return Fate{What::kDepends, fmt::format("depends on what {} makes", plan_.steps[need].name)};
    if (!cache_ && is_frozen) return Fate{What::kFail, "it is frozen, and there is no result of it"};
    if (!cache_) return Fate{What::kRun, "for the first time"};
    Decision decision = TRY(cache_->decide({index}))[0];
    if (decision.what != Decision::What::kReuse)
      return Fate{What::kRun, decision.reason + (step.settings->validate.empty() ? "" : kDataCheck),
                  std::move(decision.changes)};
    results_[index] = {"succeeded", decision.result.run_id, decision.result.artifacts,
                       [this, index](const std::string& key) { return cache_->metric(index, key); }};
    cache_->learn(index, decision.result);
    if (std::string closed = TRY(why_closed(step, decision.result)); !closed.empty())
      return Fate{What::kFail, closed};
    const bool is_looked_at =
        !step.settings->validate.empty() &&
        !Validation(plan_, *store_, options_).have_accepted(step, decision.result.run_id);
    return Fate{What::kReuse, decision.reason + (is_looked_at ? kDataCheck : "")};
  }

  // What its gate has against a known result; "" when it passes, and when that cannot be told yet.
  Result<std::string> why_closed(const pipeline::PlannedStep& step, const KnownResult& result) {
    if (!step.settings->gate) return "";
    auto verdict = verdict_of(*step.settings->gate, result);
    if (verdict) return verdict->passed ? "" : "its gate is closed: " + verdict->text;
    if (verdict.error().code == Code::kUnavailable) return "";
    if (verdict.error().code != Code::kInvalid) return tl::unexpected<Error>(verdict.error());
    return "its gate cannot be judged: " + verdict.error().message;
  }

  Result<pipeline::GateVerdict> verdict_of(const config::Gate& gate, const KnownResult& result) {
    auto candidate = TRY(candidate_for(gate, {{result.artifacts, result.run_id, result.run_id}}, *store_,
                                       [this](const config::Template& value) { return value_of(value); }));
    StoreRegistry registry(*store_);
    if (is_recorded_elsewhere_) candidate.model.clear();  // and the champion is there
    return judge(gate, candidate, registry);
  }

  // An error when it cannot be told yet.
  Result<pipeline::Truth> condition_of(const pipeline::PlannedStep& step) const {
    if (!step.settings->when) return pipeline::Truth{true, ""};
    return pipeline::evaluate(*step.settings->when,
                              [this](const config::Template& value) { return value_of(value); });
  }

  // kUnavailable: not known yet.
  Result<std::string> value_of(const config::Template& value) const {
    for (const auto& reference : value.references())
      if (!is_known(reference))
        return fail(Code::kUnavailable, "{} is not known yet", config::to_string(reference));
    return pipeline::resolve(plan_, value, {}, scope());
  }

  bool is_known(const config::Reference& reference) const {
    auto has_result = [this](size_t step) { return !results_[step].state.empty(); };
    if (reference[0] == "steps") {
      auto steps = plan_.instances(reference[1]);
      return std::all_of(steps.begin(), steps.end(), has_result);
    }
    return reference[0] == "params" || reference[0] == "pipeline";
  }

  pipeline::Scope scope() const {
    return {.run_id = "", .artifacts = "", .experiment_id = "", .step = [this](size_t step) {
              return results_[step];
            }};
  }

  const pipeline::Plan& plan_;
  tracking::Store* store_;  // nullptr: there is none
  const Options& options_;
  const bool is_recorded_elsewhere_;
  FileHashes hashes_;
  std::optional<StepCache> cache_;
  std::vector<Foreseen> foreseen_;
  std::vector<pipeline::StepResult> results_;  // of steps that would be reused or skipped
};

}  // namespace

Result<std::vector<Foreseen>> foresee(const pipeline::Plan& plan, tracking::Store* store,
                                      const Options& options) {
  return Foresight(plan, store, options).all();
}

}  // namespace tidemill::engine
