#include "engine/server_registry.h"

#include "exchange/mlflow_json.h"

namespace tidemill::engine {
namespace {

// Of a version: the run that was judged. Servers want a version's own run to be the one that has its files.
constexpr std::string_view kJudgedTag = "tidemill.gate_run";

std::string judged_run(const tracking::ModelVersion& version) {
  for (const auto& [key, value] : version.tags)
    if (key == kJudgedTag) return value;
  return version.run_id;
}

}  // namespace

Result<ServerRegistry> ServerRegistry::connect(Mirror& mirror, tracking::Store& store) {
  auto api = std::make_shared<exchange::MlflowApi>(TRY(exchange::MlflowApi::connect(mirror.address())));
  return ServerRegistry(mirror, store, std::move(api));
}

Result<std::optional<Champion>> ServerRegistry::champion(const config::Gate& gate,
                                                         const Candidate& candidate) {
  const auto version = TRY(version_of_champion(*models_, gate, candidate.model));
  if (!version) return std::nullopt;
  Champion champion{.version = std::to_string(version->version)};
  const std::string judged = judged_run(*version);
  if (judged.empty()) return champion;
  auto reply = api_->get("runs/get", {{"run_id", judged}});
  if (!reply && reply.error().code == Code::kNotFound) return champion;
  const auto run = TRY(exchange::run_from(TRY(std::move(reply)).value("run", Json::object())));
  champion.value = run.metric(gate.metric);
  champion.is_candidate = is_result(run, candidate.result());
  return champion;
}

bool ServerRegistry::is_result(const tracking::Run& there, const Origin& result) const {
  const std::string here(there.tag(exchange::kPushedFromTag));
  if (here.empty() || here == result.maker) return !here.empty();
  auto run = store_.run(here);
  return run && run->tag("tidemill.reused_run") == result.maker;
}

Result<std::string> ServerRegistry::promote(const config::Gate& gate, const Candidate& candidate,
                                            const std::string& why) {
  const Origin& result = candidate.result();
  // What it has refused was told of already.
  if (auto sent = mirror_.finish(); !sent && sent.error().code != Code::kInvalid)
    return tl::unexpected<Error>(sent.error());
  const std::string judged = TRY(mirror_.holder_of(result.maker, result.own)).id;
  const Source source = TRY(source_there(candidate));
  return register_once(*models_,
                       {.name = candidate.model,
                        .source = source.uri,
                        .storage_location = "",
                        .run_id = source.run,
                        .run_link = "",
                        .model_id = "",
                        .description = "",
                        .tags = {{"tidemill.gate", why}, {std::string(kJudgedTag), judged}}},
                       gate.alias, [&](const tracking::ModelVersion& version) {
                         return version.source == source.uri && judged_run(version) == judged;
                       });
}

Result<ServerRegistry::Source> ServerRegistry::source_there(const Candidate& candidate) {
  const std::string_view source =
      candidate.source.empty() ? candidate.result().folder : std::string_view(candidate.source);
  for (const Origin& origin : candidate.origins) {
    if (!source.starts_with(origin.folder)) continue;
    const std::string_view below = source.substr(origin.folder.size());
    if (!below.empty() && below[0] != '/') continue;
    const auto holder = TRY(mirror_.holder_of(origin.maker, origin.own));
    return Source{holder.id, holder.artifact_uri + std::string(below)};
  }
  return fail(Code::kInvalid, "{} is among the files of no step that the gate's step needs", source);
}

Result<pipeline::GateVerdict> pass_there(const config::Gate& gate, const Candidate& candidate, Mirror& mirror,
                                         tracking::Store& store) {
  auto registry = ServerRegistry::connect(mirror, store);
  auto verdict = registry ? pass(gate, candidate, *registry)
                          : Result<pipeline::GateVerdict>(tl::unexpected<Error>(registry.error()));
  if (!verdict && verdict.error().code == Code::kCancelled) return verdict;
  if (!verdict) return fail(Code::kInvalid, "{}: {}", mirror.server(), verdict.error().message);
  if (verdict->passed) verdict->text += " at " + mirror.server();
  return verdict;
}

}  // namespace tidemill::engine
