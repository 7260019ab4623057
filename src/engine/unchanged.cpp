#include "engine/unchanged.h"

#include <algorithm>

#include "artifacts/folder_repository.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/time.h"
#include "engine/bytes.h"
#include "engine/record.h"
#include "engine/snapshot.h"
#include "engine/upkeep.h"

namespace tidemill::engine {
namespace {

constexpr std::string_view kMagic = "tidemill footing " TIDEMILL_VERSION " 1\n";
constexpr uint64_t kMostBytes = 1ull << 30;

fs::path place_of(const std::string& file, const Options& options) {
  return options.state_dir / "unchanged" / sha256_hex(file).substr(0, 32);
}

bool asks_the_store(const config::Template& value) {
  for (const auto& reference : value.references())
    if (reference[0] == "run" || (reference[0] == "steps" && reference[2] == "metrics")) return true;
  return false;
}

bool can_be_recognised(const pipeline::PlannedStep& step) {
  const config::StepSettings& settings = *step.settings;
  if (step.phase != config::Phase::kMain || settings.cache != config::Caching::kOn || settings.ttl ||
      settings.probe || settings.when || settings.gate || !settings.validate.empty() || !step.secrets.empty())
    return false;
  if (step.project->environment.kind != config::EnvironmentKind::kNone) return false;
  // One made up for a script: it depends on the caller's shell.
  if (step.entry->place.file->empty()) return false;
  auto is_plain = [](const config::Template& value) { return !asks_the_store(value); };
  return std::all_of(step.arguments.begin(), step.arguments.end(),
                     [&](const auto& argument) {
                       return argument.fetched_from.empty() && is_plain(argument.value);
                     }) &&
         std::all_of(settings.inputs.begin(), settings.inputs.end(), is_plain) &&
         std::all_of(settings.environment.begin(), settings.environment.end(),
                     [&](const auto& variable) { return !variable.value || is_plain(*variable.value); });
}

std::optional<Footing> read_footing(const Options& options) {
  auto bytes = read_file(place_of(options.start_file, options), kMostBytes);
  auto footing = bytes ? decode_footing(*bytes) : std::nullopt;
  return footing && footing->start == options.start ? std::move(footing) : std::nullopt;
}

// The record of a run like that one, made now.
Result<> repeat_record(const fs::path& before, const fs::path& now, const fs::path& folder) {
  Json record = TRY(parse_json(TRY(read_file(before / kRecordFile))));
  renew_record(record, folder);
  TRY(make_dirs(now / kSnapshotFolder));
  std::error_code error;
  fs::copy_file(before / kStepsFile, now / kStepsFile, error);
  if (error)
    return fail(Code::kUnavailable, "cannot copy {}: {}", (before / kStepsFile).string(), error.message());
  return write_file_atomic(now / kRecordFile, dump_json(record, 1) + "\n", Durable::no);
}

}  // namespace

std::string encode(const Footing& footing) {
  std::string out(kMagic);
  for (const std::string* text : {&footing.start, &footing.run_id, &footing.pipeline, &footing.experiment,
                                  &footing.folder, &footing.file})
    put_text(out, *text);
  put(out, footing.result_changes);
  put(out, static_cast<uint32_t>(footing.params.size()));
  for (const auto& [name, value] : footing.params) {
    put_text(out, name);
    put_text(out, value);
  }
  put(out, static_cast<uint32_t>(footing.steps.size()));
  for (const auto& step : footing.steps) put_text(out, step);
  return out + encode(footing.reliances);
}

std::optional<Footing> decode_footing(std::string_view bytes) {
  if (!bytes.starts_with(kMagic)) return std::nullopt;
  Bytes in(bytes.substr(kMagic.size()));
  Footing footing;
  for (std::string* text : {&footing.start, &footing.run_id, &footing.pipeline, &footing.experiment,
                            &footing.folder, &footing.file})
    if (!in.get_text(*text)) return std::nullopt;
  uint32_t count = 0;
  if (!in.get(footing.result_changes) || !in.get(count) || count > in.left()) return std::nullopt;
  footing.params.resize(count);
  for (auto& [name, value] : footing.params)
    if (!in.get_text(name) || !in.get_text(value)) return std::nullopt;
  if (!in.get(count) || count > in.left()) return std::nullopt;
  footing.steps.resize(count);
  for (auto& step : footing.steps)
    if (!in.get_text(step)) return std::nullopt;
  if (!decode(in, footing.reliances) || !in.empty()) return std::nullopt;
  return footing;
}

bool can_be_recognised(const pipeline::Plan& plan, const Options& options) {
  using Use = CachePolicy::Use;
  const CachePolicy& cache = options.cache;
  if (options.start.empty() || options.state_dir.empty() || plan.steps.size() < options.many_steps)
    return false;
  if (cache.read == Use::kNo || cache.write == Use::kNo || !cache.forced.empty() ||
      !options.environments.empty())
    return false;
  return std::all_of(plan.inputs.begin(), plan.inputs.end(),
                     [](const auto& input) { return !input.is_fetched(); }) &&
         std::all_of(plan.steps.begin(), plan.steps.end(),
                     [](const auto& step) { return can_be_recognised(step); });
}

Result<> keep_footing(const Footing& footing, const Options& options) {
  fs::path place = place_of(footing.file, options);
  TRY(make_dirs(place.parent_path()));
  return write_file_atomic(place, encode(footing), Durable::no);
}

void forget_footing(const std::string& file, const Options& options) {
  std::error_code ignored;
  if (!options.state_dir.empty()) fs::remove(place_of(file, options), ignored);
}

bool has_footing(const Options& options) {
  std::error_code ignored;
  return !options.start.empty() && !options.state_dir.empty() &&
         fs::exists(place_of(options.start_file, options), ignored);
}

Result<std::optional<Outcome>> execute_unchanged(tracking::Store& store, const Options& options,
                                                 const Listener& listener) {
  Stopwatch watch;
  if (!has_footing(options)) return std::nullopt;
  auto in_use = TRY(ResultsLock::take(options.state_dir, ResultsLock::Mode::kUse));
  auto footing = read_footing(options);
  if (!footing || footing->result_changes != TRY(store.result_changes())) return std::nullopt;
  auto before = store.run(footing->run_id);
  auto folder =
      before ? artifacts::local_folder(before->info.artifact_uri, options.artifact_root) : std::nullopt;
  bool renewed = false;
  if (!folder || before->info.lifecycle != tracking::Lifecycle::kActive ||
      !TRY(hold(footing->reliances, FileHashes(options.hash_folder(), options.own_places), options, renewed)))
    return std::nullopt;
  const pipeline::Plan plan{.name = footing->pipeline,
                            .experiment = footing->experiment,
                            .params = footing->params,
                            .steps = {},
                            .inputs = {},
                            .folder = footing->folder,
                            .file = footing->file,
                            .sha256 = {},
                            .inner_files = {},
                            .positions = {},
                            .groups = {}};
  Options how = options;
  how.tags.emplace_back(tracking::kStepsOfTag, footing->run_id);
  Record record(plan, store, how, listener, Shape::kPipeline);
  TRY(record.begin(footing->steps));
  record.tell(
      AllReused{.run_id = record.run_id(), .steps_of = footing->run_id, .steps = footing->steps.size()});
  if (auto kept = repeat_record(*folder, record.artifacts(), footing->folder); !kept)
    log_warning("what this run was made of is not kept: {}", kept.error().message);
  TRY(record.end(RunOutcome::kSucceeded, watch.seconds()));
  if (renewed) TRY(keep_footing(*footing, options));
  return Outcome{.run_id = record.run_id(),
                 .experiment_id = record.experiment_id(),
                 .status = tracking::RunStatus::kFinished,
                 .seconds = watch.seconds(),
                 .steps = {}};
}

}  // namespace tidemill::engine
