#include "exchange/mlruns_sink.h"

#include <fcntl.h>

#include <algorithm>
#include <fstream>

#include "artifacts/folder_repository.h"
#include "base/hash.h"
#include "base/text.h"
#include "base/time.h"
#include "config/yaml_text.h"
#include "tracking/validate.h"

namespace tidemill::exchange {
namespace {

using tracking::KeyValue;
using tracking::Lifecycle;

constexpr std::string_view kMeta = "meta.yaml";
constexpr size_t kMostWaitingBytes = 4 << 20;
constexpr std::string_view kSpaces = " \t\r\n\v\f";

uint64_t lines_in(const fs::path& file) {
  std::error_code error;
  if (!fs::is_regular_file(file, error)) return 0;
  std::ifstream in(file);
  return static_cast<uint64_t>(std::count(std::istreambuf_iterator<char>(in), {}, '\n'));
}

std::string file_uri(const fs::path& path) { return "file://" + url_encode(path.string(), "/"); }

std::string metric_line(const tracking::Point& point) {
  return fmt::format("{} {} {}\n", point.timestamp, tracking::python_repr(point.value), point.step);
}

// A name of one level.
Result<fs::path> child(const fs::path& folder, std::string_view name) {
  if (name.find('/') != std::string_view::npos)
    return fail(Code::kInvalid, "'{}' cannot be the name of a folder", name);
  return path_inside(folder, name);
}

std::string yaml_of(const std::vector<KeyValue>& pairs) {
  std::vector<std::string> parts;
  for (const auto& [key, value] : pairs)
    parts.push_back(config::yaml_quoted(key) + ": " + config::yaml_quoted(value));
  return "{" + join(parts, ", ") + "}";
}

}  // namespace

Result<MlrunsSink> MlrunsSink::open(const fs::path& folder, CopyFiles copy_files) {
  fs::path root = fs::absolute(folder).lexically_normal();
  if (!root.has_filename()) root = root.parent_path();
  TRY(make_dirs(root));
  std::error_code error;
  for (fs::directory_iterator it(root, error), end; !error && it != end; it.increment(error)) {
    std::string name = it->path().filename().string();
    bool ours = name == ".trash" || name == "models" || name == artifacts::FolderRepository::kIncoming ||
                fs::exists(it->path() / kMeta, error);
    if (!ours)
      return fail(Code::kConflict, "{} holds '{}', which is no part of an mlruns folder; name a new folder",
                  root.string(), name);
  }
  return MlrunsSink(std::move(root), copy_files);
}

MlrunsSink::~MlrunsSink() {
  std::error_code error;
  if (!root_.empty()) fs::remove(root_ / artifacts::FolderRepository::kIncoming, error);
}

bool MlrunsSink::begin(const fs::path& folder) {
  changed_ = false;
  std::error_code error;
  return fs::exists(folder / kMeta, error);
}

MlrunsSink::Outcome MlrunsSink::outcome(bool was_there) const {
  if (!was_there) return Outcome::kNew;
  return changed_ ? Outcome::kChanged : Outcome::kSame;
}

Result<> MlrunsSink::write(const fs::path& file, std::string_view bytes) {
  if (auto there = read_file(file); there && *there == bytes) return {};
  TRY(make_dirs(file.parent_path()));
  TRY(write_file_atomic(file, bytes, Durable::no));
  changed_ = true;
  return {};
}

Result<> MlrunsSink::put_values(const fs::path& folder, const std::vector<KeyValue>& values, Report& report) {
  for (const auto& [key, value] : values) {
    auto place = path_inside(folder, key);
    Result<> written = place ? write(*place, value) : tl::unexpected<Error>(place.error());
    if (!written && !concerns_one_thing(written.error())) return written;
    if (!written) report.problem((folder / key).string(), written.error());
  }
  return {};
}

Result<> MlrunsSink::put_experiment(const tracking::Experiment& experiment, Report& report) {
  bool deleted = experiment.lifecycle == Lifecycle::kDeleted;
  fs::path folder = (deleted ? root_ / ".trash" : root_) / experiment.id;
  const fs::path other = (deleted ? root_ : root_ / ".trash") / experiment.id;
  const bool was_there = begin(other) || begin(folder);
  TRY(tidemill::remove_all(other));  // from an earlier export
  std::string location =
      copy_files_ == CopyFiles::yes ? file_uri(root_ / experiment.id) : experiment.artifact_location;
  config::YamlMap meta;
  meta.text("artifact_location", location)
      .number("creation_time", experiment.created)
      .text("experiment_id", experiment.id)
      .number("last_update_time", experiment.updated)
      .text("lifecycle_stage", tracking::to_string(experiment.lifecycle))
      .text("name", experiment.name);
  TRY(write(folder / kMeta, meta.yaml()));
  TRY(put_values(folder / "tags", experiment.tags, report));
  experiments_[experiment.id] = folder;
  report.experiments.add(outcome(was_there));
  return {};
}

Result<> MlrunsSink::put_run(tracking::TransferredRun transferred, const Files& files, Report& report) {
  TRY(flush(report));
  tracking::RunInfo& info = transferred.run.info;
  const fs::path& experiment = experiments_.at(info.experiment_id);
  fs::path folder = TRY(child(experiment, info.id));
  const bool was_there = begin(folder);
  TRY(copy_artifacts(files, folder / "artifacts", info.artifact_uri, report));
  config::YamlMap meta;
  meta.text("artifact_uri", info.artifact_uri);
  if (info.lifecycle == Lifecycle::kDeleted)
    meta.number("deleted_time", transferred.deleted_time.value_or(now_ms()));
  meta.optional("end_time", info.end_time)
      .text("entry_point_name", "")
      .text("experiment_id", info.experiment_id)
      .text("lifecycle_stage", tracking::to_string(info.lifecycle))
      .text("run_id", info.id)
      .text("run_name", info.name)
      .text("run_uuid", info.id)  // MLflow 2 reads no run without it
      .text("source_name", "")
      .number("source_type", 4)  // LOCAL
      .text("source_version", "")
      .number("start_time", info.start_time)
      .number("status", static_cast<int>(info.status))
      .raw("tags", "[]")
      .text("user_id", info.user);
  TRY(write(folder / kMeta, meta.yaml()));
  for (const char* part : {"params", "tags", "metrics"}) TRY(make_dirs(folder / part));
  TRY(put_values(folder / "params", transferred.run.params, report));
  TRY(put_values(folder / "tags", transferred.run.tags, report));
  TRY(put_datasets(experiment, folder, transferred.run));
  open_ = {.run_id = info.id, .key = {}, .folder = folder, .text = {}, .part = {}};
  run_was_there_ = was_there;
  return {};
}

Result<> MlrunsSink::put_datasets(const fs::path& experiment, const fs::path& folder,
                                  const tracking::Run& run) {
  for (const tracking::DatasetInput& input : run.datasets) {
    const tracking::Dataset& dataset = input.dataset;
    std::string id = md5_hex(dataset.name + dataset.digest);
    config::YamlMap meta, link;
    meta.text("digest", dataset.digest)
        .text("name", dataset.name)
        .optional("profile", dataset.profile)
        .optional("schema", dataset.schema)
        .text("source", dataset.source)
        .text("source_type", dataset.source_type);
    TRY(write(experiment / "datasets" / id / kMeta, meta.yaml()));
    link.text("destination_id", run.info.id)
        .text("destination_type", "RUN")
        .text("source_id", id)
        .text("source_type", "DATASET")
        .raw("tags", yaml_of(input.tags));
    TRY(write(folder / "inputs" / md5_hex(id + run.info.id) / kMeta, link.yaml()));
  }
  for (const std::string& model : run.model_inputs) {
    config::YamlMap link;
    link.text("destination_id", run.info.id)
        .text("destination_type", "RUN")
        .text("source_id", model)
        .text("source_type", "MODEL")
        .raw("tags", "{}");
    TRY(write(folder / "inputs" / md5_hex(model + run.info.id) / kMeta, link.yaml()));
  }
  for (const tracking::ModelOutput& model : run.model_outputs) {
    config::YamlMap link;
    link.text("destination_id", model.model_id)
        .text("destination_type", "MODEL_OUTPUT")
        .text("source_id", run.info.id)
        .text("source_type", "RUN_OUTPUT")
        .number("step", model.step)
        .raw("tags", "{}");
    TRY(write(TRY(child(folder / "outputs", model.model_id)) / kMeta, link.yaml()));
  }
  return {};
}

Result<> MlrunsSink::put_points(const std::string& run_id, std::string_view key,
                                std::vector<tracking::Point> points, Report& report) {
  if (open_.run_id != run_id || open_.key != key) {
    fs::path folder = open_.folder;
    TRY(close_metric(report));
    open_ = {.run_id = run_id, .key = std::string(key), .folder = std::move(folder), .text = {}, .part = {}};
  }
  for (const tracking::Point& point : points) open_.text += metric_line(point);
  open_.points += points.size();
  if (open_.text.size() < kMostWaitingBytes) return {};
  if (!open_.part) {
    open_.part = open_.folder / ".part";
    TRY(tidemill::remove_all(*open_.part));
  }
  Fd fd = TRY(open_file(*open_.part, O_WRONLY | O_CREAT | O_APPEND));
  TRY(write_all(fd, std::exchange(open_.text, {})));
  return {};
}

Result<> MlrunsSink::flush(Report& report) {
  TRY(close_metric(report));
  if (auto was_there = std::exchange(run_was_there_, std::nullopt)) report.runs.add(outcome(*was_there));
  return {};
}

Result<> MlrunsSink::close_metric(Report& report) {
  Open done = std::exchange(open_, {});
  if (done.key.empty()) return {};
  open_.folder = done.folder;
  auto kept = keep_metric(done, report);
  if (kept || !concerns_one_thing(kept.error())) return kept;
  if (done.part) TRY(tidemill::remove_all(*done.part));
  report.problem(fmt::format("metric {} of run {}", done.key, done.run_id), kept.error());
  return {};
}

Result<> MlrunsSink::keep_metric(const Open& done, Report& report) {
  fs::path place = TRY(path_inside(done.folder / "metrics", done.key));
  const uint64_t before = std::min(lines_in(place), done.points);
  if (!done.part) {
    TRY(write(place, done.text));
  } else {
    Fd fd = TRY(open_file(*done.part, O_WRONLY | O_APPEND));
    TRY(write_all(fd, done.text));
    TRY(make_dirs(place.parent_path()));
    if (::rename(done.part->c_str(), place.c_str()) != 0)
      return tl::unexpected<Error>(errno_error(place.string(), errno));
    changed_ = changed_ || before < done.points;  // histories only grow
  }
  report.points += done.points - before;
  return {};
}

Result<> MlrunsSink::put_logged_model(tracking::LoggedModel model, const Files& files, Report& report) {
  fs::path folder = TRY(child(experiments_.at(model.experiment_id) / "models", model.id));
  const bool was_there = begin(folder);
  TRY(copy_artifacts(files, folder / "artifacts", model.artifact_uri, report));
  config::YamlMap meta;
  meta.text("artifact_location", model.artifact_uri)
      .number("creation_timestamp", model.created)
      .text("experiment_id", model.experiment_id)
      .number("last_updated_timestamp", model.updated);
  if (model.lifecycle == Lifecycle::kDeleted) meta.text("lifecycle_stage", "deleted");
  meta.text("model_id", model.id)
      .text_or_null("model_type", model.model_type)
      .text("name", model.name)
      .text_or_null("source_run_id", model.source_run_id)
      .number("status", static_cast<int>(model.status))
      .raw("status_message", "null");
  TRY(write(folder / kMeta, meta.yaml()));
  TRY(put_values(folder / "params", model.params, report));
  TRY(put_values(folder / "tags", model.tags, report));
  TRY(put_model_metrics(folder / "metrics", model, report));
  report.logged_models.add(outcome(was_there));
  return {};
}

Result<> MlrunsSink::put_model_metrics(const fs::path& folder, const tracking::LoggedModel& model,
                                       Report& report) {
  std::map<std::string, std::string> files;
  size_t unnamed = 0;
  for (const tracking::ModelMetric& point : model.metrics) {
    const tracking::Metric& metric = point.metric;
    std::string line = fmt::format("{} {} {} {}", metric.timestamp, tracking::python_repr(metric.value),
                                   metric.step, point.run_id);
    // One such word too many, and MLflow reads no model of the experiment any more.
    bool nameable = point.dataset_name.find_first_of(kSpaces) == std::string::npos;
    if (!nameable)
      ++unnamed;
    else if (!point.dataset_name.empty())
      line += fmt::format(" {} {}", point.dataset_name, point.dataset_digest);
    files[metric.key] += line + "\n";
  }
  if (unnamed > 0)
    report.notes.push_back(fmt::format(
        "logged model {}: {} of its metric values are written without their data set, whose name has "
        "a space: MLflow cannot read such a line",
        model.id, unnamed));
  return put_values(folder, {files.begin(), files.end()}, report);
}

Result<> MlrunsSink::put_registered_model(tracking::TransferredModel transferred, Report& report) {
  const tracking::RegisteredModel& model = transferred.model;
  fs::path folder = TRY(child(root_ / "models", model.name));
  const bool was_there = begin(folder);
  std::vector<KeyValue> aliases;
  for (const tracking::ModelAlias& alias : model.aliases)
    aliases.emplace_back(alias.alias, std::to_string(alias.version));
  config::YamlMap meta;
  meta.raw("aliases", yaml_of(aliases))
      .number("creation_timestamp", model.created)
      .text_or_null("description", model.description)
      .number("last_updated_timestamp", model.updated)
      .text("name", model.name);
  TRY(write(folder / kMeta, meta.yaml()));
  TRY(put_values(folder / "tags", model.tags, report));
  TRY(put_values(folder / "aliases", aliases, report));
  const Outcome of_model = outcome(was_there);
  for (const tracking::ModelVersion& version : transferred.versions) {
    const fs::path place = folder / fmt::format("version-{}", version.version);
    const bool version_was_there = begin(place);
    TRY(put_version(place, version, report));
    report.model_versions.add(outcome(version_was_there));
  }
  report.registered_models.add(of_model);
  return {};
}

Result<> MlrunsSink::put_version(const fs::path& folder, const tracking::ModelVersion& version,
                                 Report& report) {
  config::YamlMap meta;
  meta.number("creation_timestamp", version.created)
      .text("current_stage", tracking::to_string(version.stage))
      .optional("description", version.description)
      .number("last_updated_timestamp", version.updated)
      .text_or_null("model_id", version.model_id)
      .text("name", version.name)
      .text_or_null("run_id", version.run_id)
      .text_or_null("run_link", version.run_link)
      .text("source", moved(version.source))
      .text("status", "READY")
      .raw("status_message", "null")
      .text_or_null("storage_location", moved(version.storage_location))
      .raw("user_id", "null")
      .number("version", version.version);
  TRY(write(folder / kMeta, meta.yaml()));
  return put_values(folder / "tags", version.tags, report);
}

Result<> MlrunsSink::copy_artifacts(const Files& files, const fs::path& folder, std::string& uri,
                                    Report& report) {
  if (copy_files_ == CopyFiles::no) return {};
  auto copied = store_files(files, artifacts::FolderRepository(root_),
                            folder.lexically_relative(root_).string(), uri, report);
  if (!copied) return tl::unexpected<Error>(std::move(copied).error());
  if (!*copied) return {};
  TRY(make_dirs(folder));
  moves_[uri] = file_uri(folder);
  uri = file_uri(folder);
  return {};
}

}  // namespace tidemill::exchange
