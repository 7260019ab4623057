#include "engine/gates.h"

#include <charconv>

namespace tidemill::engine {

using exchange::ModelRecords;
using tracking::ModelVersion;

namespace {

Result<std::optional<double>> number(const std::optional<config::Template>& limit, const ValueOf& value_of) {
  if (!limit) return std::nullopt;
  std::string text = TRY(value_of(*limit));
  double value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty())
    return config::fail_at(limit->place, "a gate's limit must be a number, and this is '{}'", text);
  return value;
}

Result<std::optional<Champion>> champion_for(const config::Gate& gate, const Candidate& candidate,
                                             ModelRegistry& registry) {
  if (candidate.model.empty()) return std::nullopt;
  return registry.champion(gate, candidate);
}

pipeline::GateVerdict compare(const config::Gate& gate, const Candidate& candidate,
                              const std::optional<Champion>& champion) {
  pipeline::GateLimits limits = candidate.limits;
  // The champion itself, met again, need not be better than it is.
  if (champion && champion->is_candidate) limits.over_champion.reset();
  return pipeline::judge_gate(gate, limits, candidate.value, champion ? champion->value : std::nullopt);
}

}  // namespace

Result<Candidate> candidate_for(const config::Gate& gate, std::vector<Origin> origins, tracking::Store& store,
                                const ValueOf& value_of) {
  auto value = TRY(store.run(origins.front().maker)).metric(gate.metric);
  if (!value) return config::fail_at(gate.place, "the gate's metric '{}' was not logged", gate.metric);
  Candidate candidate;
  candidate.value = *value;
  candidate.limits.least = TRY(number(gate.least, value_of));
  candidate.limits.most = TRY(number(gate.most, value_of));
  candidate.limits.over_champion = TRY(number(gate.over_champion, value_of));
  if (gate.model) candidate.model = TRY(value_of(*gate.model));
  if (gate.artifacts) candidate.source = TRY(value_of(*gate.artifacts));
  candidate.origins = std::move(origins);
  return candidate;
}

Result<pipeline::GateVerdict> judge(const config::Gate& gate, const Candidate& candidate,
                                    ModelRegistry& registry) {
  return compare(gate, candidate, TRY(champion_for(gate, candidate, registry)));
}

Result<pipeline::GateVerdict> pass(const config::Gate& gate, const Candidate& candidate,
                                   ModelRegistry& registry) {
  const auto champion = TRY(champion_for(gate, candidate, registry));
  auto verdict = compare(gate, candidate, champion);
  if (!verdict.passed || candidate.model.empty()) return verdict;
  if (champion && champion->is_candidate) {
    verdict.text +=
        fmt::format("; it is {} version {}, the {}", candidate.model, champion->version, gate.alias);
  } else {
    const std::string version = TRY(registry.promote(gate, candidate, verdict.text));
    verdict.text += fmt::format("; {} version {} is {}", candidate.model, version, gate.alias);
  }
  return verdict;
}

Result<std::optional<ModelVersion>> version_of_champion(ModelRecords& models, const config::Gate& gate,
                                                        const std::string& model) {
  auto found = models.version_by_alias(model, gate.alias);
  if (!found && (found.error().code == Code::kNotFound || found.error().code == Code::kInvalid))
    return std::nullopt;
  return TRY(std::move(found));
}

Result<std::string> register_once(ModelRecords& models, const tracking::CreateVersion& create,
                                  const std::string& alias, const IsVersion& is_it) {
  if (auto model = models.model(create.name); !model) {
    if (model.error().code != Code::kNotFound) return tl::unexpected<Error>(model.error());
    TRY(models.create({.name = create.name, .description = "", .tags = {}}));
  }
  int64_t number = 0;
  tracking::SearchRegistry search{.filter = fmt::format("run_id = '{}'", create.run_id),
                                  .max_results = 1000,
                                  .order_by = {},
                                  .page_token = {}};
  do {
    auto page = TRY(models.search_versions(search));
    for (const auto& version : page.items)
      if (version.name == create.name && is_it(version)) number = version.version;
    search.page_token = page.next_page_token;
  } while (number == 0 && !search.page_token.empty());
  if (number == 0) number = TRY(models.create_version(create)).version;
  TRY(models.set_alias(create.name, alias, number));
  return std::to_string(number);
}

Result<std::optional<Champion>> StoreRegistry::champion(const config::Gate& gate,
                                                        const Candidate& candidate) {
  const auto version = TRY(version_of_champion(*exchange::models_in(store_), gate, candidate.model));
  if (!version) return std::nullopt;
  Champion champion{.version = std::to_string(version->version),
                    .is_candidate = version->run_id == candidate.result().maker};
  if (!version->run_id.empty())
    if (auto run = store_.run(version->run_id)) champion.value = run->metric(gate.metric);
  return champion;
}

Result<std::string> StoreRegistry::promote(const config::Gate& gate, const Candidate& candidate,
                                           const std::string& why) {
  const tracking::Run run = TRY(store_.run(candidate.result().maker));
  const std::string source = candidate.source.empty() ? run.info.artifact_uri : candidate.source;
  return register_once(*exchange::models_in(store_),
                       {.name = candidate.model,
                        .source = source,
                        .storage_location = "",
                        .run_id = run.info.id,
                        .run_link = "",
                        .model_id = "",
                        .description = "",
                        .tags = {{"tidemill.gate", why}}},
                       gate.alias, [&](const ModelVersion& version) { return version.source == source; });
}

}  // namespace tidemill::engine
