#include "exchange/mlruns_source.h"

#include <algorithm>

#include "artifacts/folder_repository.h"
#include "base/text.h"
#include "exchange/folder.h"
#include "exchange/metric_file.h"
#include "exchange/mlruns_format.h"

namespace tidemill::exchange {

using tracking::KeyValue;

namespace {

constexpr uint64_t kMaxMetaBytes = 1 << 20, kMaxValueBytes = 1 << 20;
constexpr std::string_view kMeta = "meta.yaml";

bool is_number(std::string_view text) {
  return !text.empty() && text.size() <= 18 &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isdigit(c); });
}

bool is_there(const fs::path& path) {
  std::error_code error;
  return fs::exists(path, error);
}

Result<bool> holds_runs(const fs::path& folder) {
  for (const std::string& name : TRY(subfolders(folder)))
    if (is_there(folder / name / kMeta)) return true;
  return false;
}

// Reads a meta.yaml with one of the parsers of mlruns_format.h.
template <class Parse>
auto read_meta(const fs::path& folder, Parse parse, uint64_t max_bytes = kMaxMetaBytes)
    -> decltype(parse(std::string_view(), std::string())) {
  fs::path file = folder / kMeta;
  return parse(TRY(read_plain_file(file, max_bytes)), file.string());
}

// One file for each value; its path is the key.
Result<std::vector<KeyValue>> read_values(const fs::path& folder, Report& report) {
  std::vector<KeyValue> values;
  for (const FoundFile& file : TRY(files_below(folder, report))) {
    auto value = read_plain_file(file.file, kMaxValueBytes);
    if (!value)
      report.problem(file.file.string(), value.error());
    else if (!is_utf8(*value) || value->find('\0') != std::string::npos)
      report.problem(file.file.string(), "the value is not UTF-8 text");
    else
      values.emplace_back(file.path, std::move(*value));
  }
  return values;
}

}  // namespace

Result<MlrunsSource> MlrunsSource::open(const fs::path& folder, fs::path served) {
  fs::path root = fs::absolute(folder).lexically_normal();
  if (!root.has_filename()) root = root.parent_path();
  if (is_there(root / "mlruns")) root /= "mlruns";
  if (!is_there(root)) return fail(Code::kNotFound, "there is no folder {}", root.string());
  bool known = is_there(root / "models") || is_there(root / ".trash");
  for (const std::string& name : TRY(subfolders(root))) known = known || is_there(root / name / kMeta);
  if (!known)
    return fail(Code::kInvalid, "{} is no mlruns folder: no experiment (a folder with a meta.yaml) is in it",
                root.string());
  if (served.empty()) served = root.parent_path() / "mlartifacts";
  return MlrunsSource(std::move(root), std::move(served));
}

Result<> MlrunsSource::add_experiments(const fs::path& folder, std::vector<tracking::Experiment>& found,
                                       Report& report) {
  for (const std::string& name : TRY(subfolders(folder))) {
    fs::path place = folder / name;
    if (folder == root_ && (name == ".trash" || name == "models")) continue;
    // MLflow's servers on a database keep artifacts in such folders, too.
    if (!is_there(place / kMeta) && !TRY(holds_runs(place))) continue;
    auto experiment = read_meta(place, parse_experiment);
    if (!experiment) {
      report.problem(place.string(), experiment.error());
    } else if (experiment->id != name || !is_number(name)) {
      report.problem((place / kMeta).string(),
                     fmt::format("has the experiment_id '{}', which must be a number and the folder's name",
                                 experiment->id));
    } else {
      experiment->tags = TRY(read_values(place / "tags", report));
      folders_[name] = place;
      std::string& location = experiment->artifact_location;
      if (location.ends_with("/" + name))
        if (auto local = artifacts::local_folder(location)) {
          std::string old = local->parent_path().string();
          if (std::find(old_roots_.begin(), old_roots_.end(), old) == old_roots_.end())
            old_roots_.push_back(old);
        }
      location = place_of(location);
      found.push_back(std::move(*experiment));
    }
  }
  return {};
}

