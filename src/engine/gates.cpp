#include "engine/gates.h"

#include <charconv>

namespace tidemill::engine {
namespace {

Result<std::optional<double>> number(const std::optional<config::Template>& limit,
                                     const Gates::ValueOf& value_of) {
  if (!limit) return std::nullopt;
  std::string text = TRY(value_of(*limit));
  double value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty())
    return config::fail_at(limit->place, "a gate's limit must be a number, and this is '{}'", text);
  return value;
}

}  // namespace

Result<pipeline::GateVerdict> Gates::pass(const config::Gate& gate, const std::string& result_run,
                                          const ValueOf& value_of) {
  auto run = TRY(store_.run(result_run));
  auto value = run.metric(gate.metric);
  if (!value) return config::fail_at(gate.place, "the gate's metric '{}' was not logged", gate.metric);
  const pipeline::GateLimits limits{.least = TRY(number(gate.least, value_of)),
                                    .most = TRY(number(gate.most, value_of)),
                                    .over_champion = TRY(number(gate.over_champion, value_of))};
  const std::string model = gate.model ? TRY(value_of(*gate.model)) : "";
  auto before = TRY(champion(model, gate.alias));
  // The champion itself, met again, need not be better than it is.
  const bool is_champion = before && before->run_id == result_run;
  std::optional<double> to_beat;
  if (before && !is_champion && !before->run_id.empty())
    if (auto its_run = store_.run(before->run_id)) to_beat = its_run->metric(gate.metric);
  auto verdict = pipeline::judge_gate(gate, limits, *value, to_beat);
  if (!verdict.passed || model.empty()) return verdict;
  if (!is_champion) {
    std::string source = gate.artifacts ? TRY(value_of(*gate.artifacts)) : run.info.artifact_uri;
    auto version = TRY(registered(model, run, source, verdict.text));
    TRY(tracking::Registry(store_).set_alias(model, gate.alias, version.version));
    verdict.text += fmt::format("; {} version {} is {}", model, version.version, gate.alias);
  } else {
    verdict.text += fmt::format("; it is {} version {}, the {}", model, before->version, gate.alias);
  }
  return verdict;
}

Result<std::optional<tracking::ModelVersion>> Gates::champion(const std::string& model,
                                                              const std::string& alias) {
  if (model.empty()) return std::nullopt;
  auto found = tracking::Registry(store_).version_by_alias(model, alias);
  if (found) return std::optional(std::move(*found));
  if (found.error().code == Code::kNotFound || found.error().code == Code::kInvalid) return std::nullopt;
  return tl::unexpected<Error>(found.error());
}

Result<tracking::ModelVersion> Gates::registered(const std::string& name, const tracking::Run& run,
                                                 const std::string& source, const std::string& text) {
  tracking::Registry registry(store_);
  if (auto model = registry.model(name); !model) {
    if (model.error().code != Code::kNotFound) return tl::unexpected<Error>(model.error());
    TRY(registry.create_model({.name = name, .description = "", .tags = {}}));
  }
  auto known = TRY(registry.search_versions({.filter = fmt::format("run_id = '{}'", run.info.id),
                                             .max_results = 1000,
                                             .order_by = {},
                                             .page_token = {}}));
  for (auto& version : known.items)
    if (version.name == name && version.source == source) return std::move(version);
  return registry.create_version({.name = name,
                                  .source = source,
                                  .storage_location = "",
                                  .run_id = run.info.id,
                                  .run_link = "",
                                  .model_id = "",
                                  .description = "",
                                  .tags = {{"tidemill.gate", text}}});
}

}  // namespace tidemill::engine
