#include "cli/run_facts.h"

#include <algorithm>
#include <map>
#include <set>

#include "artifacts/artifact_repository.h"
#include "cli/format.h"
#include "engine/record.h"
#include "engine/snapshot.h"

namespace tidemill::cli {
namespace {

constexpr uint64_t kMostBytes = 64ull << 20;  // of a file of the record

std::string text_of(const Json& value) {
  return value.is_string() ? value.get<std::string>() : dump_json(value);
}

void add_all(const Json& object, const std::string& kind, const std::string& prefix,
             std::vector<Fact>& facts) {
  if (!object.is_object()) return;
  for (const auto& [name, value] : object.items()) facts.push_back({kind, prefix + name, text_of(value)});
}

void add_software(const Json& software, std::vector<Fact>& facts) {
  if (!software.is_object()) return;
  for (const auto& [program, python] : software.items()) {
    if (!python.is_object()) continue;
    facts.push_back({"package", "python", json_string(python, "version")});
    if (python.contains("packages")) add_all(python["packages"], "package", "", facts);
  }
}

void add_projects(const Json& projects, std::vector<Fact>& facts) {
  if (!projects.is_object()) return;
  for (const auto& [name, project] : projects.items()) {
    if (!project.is_object()) continue;
    const std::string prefix = name == "." ? "" : name + "/";
    if (project.contains("files")) add_all(project["files"], "lock file", prefix, facts);
    if (project.contains("image"))
      facts.push_back({"environment", prefix + "image", text_of(project["image"])});
    if (project.contains("environment")) add_all(project["environment"], "environment", prefix, facts);
  }
}

// What the steps' keys were made of, and their results; parameters are known from the runs.
void add_steps(const Json& steps, std::vector<Fact>& facts) {
  if (!steps.is_object()) return;
  for (const auto& [step, entry] : steps.items()) {
    if (!entry.is_object()) continue;
    if (std::string made = json_string(entry, "made"); !made.empty()) facts.push_back({"output", step, made});
    if (!entry.contains("ingredients") || !entry["ingredients"].is_array()) continue;
    for (const auto& ingredient : entry["ingredients"])
      facts.push_back({json_string(ingredient, "kind"), step + "/" + json_string(ingredient, "name"),
                       json_string(ingredient, "value")});
  }
}

void add_metrics(const tracking::Run& run, const std::string& prefix, std::vector<Fact>& facts) {
  for (const auto& metric : run.metrics)
    if (!metric.key.starts_with("system/"))
      facts.push_back({"metric", prefix + metric.key, number(metric.value)});
}

// One thing may be known in two ways, as a Python that has two names.
void keep_first_of_each(std::vector<Fact>& facts) {
  std::set<std::pair<std::string, std::string>> seen;
  std::erase_if(facts, [&](const Fact& fact) { return !seen.emplace(fact.kind, fact.name).second; });
}

void keep_latest(tracking::Run run, std::vector<tracking::Run>& latest) {
  auto same = [&](const auto& other) { return other.tag("tidemill.step") == run.tag("tidemill.step"); };
  auto before = std::find_if(latest.begin(), latest.end(), same);
  if (before == latest.end() || run.tag("tidemill.step").empty())
    latest.push_back(std::move(run));
  else
    *before = std::move(run);
}

}  // namespace

std::string RunFacts::value(const Fact& like) const {
  for (const auto& fact : facts)
    if (fact.same_thing(like)) return fact.value;
  return "";
}

std::vector<std::string> planned_steps(const Result<std::unique_ptr<artifacts::ArtifactRepository>>& files) {
  const Json record = artifact_json(files, engine::kRecordFile);
  if (!record.is_object() || !record.contains("pipeline") || !record["pipeline"].contains("steps")) return {};
  std::vector<std::string> names;
  for (const auto& step : record["pipeline"]["steps"]) names.push_back(json_string(step, "step"));
  return names;
}

std::vector<tracking::StepRecord> in_order(std::vector<tracking::StepRecord> recorded,
                                           const std::vector<std::string>& planned) {
  std::map<std::string, size_t> known;
  for (size_t i = 0; i < recorded.size(); ++i) known.emplace(recorded[i].step, i);
  std::vector<tracking::StepRecord> steps;
  for (const auto& name : planned) {
    auto found = known.find(name);
    if (found != known.end()) {
      steps.push_back(std::move(recorded[found->second]));
      known.erase(found);
    } else {
      steps.push_back({.run_id = {},
                       .step = name,
                       .state = std::string(to_string(engine::StepState::kWaiting)),
                       .attempt = 0,
                       .step_run = {},
                       .key = {},
                       .reason = {}});
    }
  }
  for (const auto& [name, index] : known) steps.push_back(std::move(recorded[index]));
  return steps;
}

Json artifact_json(const Result<std::unique_ptr<artifacts::ArtifactRepository>>& files,
                   std::string_view path) {
  auto folder = TempDir::create();
  if (!files || !folder || !(*files)->download(path, folder->path() / "file")) return {};
  auto text = read_file(folder->path() / "file", kMostBytes);
  return text ? parse_json(*text).value_or(Json()) : Json();
}

std::vector<Fact> facts_of_record(const Json& record) {
  std::vector<Fact> facts;
  if (!record.is_object()) return facts;
  facts.push_back({"tool", "tidemill", json_string(record, "tidemill")});
  if (record.contains("machine")) add_all(record["machine"], "machine", "", facts);
  if (record.contains("software")) add_software(record["software"], facts);
  if (record.contains("projects")) add_projects(record["projects"], facts);
  if (record.contains("git"))
    for (const char* name : {"commit", "branch", "diff_sha256"})
      if (std::string value = json_string(record["git"], name); !value.empty())
        facts.push_back({"git", name, value});
  keep_first_of_each(facts);
  return facts;
}

// Steps that are reused without a run of their own: the runs that made their results, as these steps.
static Result<> add_reused(Records& records, const std::string& parent, std::vector<tracking::Run>& runs) {
  std::set<std::string> own;
  for (const auto& run : runs) own.insert(run.info.id);
  for (const auto& record : TRY(records.step_records(parent))) {
    if (record.state != "reused" || own.count(record.step_run) > 0) continue;
    auto run = records.run(record.step_run);
    if (!run) continue;  // removed for good since
    std::erase_if(run->tags, [](const auto& tag) { return tag.first == "tidemill.step"; });
    run->tags.emplace_back("tidemill.step", record.step);
    run->info.name = record.step;
    runs.push_back(std::move(*run));
  }
  return {};
}

Result<std::vector<tracking::Run>> step_runs(Records& records, const tracking::Run& parent) {
  std::vector<tracking::Run> latest;
  // Those of a pipeline within it stand below a run between.
  for (std::string_view tag : {std::string_view("mlflow.parentRunId"), engine::kPartOfTag}) {
    tracking::SearchRuns search{.experiment_ids = {parent.info.experiment_id},
                                .filter = fmt::format("tags.`{}` = '{}'", tag, parent.info.id),
                                .order_by = {"start_time ASC"},
                                .page_token = {}};
    do {
      auto page = TRY(records.search_runs(search));
      for (auto& run : page.items)
        if (run.tag(engine::kNestTag).empty()) keep_latest(std::move(run), latest);
      search.page_token = page.next_page_token;
    } while (!search.page_token.empty());
  }
  TRY(add_reused(records, parent.info.id, latest));
  return latest;
}

Result<RunFacts> facts_of(Records& records, const std::string& run_id) {
  RunFacts all{.run = TRY(records.run(run_id)), .facts = {}};
  for (const auto& [name, value] : engine::params_now(all.run))
    all.facts.push_back({"parameter", name, value});
  auto files = records.files_at(all.run.info.artifact_uri);
  Json record = artifact_json(files, engine::kRecordFile);
  add_steps(artifact_json(files, engine::kStepsFile), all.facts);
  all.has_record = record.is_object();
  for (auto& fact : facts_of_record(record)) all.facts.push_back(std::move(fact));
  for (const auto& input : all.run.datasets)
    all.facts.push_back({"data set", input.dataset.name, input.dataset.digest});
  add_metrics(all.run, "", all.facts);
  for (const auto& step : TRY(step_runs(records, all.run))) {
    std::string name(step.tag("tidemill.step"));
    if (name.empty()) name = step.info.name;
    all.facts.push_back({"step", name, std::string(tracking::to_string(step.info.status))});
    add_metrics(step, name + "/", all.facts);
  }
  keep_first_of_each(all.facts);
  return all;
}

std::vector<Fact> all_things(const std::vector<RunFacts>& runs) {
  std::vector<Fact> things;
  std::set<std::pair<std::string, std::string>> seen;
  for (const auto& run : runs)
    for (const auto& fact : run.facts)
      if (seen.emplace(fact.kind, fact.name).second) things.push_back({fact.kind, fact.name, ""});
  // One kind after the other, in the order in which they come up.
  std::vector<std::string> kinds;
  for (const auto& thing : things)
    if (std::find(kinds.begin(), kinds.end(), thing.kind) == kinds.end()) kinds.push_back(thing.kind);
  auto rank = [&](const Fact& thing) { return std::find(kinds.begin(), kinds.end(), thing.kind); };
  std::stable_sort(things.begin(), things.end(),
                   [&](const Fact& a, const Fact& b) { return rank(a) < rank(b); });
  return things;
}

std::vector<Fact> differing(const std::vector<RunFacts>& runs) {
  std::vector<std::map<std::pair<std::string, std::string>, std::string>> values;
  for (const auto& run : runs) {
    values.emplace_back();
    for (const auto& fact : run.facts) values.back().emplace(std::pair(fact.kind, fact.name), fact.value);
  }
  std::vector<Fact> things = all_things(runs);
  std::erase_if(things, [&](const Fact& thing) {
    std::pair key(thing.kind, thing.name);
    auto first = values[0].find(key);
    return first != values[0].end() && std::all_of(values.begin(), values.end(), [&](const auto& known) {
             auto found = known.find(key);
             return found != known.end() && found->second == first->second;
           });
  });
  return things;
}

}  // namespace tidemill::cli