std::string MlrunsSource::place_of(const std::string& uri) const {
  std::optional<fs::path> local = artifacts::local_folder(uri);
  if (!local) return uri;
  fs::path there = fs::absolute(*local).lexically_normal();
  if (is_there(there) || is_there(there.parent_path())) return local->is_absolute() ? uri : there.string();
  std::string text = local->string();
  for (const std::string& old : old_roots_) {
    if (!text.starts_with(old + "/")) continue;
    fs::path rest = text.substr(old.size() + 1);
    for (const fs::path& root : {root_, root_ / ".trash"})
      if (is_there(root / rest) || is_there((root / rest).parent_path())) return (root / rest).string();
  }
  return uri;
}

Result<std::vector<tracking::Experiment>> MlrunsSource::experiments(Report& report) {
  std::vector<tracking::Experiment> found;
  TRY(add_experiments(root_, found, report));
  TRY(add_experiments(root_ / ".trash", found, report));
  return found;
}

Result<std::vector<std::string>> MlrunsSource::runs(const tracking::Experiment& experiment, Report& report) {
  constexpr std::string_view kOthers[] = {"tags", "datasets", "traces", "models"};
  constexpr size_t kRunIdDigits = 32;
  const fs::path& folder = folders_.at(experiment.id);
  std::vector<std::string> ids;
  for (std::string& name : TRY(subfolders(folder))) {
    if (std::find(std::begin(kOthers), std::end(kOthers), name) != std::end(kOthers)) continue;
    if (is_there(folder / name / kMeta))
      ids.push_back(std::move(name));
    else if (name.size() == kRunIdDigits)
      report.problem((folder / name).string(), "a run without meta.yaml");
  }
  if (size_t traces = TRY(subfolders(folder / "traces")).size(); traces > 0)
    report.notes.push_back(fmt::format("{}: {} traces are not taken; Tidemill keeps none",
                                       (folder / "traces").string(), traces));
  return ids;
}

Result<tracking::TransferredRun> MlrunsSource::run(const tracking::Experiment& experiment,
                                                   const std::string& id, Report& report) {
  fs::path folder = folders_.at(experiment.id) / id;
  tracking::TransferredRun transferred = TRY(read_meta(folder, parse_run));
  tracking::Run& run = transferred.run;
  if (run.info.id != id || run.info.experiment_id != experiment.id)
    return fail(Code::kInvalid, "{}: is of run '{}' in experiment '{}', not of its folder",
                (folder / kMeta).string(), run.info.id, run.info.experiment_id);
  run.info.artifact_uri = place_of(run.info.artifact_uri);
  run.params = TRY(read_values(folder / "params", report));
  run.tags = TRY(read_values(folder / "tags", report));
  if (run.info.name.empty()) run.info.name = run.tag("mlflow.runName");
  if (run.info.user.empty()) run.info.user = run.tag("mlflow.user");
  TRY(add_lineage(folder.parent_path(), folder, run, report));
  return transferred;
}

Result<> MlrunsSource::add_lineage(const fs::path& experiment, const fs::path& run, tracking::Run& out,
                                   Report& report) {
  auto attempt = [&](const fs::path& folder, auto work) {
    if (Result<> done = work(folder); !done) report.problem(folder.string(), done.error());
  };
  for (const std::string& name : TRY(subfolders(run / "inputs")))
    attempt(run / "inputs" / name, [&](const fs::path& folder) -> Result<> {
      InputMeta input = TRY(read_meta(folder, parse_input));
      if (input.is_model) {
        out.model_inputs.push_back(std::move(input.source_id));
        return {};
      }
      fs::path dataset = TRY(path_inside(experiment / "datasets", input.source_id));
      out.datasets.push_back(
          {TRY(read_meta(dataset, parse_dataset, kMaxDatasetBytes)), std::move(input.tags)});
      return {};
    });
  for (const std::string& name : TRY(subfolders(run / "outputs")))
    attempt(run / "outputs" / name, [&](const fs::path& folder) -> Result<> {
      out.model_outputs.push_back(TRY(read_meta(folder, parse_output)));
      return {};
    });
  return {};
}

