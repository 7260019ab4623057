#include "engine/step_cache.h"

#include <cctype>
#include <climits>
#include <cstdlib>

#include "artifacts/folder_repository.h"
#include "base/hash.h"
#include "base/text.h"
#include "base/time.h"
#include "engine/latest_result.h"
#include "engine/reliances.h"
#include "pipeline/resolve.h"
#include "sys/process.h"

namespace tidemill::engine {
namespace {

using config::ParameterType;
using pipeline::content_value;
using pipeline::Ingredient;
using pipeline::IngredientKind;
using pipeline::Ingredients;
using pipeline::PlannedStep;

constexpr std::string_view kNothingThere = "nothing";

// The first reference of a step to the run that it is part of, if any.
std::optional<std::string> refers_to_run(const PlannedStep& step) {
  for (const auto& argument : step.arguments)
    for (const auto& reference : argument.value.references())
      if (reference[0] == "run") return config::to_string(reference);
  return std::nullopt;
}

// "train" of "train --lr {lr}"; "" when the command starts with something else than a program.
std::string first_word(const std::string& command) {
  std::string word = command.substr(0, command.find_first_of(" \t\n;|&<>()"));
  return word.find_first_of("={}'\"$`\\*?[!#") == std::string::npos ? word : "";
}

// "7 days"
std::string in_words(std::chrono::milliseconds time) {
  constexpr std::pair<int64_t, std::string_view> kUnits[] = {
      {86'400'000, "day"}, {3'600'000, "hour"}, {60'000, "minute"}};
  for (const auto& [ms, unit] : kUnits)
    if (const int64_t count = time.count() / ms; count > 0 && time.count() % ms == 0)
      return fmt::format("{} {}{}", count, unit, count == 1 ? "" : "s");
  return human_duration(static_cast<double>(time.count()) / 1000);
}

bool is_older(const tracking::StepResult& result, std::chrono::milliseconds age) {
  return now_ms() - result.made > age.count();
}

std::string short_id(const std::string& run_id) { return run_id.substr(0, 8); }

}  // namespace

// By version control, interpreters, and Tidemill itself. The project's own file and the pipeline's are not
// code: what they say about a step enters its key by itself.
bool is_not_code(std::string_view name) {
  return name.starts_with(".") || name == "__pycache__" || name.ends_with(".pyc") || name == "mlruns" ||
         name == "mlartifacts" || name.starts_with("tidemill.db") || name == "MLproject" ||
         name == "pipeline.yaml" || name == "pipeline.yml";
}

fs::path program_place(const std::string& name, const fs::path& program_dir) {
  std::error_code ignored;
  if (!program_dir.empty() && fs::is_regular_file(program_dir / name, ignored)) return program_dir / name;
  fs::path found = find_program(name).value_or(fs::path());
  return fs::is_regular_file(found, ignored) ? found : fs::path();
}

std::string variable_value(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  return value != nullptr ? value : "(not set)";
}

// A value with its references replaced, except for a folder in front, whose content counts and not its place.
struct StepCache::Source {
  std::optional<size_t> step;  // the folder is its artifacts
  bool pipeline_folder = false;
  bool is_input = false;
  bool own_folder = false;  // somewhere in the text stands a place that is the step's own
  std::string text;
  fs::path base;  // of a relative path
};

StepCache::StepCache(const pipeline::Plan& plan, tracking::Store& store, const FileHashes& hashes,
                     const Options& options)
    : plan_(plan), store_(store), hashes_(hashes), options_(options), known_(plan.steps.size()) {}

std::optional<std::string> StepCache::metric(size_t step, const std::string& key) const {
  if (!known_[step]) return std::nullopt;
  auto run = store_.run(known_[step]->run_id);
  auto value = run ? run->metric(key) : std::nullopt;
  return value ? std::optional(fmt::format("{}", *value)) : std::nullopt;
}

Result<FileTree> StepCache::look(const fs::path& path, FileHashes::Skip skip) const {
  TreeStamps stamps;
  FileTree tree = TRY(hashes_.tree(path, skip, log_ != nullptr ? &stamps : nullptr));
  if (log_ != nullptr) log_->add(path, skip != nullptr, tree.digest, std::move(stamps));
  return tree;
}

Result<std::vector<Decision>> StepCache::decide(const std::vector<size_t>& steps) {
  forget_files();
  std::vector<Decision> decisions;
  std::vector<std::string> keys;
  for (size_t index : steps) {
    decisions.push_back(make_key(index));
    keys.push_back(decisions.back().key);
  }
  auto found = TRY(store_.step_results(keys));
  for (size_t i = 0; i < steps.size(); ++i) {
    if (!keys[i].empty()) TRY(weigh(steps[i], found[i], decisions[i]));
    if (stands(steps[i])) decisions[i] = TRY(standing(steps[i]));
  }
  return decisions;
}

bool StepCache::stands(size_t index) const {
  const PlannedStep& step = plan_.steps[index];
  return step.settings->cache == config::Caching::kFrozen || options_.resume.stand.count(step.name) > 0;
}

Result<> StepCache::check_standing() {
  for (size_t i = 0; i < plan_.steps.size(); ++i)
    if (stands(i)) TRY(standing(i).map([](const Decision&) {}));
  return {};
}

// It has no key: what the step is made of now has nothing to do with its result.
Result<Decision> StepCache::standing(size_t index) {
  const auto& step = plan_.steps[index];
  const bool is_frozen = step.settings->cache == config::Caching::kFrozen;
  auto known = standing_.find(index);
  if (known == standing_.end()) {
    auto found = TRY(latest_result(plan_, step.name, store_, hashes_, options_));
    if (!found && is_frozen)
      return config::fail_at(
          step.settings->cache_place,
          "step '{}' is frozen, and pipeline '{}' has no result of it whose files are there; let "
          "it run once without `frozen`",
          step.name, plan_.name);
    if (!found)
      return fail(Code::kInvalid,
                  "step '{}' cannot be left out: others need what it makes, and pipeline '{}' has no "
                  "result of it whose files are there",
                  step.name, plan_.name);
    known = standing_.emplace(index, std::move(*found)).first;
  }
  return Decision{.what = Decision::What::kReuse,
                  .reason = fmt::format("it is {}: the result of run {} stands",
                                        is_frozen ? "frozen" : "left out", short_id(known->second.run_id)),
                  .key = {},
                  .identity = {},
                  .ingredients = {},
                  .result = known->second};
}

Decision StepCache::key_now(size_t step) {
  forget_files();
  return make_key(step);
}

Result<> StepCache::decide(size_t step, Decision& decision) {
  if (stands(step)) decision = TRY(standing(step));
  if (decision.key.empty()) return {};
  return weigh(step, TRY(store_.step_results({decision.key}))[0], decision);
}

void StepCache::forget_files() {
  code_.clear();
  programs_.clear();
}

Decision StepCache::make_key(size_t index) {
  const auto& step = plan_.steps[index];
  Decision decision;
  if (stands(index)) return decision;
  auto found = ingredients(step);
  if (found) {
    decision.ingredients = std::move(*found);
    decision.identity = pipeline::key_of(decision.ingredients);
  }
  if (step.phase != config::Phase::kMain) {
    decision.reason = step.phase == config::Phase::kFinally     ? "the run has ended"
                      : step.phase == config::Phase::kOnSuccess ? "the run has succeeded"
                                                                : "the run has failed";
  } else if (step.settings->cache == config::Caching::kOff) {
    decision.reason = "cache: false";
  } else if (auto reference = refers_to_run(step)) {
    decision.reason = fmt::format("it refers to {}, which is another in every run", *reference);
  } else if (found) {
    decision.key = decision.identity;
  } else {
    // A metric that is missing, a file that cannot be read: the step will run into it, and say so.
    decision.reason = found.error().message;
  }
  return decision;
}

Result<> StepCache::weigh(size_t index, const std::optional<tracking::StepResult>& found,
                          Decision& decision) {
  if (auto forced = options_.cache.forced.find(plan_.steps[index].name);
      forced != options_.cache.forced.end()) {
    decision.reason = forced->second;
  } else if (options_.cache.read == CachePolicy::Use::kNo) {
    decision.reason = "earlier results are not used";
  } else if (!found) {
    TRY(tell_why_run(index, decision));
  } else if (auto ttl = plan_.steps[index].settings->ttl; ttl && is_older(*found, *ttl)) {
    decision.reason = "its result is older than " + in_words(*ttl);
  } else if (auto result = TRY(verify(*found, decision.reason))) {
    decision.what = Decision::What::kReuse;
    decision.reason = fmt::format("nothing has changed since run {}", short_id(result->run_id));
    decision.result = std::move(*result);
  }
  return {};
}

Result<> StepCache::tell_why_run(size_t index, Decision& decision) const {
  auto last = TRY(store_.step_key(plan_.name, plan_.steps[index].name));
  if (!last) {
    decision.reason = "for the first time";
    return {};
  }
  if (auto before = pipeline::ingredients_from_json(last->ingredients))
    decision.changes = pipeline::describe_changes(*before, decision.ingredients);
  if (last->key == decision.key) decision.left_by = last->step_run;
  decision.reason = decision.changes.empty()
                        ? fmt::format("its last run, {}, has left no result", short_id(last->step_run))
                        : pipeline::in_short(decision.changes);
  return {};
}

Result<std::optional<KnownResult>> StepCache::verify(const tracking::StepResult& found,
                                                     std::string& problem) const {
  auto folder = artifacts::local_folder(found.artifact_uri, options_.artifact_root);
  if (!folder) {
    problem = fmt::format("the outputs of run {} are not on this machine", short_id(found.run_id));
    return std::nullopt;
  }
  std::string now = TRY(look(*folder)).digest;
  if (now == found.outputs) return KnownResult{found.run_id, folder->string(), found.artifact_uri, now};
  problem = fmt::format("the outputs of run {} {}", short_id(found.run_id),
                        now == sha256_hex("") ? "were deleted" : "have been changed or damaged");
  return std::nullopt;
}

// --- What goes into a key ---

Result<Ingredients> StepCache::ingredients(const PlannedStep& step) {
  Ingredients all = {{IngredientKind::kCommand, "", step.entry->command},
                     {IngredientKind::kTool, "", TIDEMILL_VERSION}};
  if (auto found = options_.environments.find(step.project->folder);
      found != options_.environments.end() && !found->second.id.empty())
    all.push_back({IngredientKind::kEnvironment, "", content_value(found->second.id)});
  TRY(add_arguments(step, all));
  TRY(add_code(step, all));
  TRY(add_programs(step, all));
  TRY(add_variables(step, all));
  // What is taken out of the outputs decides what they are.
  if (std::any_of(step.settings->validate.begin(), step.settings->validate.end(), [](const auto& check) {
        return check.otherwise == config::DataCheck::Otherwise::kExclude;
      }))
    all.push_back({IngredientKind::kCommand, std::string(pipeline::kExclusion),
                   sha256_hex(config::identity_of(step.settings->validate))});
  if (step.probed) all.push_back({IngredientKind::kProbe, "", *step.probed});
  // Under which names others see them does not matter.
  for (const auto& output : step.settings->outputs)
    all.push_back({IngredientKind::kOutput, output.path, "declared"});
  for (const auto& secret : step.secrets)
    all.push_back({IngredientKind::kVariable, secret.name, "(a secret)"});
  for (const auto& input : step.settings->inputs) {
    std::string name = fmt::format("#{}", &input - step.settings->inputs.data() + 1);
    all.push_back(TRY(ingredient_of(name, input, ParameterType::kPath, *step.folder)));
  }
  return all;
}

Result<> StepCache::add_arguments(const PlannedStep& step, Ingredients& to) {
  for (const auto& argument : step.arguments) {
    const auto* declared = config::find_parameter(step.entry->parameters, argument.name);
    const ParameterType type = declared != nullptr ? declared->type : ParameterType::kString;
    Ingredient own = TRY(ingredient_of(argument.name, argument.value, type, *step.folder));
    // What a command without a project is told without a type may be what it reads.
    const bool has_type = declared != nullptr && declared->has_type;
    if (step.project->file.empty() && !has_type && own.kind == IngredientKind::kParameter)
      TRY(add_named_file(argument.name, *step.folder / own.value, to));
    to.push_back(std::move(own));
  }
  for (const auto& parameter : step.entry->parameters) {
    auto passed = [&](const auto& argument) { return argument.name == parameter.name; };
    if (!parameter.default_value || std::any_of(step.arguments.begin(), step.arguments.end(), passed))
      continue;
    to.push_back(TRY(ingredient_of(parameter.name, config::Template{{*parameter.default_value}, {}},
                                   parameter.type, *step.folder)));
  }
  return {};
}

Result<> StepCache::add_named_file(const std::string& name, const fs::path& path, Ingredients& to) {
  std::error_code ignored;
  const std::string below = path.lexically_relative(plan_.folder).string();
  const bool holds_the_pipeline = below == "." || below.ends_with("..");
  if (path.native().size() >= PATH_MAX || holds_the_pipeline) return {};
  if (fs::exists(path, ignored))
    to.push_back({IngredientKind::kInput, name, content_value(TRY(look(path)).digest)});
  else if (log_ != nullptr)
    log_->add_no_file(path);
  return {};
}

Result<StepCache::Source> StepCache::expand(const config::Template& value) {
  Source source;
  for (size_t i = 0; i < value.parts.size(); ++i) {
    if (const auto* literal = std::get_if<std::string>(&value.parts[i])) {
      source.text += *literal;
      continue;
    }
    const auto& reference = std::get<config::Reference>(value.parts[i]);
    const std::string& root = reference[0];
    if (root == "params") {
      for (const auto& [name, text] : plan_.params)
        if (name == reference[1]) source.text += text;
    } else if (root == "steps") {
      auto steps = plan_.instances(reference[1]);
      for (size_t one : steps)
        if (!known_[one])
          return fail(Code::kUnavailable, "it refers to {}, which has not succeeded", plan_.steps[one].name);
      size_t step = steps[0];
      if (reference[2] == "state") {
        source.text += "succeeded";
      } else if (reference[2] == "each") {
        for (const auto& [name, each] : plan_.steps[step].each)
          if (name == reference[3]) source.text += each;
      } else if (reference[2] == "artifacts" && i == 0) {
        source.step = step;
      } else if (reference[2] == "artifacts") {
        source.text += known_[step]->outputs;
      } else if (reference[2] == "run_id") {
        source.text += known_[step]->run_id;
      } else {
        auto found = metric(step, reference[3]);
        if (!found)
          return config::fail_at(value.place, "{}: step '{}' logged no metric '{}'",
                                 config::to_string(reference), reference[1], reference[3]);
        source.text += *found;
      }
    } else if (root == "inputs") {
      for (const auto& input : plan_.inputs)
        if (input.name == reference[1]) source.text += input.file.string();
      source.is_input = source.is_input || i == 0;
    } else if (root == "pipeline" && reference[1] == "folder" && i == 0) {
      source.pipeline_folder = true;
    } else {
      source.own_folder = source.own_folder || root == "self";
      source.text += config::to_string(reference);
    }
  }
  return source;
}

Result<std::string> StepCache::content_of(const Source& source) {
  std::string below = source.text.starts_with('/') ? source.text.substr(1) : source.text;
  if (!source.step) {
    fs::path path = source.pipeline_folder ? plan_.folder / below : source.base / source.text;
    FileTree tree = TRY(look(path, below.empty() ? is_not_code : nullptr));
    std::error_code ignored;
    return fs::exists(path, ignored) ? content_value(tree.digest) : std::string(kNothingThere);
  }
  const KnownResult& result = *known_[*source.step];
  if (source.text.empty()) return content_value(result.outputs);
  if (source.text.starts_with('/'))
    if (auto part = TRY(look(result.artifacts)).digest_of(below)) return content_value(*part);
  return content_value(sha256_hex(result.outputs + source.text));
}

Result<Ingredient> StepCache::ingredient_of(const std::string& name, const config::Template& value,
                                            ParameterType type, const fs::path& folder) {
  // What is collected from many steps is the list of what each gives.
  if (auto members = pipeline::members_of(plan_, value); !members.empty()) {
    Ingredient all{IngredientKind::kParameter, name, ""};
    for (const auto& member : members) {
      Ingredient one = TRY(ingredient_of(name, member, type, folder));
      all.value += (all.value.empty() ? "" : ", ") + one.value;
      if (one.kind == IngredientKind::kInput) all.kind = IngredientKind::kInput;
    }
    if (all.kind == IngredientKind::kInput) all.value = content_value(sha256_hex(all.value));
    return all;
  }
  Source source = TRY(expand(value));
  source.base = folder;
  bool is_content = source.step || source.pipeline_folder || source.is_input ||
                    (type == ParameterType::kPath && !source.own_folder && !source.text.empty());
  if (is_content) return Ingredient{IngredientKind::kInput, name, TRY(content_of(source))};
  return Ingredient{IngredientKind::kParameter, name, source.text};
}

Result<> StepCache::add_code(const PlannedStep& step, Ingredients& to) {
  const std::vector<std::string> places = step.settings->code.value_or(std::vector<std::string>{""});
  auto [at, is_new] = code_.try_emplace({step.project->folder, places});
  if (is_new) {
    for (const auto& place : places) {
      FileTree tree =
          TRY(look(place.empty() ? step.project->folder : step.project->folder / place, is_not_code));
      if (tree.files.empty() && !place.empty())
        at->second.push_back({IngredientKind::kCode, place, std::string(kNothingThere)});
      for (const auto& file : tree.files) {
        std::string name = place.empty() || file.path.empty() ? place + file.path : place + "/" + file.path;
        at->second.push_back({IngredientKind::kCode, name, content_value(file.sha256)});
      }
    }
  }
  to.insert(to.end(), at->second.begin(), at->second.end());
  return {};
}

Result<> StepCache::add_programs(const PlannedStep& step, Ingredients& to) {
  std::vector<std::string> names = step.settings->programs;
  if (std::string word = first_word(step.entry->command); !word.empty()) names.insert(names.begin(), word);
  for (const auto& name : names) {
    bool is_path = name.find('/') != std::string::npos;
    auto [at, is_new] = programs_.try_emplace(is_path ? (step.project->folder / name).string() : name);
    if (is_new) {
      std::error_code ignored;
      fs::path place = is_path ? fs::path(at->first) : program_place(name, options_.program_dir);
      if (log_ != nullptr && !is_path) log_->add_program(name, place);
      if (log_ != nullptr && is_path && !fs::is_regular_file(place, ignored)) log_->add_no_file(place);
      if (!place.empty() && fs::is_regular_file(place, ignored)) {
        FileTree file = TRY(look(place));
        if (!file.files.empty()) at->second = content_value(file.files[0].sha256);
      }
    }
    if (!at->second.empty()) to.push_back({IngredientKind::kProgram, name, at->second});
  }
  return {};
}

Result<> StepCache::add_variables(const PlannedStep& step, Ingredients& to) {
  for (const auto& variable : step.settings->environment) {
    if (variable.value) {
      Ingredient value =
          TRY(ingredient_of(variable.name, *variable.value, ParameterType::kString, *step.folder));
      value.kind = IngredientKind::kVariable;
      to.push_back(std::move(value));
    } else {
      std::string value = variable_value(variable.name);
      if (log_ != nullptr) log_->add_variable(variable.name, value);
      to.push_back({IngredientKind::kVariable, variable.name, std::move(value)});
    }
  }
  return {};
}

}  // namespace tidemill::engine
