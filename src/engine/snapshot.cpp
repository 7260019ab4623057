#include "engine/snapshot.h"

#include <set>

#include "base/hash.h"
#include "base/text.h"
#include "base/time.h"
#include "engine/fetcher.h"
#include "engine/git.h"
#include "engine/secrets.h"
#include "pipeline/diagram.h"
#include "sys/mask.h"

namespace tidemill::engine {
namespace {

constexpr size_t kMostSteps = 1'000;  // that are listed one by one
constexpr size_t kMostDrawn = 300;
constexpr uint64_t kMostLockBytes = 64ull << 20;  // of a file that is hashed

bool is_lock_file(const std::string& name) {
  static const std::set<std::string> kNames = {
      "uv.lock",          "poetry.lock",    "pdm.lock",          "Pipfile.lock",  "pixi.lock",
      "conda-lock.yml",   "pyproject.toml", "python_env.yaml",   "conda.yaml",    "environment.yml",
      "environment.yaml", "setup.cfg",      "package-lock.json", "Cargo.lock",    "go.sum",
      "renv.lock",        "vcpkg.json",     "conan.lock",        "conanfile.txt", "Dockerfile"};
  return kNames.count(name) > 0 || (name.starts_with("requirements") && name.ends_with(".txt"));
}

// The files of a project that say what it wants installed, with their hashes.
Json lock_files(const config::Project& project) {
  std::set<fs::path> files;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(project.folder, ignored))
    if (is_lock_file(entry.path().filename().string())) files.insert(entry.path());
  if (!project.environment.file.empty()) files.insert(project.environment.file);
  Json hashes = Json::object();
  for (const auto& file : files) {
    if (fs::file_size(file, ignored) > kMostLockBytes) continue;
    if (auto hash = sha256_file(file)) hashes[file.lexically_relative(project.folder).string()] = *hash;
  }
  return hashes;
}

Json describe_projects(const pipeline::Plan& plan, const Options& options) {
  Json projects = Json::object();
  for (const auto& step : plan.steps) {
    const config::Project& project = *step.project;
    std::string name = project.folder.lexically_relative(plan.folder).string();
    if (projects.contains(name)) continue;
    Json entry = {{"folder", project.folder.string()}, {"files", lock_files(project)}};
    if (project.environment.kind != config::EnvironmentKind::kNone)
      entry["asks_for"] = config::to_string(project.environment.kind);
    if (!project.environment.docker.image.empty()) entry["image"] = project.environment.docker.image;
    if (auto made = options.environments.find(project.folder); made != options.environments.end()) {
      entry["environment"] = {{"manager", projects::to_string(made->second.manager)},
                              {"id", made->second.id}};
      if (const auto& container = made->second.container) {
        entry["environment"]["image_id"] = container->image;
        if (!container->digest.empty()) entry["environment"]["image_digest"] = container->digest;
      }
    }
    projects[name] = std::move(entry);
    if (projects.size() >= kMostSteps) break;
  }
  return projects;
}

std::string written(const config::Template& value) {
  std::string text;
  for (const auto& part : value.parts) {
    const auto* plain = std::get_if<std::string>(&part);
    text += plain != nullptr ? *plain : config::to_string(std::get<config::Reference>(part));
  }
  return text;
}

Json describe_plan(const pipeline::Plan& plan) {
  Json params = Json::object(), steps = Json::array();
  for (const auto& [name, value] : plan.params) params[name] = value;
  for (const auto& step : plan.steps) {
    if (steps.size() >= kMostSteps) break;
    Json arguments = Json::object(), needs = Json::array();
    for (const auto& argument : step.arguments) arguments[argument.name] = written(argument.value);
    for (size_t need : step.needs) needs.push_back(plan.steps[need].name);
    Json entry = {{"step", step.name},
                  {"project", step.project->folder.lexically_relative(plan.folder).string()},
                  {"entry_point", step.entry->name},
                  {"command", step.entry->command},
                  {"params", std::move(arguments)},
                  {"needs", std::move(needs)}};
    if (step.settings->when) entry["when"] = step.settings->when->text;
    if (step.phase != config::Phase::kMain) entry["phase"] = config::to_string(step.phase);
    for (const auto& [name, value] : step.each) entry["each"][name] = value;
    steps.push_back(std::move(entry));
  }
  Json inputs = Json::object();
  for (const auto& input : plan.inputs) {
    Json entry = Json::object();
    if (!input.url.empty()) entry["url"] = shown_url(input.url);
    if (!input.query.empty()) {
      entry["query"] = input.query;
      entry["database"] = input.database.empty() ? "$" + input.database_variable : input.database;
    }
    entry["file"] = input.file.string();
    inputs[input.name] = std::move(entry);
  }
  return {{"name", plan.name},
          {"file", (plan.folder / fs::path(plan.file).filename()).string()},
          {"folder", plan.folder.string()},
          {"params", params},
          {"inputs", inputs},
          {"step_count", plan.steps.size()},
          {"steps", std::move(steps)}};
}

Json describe_git(const GitWork& work) {
  Json git = {{"root", work.root},
              {"commit", work.commit},
              {"branch", work.branch},
              {"remote", work.remote},
              {"changed", work.changed},
              {"untracked", work.untracked},
              {"diff_complete", work.diff_is_whole}};
  if (!work.diff.empty()) git["diff_sha256"] = sha256_hex(work.diff);
  return git;
}

}  // namespace

