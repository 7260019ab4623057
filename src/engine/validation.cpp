#include "engine/validation.h"

#include "artifacts/folder_repository.h"
#include "base/hash.h"
#include "base/text.h"
#include "checks/check.h"
#include "engine/record.h"

namespace tidemill::engine {
namespace {

using config::DataCheck;

std::string quoted(const std::string& text) {
  std::string out;
  for (char c : text) out += c == '\'' ? "''" : std::string(1, c);
  return "'" + out + "'";
}

// One check with what is excluded by it.
struct Examined {
  checks::Report report;
  std::string excluded;  // a line for each item
  size_t excluded_count = 0;
};

Result<Examined> examine_one(const DataCheck& check, const fs::path& folder, Outputs outputs,
                             const checks::Distributions& accepted, const std::stop_token& stop) {
  Examined examined;
  examined.report = TRY(checks::look_at(check, folder, accepted, stop));
  const auto& bad = examined.report.bad;
  if (check.otherwise != DataCheck::Otherwise::kExclude || outputs != Outputs::kFresh || bad.empty() ||
      !examined.report.bad_is_whole)
    return examined;
  TRY(checks::exclude(check, folder, bad));
  for (const auto& item : bad)
    examined.excluded += fmt::format("{}\t{}\t{}\n", check.path, item.name, item.reason);
  examined.excluded_count = bad.size();
  examined.report = TRY(checks::look_at(check, folder, accepted, stop));
  return examined;
}

std::string accepted_tag_of(const pipeline::PlannedStep& step) {
  return "accepted " + sha256_hex(config::identity_of(step.settings->validate)).substr(0, 16);
}

}  // namespace

bool Validation::have_accepted(const pipeline::PlannedStep& step, const std::string& run_id) const {
  auto run = store_.run(run_id);
  return run && run->tag(kValidationTag) == accepted_tag_of(step);
}

Result<Validation::Found> Validation::examine(const pipeline::PlannedStep& step, const KnownResult& result,
                                              Outputs outputs, const Where& where,
                                              const std::stop_token& stop) const {
  const auto& all = step.settings->validate;
  if (outputs == Outputs::kKept && have_accepted(step, result.run_id)) return Found{};
  auto before = TRY(accepted_before(step, where));
  Found found;
  Json report = {{"step", step.name}, {"checks", Json::array()}};
  std::vector<std::string> reasons;
  std::string excluded;
  for (const auto& check : all) {
    Examined examined = TRY(examine_one(check, result.artifacts, outputs, before[check.path], stop));
    Json entry = checks::to_json(examined.report);
    entry["path"] = check.path;
    entry["otherwise"] = config::to_string(check.otherwise);
    entry["excluded"] = examined.excluded_count;
    report["checks"].push_back(std::move(entry));
    excluded += examined.excluded;
    if (examined.excluded_count > 0)
      found.notes.push_back(fmt::format("{}: {} excluded", check.path, examined.excluded_count));
    for (const auto& problem : examined.report.problems) {
      std::string text = check.path + ": " + problem;
      if (check.otherwise == DataCheck::Otherwise::kWarn)
        found.notes.push_back("warning: " + text);
      else
        reasons.push_back(fmt::format("{}: {}", check.place.to_string(), text));
    }
  }
  found.accepted = reasons.empty();
  found.reason = join(reasons, "; ");
  found.tag = found.accepted ? accepted_tag_of(step) : "refused: " + found.reason.substr(0, 4'000);
  report["accepted"] = found.accepted;
  const fs::path folder = where.artifacts / "validation";
  TRY(make_dirs(folder));
  TRY(write_file_atomic(folder / (step.name + ".json"), dump_json(report, 1) + "\n", Durable::no));
  if (!excluded.empty())
    TRY(write_file_atomic(folder / (step.name + ".excluded.txt"), excluded, Durable::no));
  return found;
}

Result<std::map<std::string, checks::Distributions>> Validation::accepted_before(
    const pipeline::PlannedStep& step, const Where& where) const {
  std::map<std::string, checks::Distributions> distributions;
  const auto& all = step.settings->validate;
  if (std::none_of(all.begin(), all.end(), [](const auto& check) { return check.drift.has_value(); }))
    return distributions;
  auto runs = TRY(
      store_.search_runs({.experiment_ids = {where.experiment_id},
                          .filter = fmt::format("tags.`tidemill.step` = {} AND tags.`{}` LIKE 'accepted%'",
                                                quoted(step.name), kValidationTag),
                          .max_results = 20,
                          .order_by = {"start_time DESC"},
                          .page_token = {}}));
  for (const auto& run : runs.items) {
    auto parent = store_.run(pipeline_run_of(run));
    if (!parent || parent->tag("tidemill.pipeline") != plan_.name) continue;
    auto folder = artifacts::local_folder(parent->info.artifact_uri, options_.artifact_root);
    auto text = folder ? read_file(*folder / "validation" / (step.name + ".json"), 64 << 20)
                       : Result<std::string>("");
    auto report = text ? parse_json(*text) : Result<Json>(Json());
    if (!report || !report->is_object() || !report->contains("checks")) continue;
    for (const auto& check : (*report)["checks"])
      if (check.is_object() && check.contains("distributions"))
        distributions[json_string(check, "path")] = checks::distributions_from(check["distributions"]);
    return distributions;
  }
  return distributions;
}

}  // namespace tidemill::engine