Result<> MlrunsSource::metrics(const tracking::TransferredRun& run, const PointSink& sink, Report& report) {
  fs::path folder = folders_.at(run.run.info.experiment_id) / run.run.info.id / "metrics";
  for (const FoundFile& file : TRY(files_below(folder, report))) {
    std::vector<tracking::Point> points;
    auto read = read_metric_file(
        file.file.string(), MetricOwner::kRun,
        [&](const MetricLine& line) -> Result<> {
          points.push_back(line.point);
          return points.size() < kMostPoints ? Result<>() : sink(file.path, std::exchange(points, {}));
        },
        report);
    if (!read && !concerns_one_thing(read.error())) return read;
    if (!read) report.problem(file.file.string(), read.error());
    if (!points.empty()) TRY(sink(file.path, std::move(points)));
  }
  return {};
}

Result<std::vector<std::string>> MlrunsSource::logged_models(const tracking::Experiment& experiment,
                                                             Report&) {
  return subfolders(folders_.at(experiment.id) / "models");
}

Result<tracking::LoggedModel> MlrunsSource::logged_model(const tracking::Experiment& experiment,
                                                         const std::string& id, Report& report) {
  fs::path folder = folders_.at(experiment.id) / "models" / id;
  tracking::LoggedModel model = TRY(read_meta(folder, parse_logged_model));
  if (model.id != id)
    return fail(Code::kInvalid, "{}: is of model '{}', not of its folder", (folder / kMeta).string(),
                model.id);
  model.artifact_uri = place_of(model.artifact_uri);
  model.params = TRY(read_values(folder / "params", report));
  model.tags = TRY(read_values(folder / "tags", report));
  for (const FoundFile& file : TRY(files_below(folder / "metrics", report)))
    TRY(read_metric_file(
        file.file.string(), MetricOwner::kLoggedModel,
        [&](const MetricLine& line) -> Result<> {
          model.metrics.push_back({{file.path, line.point.value, line.point.timestamp, line.point.step},
                                   line.run_id,
                                   line.dataset_name,
                                   line.dataset_digest});
          return {};
        },
        report));
  return model;
}

Result<std::vector<std::string>> MlrunsSource::registered_models(Report&) {
  return subfolders(root_ / "models");
}

Result<tracking::TransferredModel> MlrunsSource::registered_model(const std::string& name, Report& report) {
  fs::path folder = root_ / "models" / name;
  tracking::TransferredModel transferred{TRY(read_meta(folder, parse_registered_model)), {}};
  tracking::RegisteredModel& model = transferred.model;
  model.tags = TRY(read_values(folder / "tags", report));
  for (const std::string& part : TRY(subfolders(folder))) {
    if (!part.starts_with("version-")) continue;
    auto version = read_meta(folder / part, parse_version);
    if (!version) {
      report.problem((folder / part).string(), version.error());
    } else if (*version) {
      (*version)->tags = TRY(read_values(folder / part / "tags", report));
      (*version)->storage_location = place_of((*version)->storage_location);
      (*version)->source = place_of((*version)->source);
      transferred.versions.push_back(std::move(**version));
    }
  }
  for (const auto& [alias, text] : TRY(read_values(folder / "aliases", report))) {
    std::string_view number = trim(text);
    if (is_number(number))
      model.aliases.push_back({alias, std::stoll(std::string(number))});
    else
      report.problem((folder / "aliases" / alias).string(), "holds no version's number");
  }
  return transferred;
}

Result<> MlrunsSource::files(const std::string& artifact_uri, const FileSink& sink, Report& report) {
  return local_files(artifact_uri, served_, sink, report);
}

}  // namespace tidemill::exchange