void renew_record(Json& record, const fs::path& folder) {
  record["time"] = format_utc(now_ms());
  record["machine"] = describe_machine();
  record.erase("git");
  if (auto work = git_work(folder, {})) record["git"] = describe_git(*work);
}

Snapshot::Snapshot(const pipeline::Plan& plan, const Options& options)
    : plan_(plan),
      gathering_(std::async(std::launch::async, [&plan, &options] { return gather(plan, options); })) {}

Snapshot::Gathered Snapshot::gather(const pipeline::Plan& plan, const Options& options) {
  Gathered gathered;
  std::vector<fs::path> secret_files;
  for (const auto& secret : plan.secrets)
    if (!secret.file.empty()) secret_files.push_back(plan.folder / secret.file);
  auto work = git_work(plan.folder, secret_files);
  Json& record = gathered.record;
  record = {{"format", 1},
            {"tidemill", TIDEMILL_VERSION},
            {"time", format_utc(now_ms())},
            {"machine", describe_machine()}};
  record["software"] = describe_software(plan, options);
  if (work) {
    record["git"] = describe_git(*work);
    gathered.diff = masked(work->diff, texts_to_mask(plan.secrets, plan.folder));
  }
  if (!options.source_uri.empty()) record["fetched_from"] = options.source_uri;
  record["projects"] = describe_projects(plan, options);
  record["pipeline"] = describe_plan(plan);
  return gathered;
}

void Snapshot::note(size_t step, const Decision& decision) {
  if (steps_.size() >= kMostSteps) return;
  Json ingredients = Json::array();
  for (const auto& ingredient : decision.ingredients)
    ingredients.push_back(
        {{"kind", to_string(ingredient.kind)}, {"name", ingredient.name}, {"value", ingredient.value}});
  Json entry = {{"reason", decision.reason}, {"key", decision.key}, {"ingredients", std::move(ingredients)}};
  if (!decision.changes.empty()) entry["changes"] = decision.changes;
  steps_[plan_.steps[step].name] = std::move(entry);
}

void Snapshot::note_made(size_t step, const std::string& digest) {
  auto noted = steps_.find(plan_.steps[step].name);
  if (noted != steps_.end()) noted->second["made"] = digest;
}

Result<> Snapshot::write_early(const fs::path& artifacts) {
  if (!gathering_.valid() || gathering_.wait_for(std::chrono::seconds(0)) != std::future_status::ready)
    return {};
  return write_gathered(artifacts);
}

Result<> Snapshot::write_gathered(const fs::path& artifacts) {
  if (gathering_.valid()) gathered_ = gathering_.get();
  if (!gathered_) return {};
  TRY(make_dirs(artifacts / kSnapshotFolder));
  TRY(write_file_atomic(artifacts / kRecordFile, dump_json(gathered_->record, 1) + "\n", Durable::no));
  if (!gathered_->diff.empty()) TRY(write_file_atomic(artifacts / kDiffFile, gathered_->diff, Durable::no));
  gathered_.reset();
  return {};
}

Result<> Snapshot::write(const fs::path& artifacts, const std::vector<std::string>& states) {
  TRY(write_gathered(artifacts));
  if (const auto diagram = pipeline::diagram_of(plan_, states); diagram.nodes.size() <= kMostDrawn)
    TRY(write_file_atomic(artifacts / kDiagramFile, pipeline::draw_svg(diagram), Durable::no));
  std::string steps;
  for (const auto& [name, entry] : steps_)
    steps += fmt::format("{}{}: {}", steps.empty() ? "{" : ",\n", dump_json(name), dump_json(entry));
  return write_file_atomic(artifacts / kStepsFile, (steps.empty() ? "{" : steps) + "}\n", Durable::no);
}

}  // namespace tidemill::engine
