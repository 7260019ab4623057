#include "exchange/remote_sink.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "artifacts/artifact_repository.h"
#include "base/json_numbers.h"
#include "base/text.h"
#include "exchange/mlflow_json.h"
#include "exchange/pushed.h"
#include "exchange/remote_source.h"

namespace tidemill::exchange {
namespace {

using tracking::KeyValue;
using tracking::Lifecycle;
using tracking::Transferred;

constexpr std::string_view kFrom = kPushedFromTag;
constexpr std::string_view kParent = "mlflow.parentRunId";

Json first_of(const Json& reply, std::string_view list) {
  auto found = reply.find(list);
  return found != reply.end() && found->is_array() && !found->empty() ? found->front() : Json();
}

Transferred::Outcome outcome(bool is_new) {
  return is_new ? Transferred::Outcome::kNew : Transferred::Outcome::kChanged;
}

}  // namespace

Result<std::string> RemoteSink::there(const std::string& experiment) const {
  auto found = experiments_.find(experiment);
  if (found == experiments_.end())
    return fail(Code::kNotFound, "its experiment {} was not pushed", experiment);
  return found->second;
}

Result<> RemoteSink::put_experiment(const tracking::Experiment& experiment, Report& report) {
  if (experiment.lifecycle == Lifecycle::kDeleted) return put_deleted_experiment(experiment, report);
  PushedExperiment pushed = TRY(push_experiment(api_, experiment.name, experiment.tags));
  report.experiments.add(outcome(pushed.is_new));
  experiments_[experiment.id] = std::move(pushed.id);
  return {};
}

Result<> RemoteSink::put_deleted_experiment(const tracking::Experiment& experiment, Report& report) {
  // Its id tells an experiment that this export has made, and did not come to delete, from another of that
  // name.
  const KeyValue mark(kFrom, experiment.id);
  auto found = api_.get("experiments/get-by-name", {{"experiment_name", experiment.name}});
  if (!found && found.error().code != Code::kNotFound) return tl::unexpected<Error>(std::move(found).error());
  if (found) {
    tracking::Experiment there = TRY(experiment_from(found->value("experiment", Json::object())));
    bool is_ours = std::find(there.tags.begin(), there.tags.end(), mark) != there.tags.end();
    bool is_active = there.lifecycle == Lifecycle::kActive;
    if (is_active && !is_ours)
      report.problem("experiment " + experiment.name,
                     "is deleted here, and one of that name is active there");
    if (!is_active || !is_ours) {
      left_out_.insert(experiment.id);
      return {};
    }
  }
  std::vector<KeyValue> tags = experiment.tags;
  tags.push_back(mark);
  PushedExperiment pushed = TRY(push_experiment(api_, experiment.name, tags));
  report.experiments.add(outcome(pushed.is_new));
  experiments_to_delete_.push_back(pushed.id);
  experiments_[experiment.id] = std::move(pushed.id);
  return {};
}

Result<std::optional<RemoteSink::Pushed>> RemoteSink::find_or_create_run(const tracking::Run& run,
                                                                         const std::string& experiment) {
  const bool is_deleted = run.info.lifecycle == Lifecycle::kDeleted;
  using tracking::ViewType;
  auto found = TRY(
      find_pushed_run(api_, experiment, run.info.id, is_deleted ? ViewType::kAll : ViewType::kActiveOnly));
  if (!found) found = TRY(find_same_run(api_, run.info.id));
  if (found && found->is_deleted) return std::nullopt;
  if (found) return Pushed{std::move(found->id), std::move(found->artifact_uri), false};
  PushedRun made = TRY(create_pushed_run(api_, experiment, run, {}));
  return Pushed{std::move(made.id), std::move(made.artifact_uri), true};
}

Result<> RemoteSink::put_run(tracking::TransferredRun transferred, const Files& files, Report& report) {
  TRY(end_run());
  tracking::Run& run = transferred.run;
  if (left_out_.contains(run.info.experiment_id)) return {};
  std::optional<Pushed> found = TRY(find_or_create_run(run, TRY(there(run.info.experiment_id))));
  if (!found) return {};
  Pushed pushed = std::move(*found);
  runs_[run.info.id] = pushed.id;
  if (run.info.lifecycle == Lifecycle::kDeleted) to_delete_.push_back(pushed.id);
  open_run_is_new_ = pushed.is_new;
  std::erase_if(run.tags, [](const KeyValue& tag) { return tag.first == kFrom; });  // of a push to here
  for (auto& [key, value] : run.tags) {
    if (key != kParent) continue;
    if (auto parent = runs_.find(value); parent != runs_.end())
      value = parent->second;
    else
      lost_children_.emplace_back(pushed.id, value);
  }
  TRY(push_pairs(run, pushed, report));
  TRY(log_lineage(run, pushed));
  TRY(put_files(files, run.info.artifact_uri, pushed.artifact_uri, report));
  end_ = Json{{"run_id", pushed.id}, {"status", tracking::to_string(run.info.status)}};
  if (run.info.end_time) (*end_)["end_time"] = *run.info.end_time;
  report.runs.add(outcome(pushed.is_new));
  return {};
}

// What the server refuses shall not cost the run the rest: a tag's name that it takes from runs/create alone,
// a value that is too long for it.
Result<> RemoteSink::push_pairs(const tracking::Run& run, const Pushed& pushed, Report& report) {
  auto whole = push_batch(api_, pushed.id, {.metrics = {}, .params = run.params, .tags = run.tags});
  if (whole || !concerns_one_thing(whole.error())) return whole;
  auto push_alone = [&](std::string_view kind, const KeyValue& pair,
                        const tracking::Batch& batch) -> Result<> {
    auto alone = push_batch(api_, pushed.id, batch);
    if (alone || !concerns_one_thing(alone.error())) return alone;
    report.problem(fmt::format("{} {} of run {}", kind, pair.first, run.info.id), alone.error());
    return {};
  };
  for (const KeyValue& param : run.params)
    TRY(push_alone("parameter", param, {.metrics = {}, .params = {param}, .tags = {}}));
  for (const KeyValue& tag : run.tags)
    TRY(push_alone("tag", tag, {.metrics = {}, .params = {}, .tags = {tag}}));
  return {};
}

Result<> RemoteSink::log_lineage(const tracking::Run& run, const Pushed& pushed) {
  Json inputs = Json::array();
  for (const tracking::DatasetInput& input : run.datasets) {
    const tracking::Dataset& dataset = input.dataset;
    Json json{{"name", dataset.name},
              {"digest", dataset.digest},
              {"source_type", dataset.source_type},
              {"source", dataset.source}};
    if (dataset.schema) json["schema"] = *dataset.schema;
    if (dataset.profile) json["profile"] = *dataset.profile;
    inputs.push_back(Json{{"tags", json_of(input.tags)}, {"dataset", std::move(json)}});
  }
  if (!inputs.empty())
    TRY(api_.post("runs/log-inputs", Json{{"run_id", pushed.id}, {"datasets", std::move(inputs)}}));
  for (const tracking::ModelOutput& model : run.model_outputs)
    outputs_.push_back({pushed.id, model.model_id, model.step, pushed.is_new});
  return {};
}

Result<> RemoteSink::end_run() {
  if (!end_) return {};
  Json end = *std::exchange(end_, std::nullopt);
  TRY(api_.post("runs/update", end));
  return {};
}

Result<> RemoteSink::put_points(const std::string& run_id, std::string_view key,
                                std::vector<tracking::Point> points, Report& report) {
  auto run = runs_.find(run_id);
  if (run == runs_.end()) return {};  // deleted
  TRY(ask_for_points(run->second, key));
  tracking::Batch batch;
  for (const auto& point : points)
    if (!known_.points.contains(as_there(point)))
      batch.metrics.push_back({std::string(key), point.value, point.timestamp, point.step});
  TRY(push_batch(api_, run->second, batch));
  report.points += batch.metrics.size();
  return {};
}

RemoteSink::PointThere RemoteSink::as_there(const tracking::Point& point) {
  double value = std::isnan(point.value) ? std::numeric_limits<double>::quiet_NaN() : point.value;
  return {point.timestamp, point.step, std::bit_cast<uint64_t>(value == 0 ? 0.0 : value)};
}

// MLflow refuses a batch with a NaN that it has, and what it has need not be sent.
Result<> RemoteSink::ask_for_points(const std::string& run, std::string_view key) {
  if (known_.run == run && known_.key == key) return {};
  known_ = {run, std::string(key), {}};
  if (open_run_is_new_) return {};
  return metric_history(api_, run, known_.key,
                        [&](std::string_view, std::vector<tracking::Point> points) -> Result<> {
                          for (const auto& point : points) known_.points.insert(as_there(point));
                          return {};
                        });
}

Result<> RemoteSink::flush(Report&) {
  TRY(end_run());
  for (const auto& [run, parent] : std::exchange(lost_children_, {}))
    if (auto found = runs_.find(parent); found != runs_.end())
      TRY(api_.post("runs/set-tag", Json{{"run_id", run}, {"key", kParent}, {"value", found->second}}));
  return {};
}

// Not before: nothing can be added to what is deleted.
Result<> RemoteSink::finish(Report&) {
  for (const std::string& run : to_delete_) TRY(api_.post("runs/delete", Json{{"run_id", run}}));
  for (const std::string& experiment : experiments_to_delete_)
    TRY(api_.post("experiments/delete", Json{{"experiment_id", experiment}}));
  return {};
}

// With where it comes from; what was pushed to this store has a mark of its own.
static std::vector<KeyValue> marked(std::vector<KeyValue> tags, const std::string& from) {
  std::erase_if(tags, [](const KeyValue& tag) { return tag.first == kFrom; });
  tags.emplace_back(kFrom, from);
  return tags;
}

// What has the same id or number there (find_same_run); null: nothing has.
Result<Json> RemoteSink::same_there(const std::string& call, const MlflowApi::Query& query,
                                    std::string_view name) {
  auto found = api_.get(call, query);
  if (!found && found.error().code == Code::kNotFound) return Json();
  return TRY(std::move(found)).value(name, Json());
}

Result<RemoteSink::Pushed> RemoteSink::find_or_create_model(const tracking::LoggedModel& model,
                                                            const std::string& experiment) {
  Json search{{"experiment_ids", {experiment}},
              {"filter", fmt::format("tags.`{}` = '{}'", kFrom, model.id)},
              {"max_results", 1}};
  Json found = first_of(TRY(api_.post("logged-models/search", search)), "models");
  if (found.is_null()) found = TRY(same_there("logged-models/" + url_encode(model.id), {}, "model"));
  bool is_new = found.is_null();
  if (is_new) {
    std::vector<KeyValue> tags = marked(model.tags, model.id);
    auto run = runs_.find(model.source_run_id);
    Json reply = TRY(api_.post("logged-models", Json{{"experiment_id", experiment},
                                                     {"name", model.name},
                                                     {"model_type", model.model_type},
                                                     {"source_run_id", run == runs_.end() ? "" : run->second},
                                                     {"params", json_of(model.params)},
                                                     {"tags", json_of(tags)}}));
    found = reply.value("model", Json::object());
  }
  tracking::LoggedModel there = TRY(logged_model_from(found));
  return Pushed{there.id, there.artifact_uri, is_new, std::move(there.metrics)};
}

Result<> RemoteSink::put_logged_model(tracking::LoggedModel model, const Files& files, Report& report) {
  if (left_out_.contains(model.experiment_id)) return {};
  Pushed pushed = TRY(find_or_create_model(model, TRY(there(model.experiment_id))));
  models_[model.id] = pushed.id;
  TRY(put_files(files, model.artifact_uri, pushed.artifact_uri, report));
  if (model.status == tracking::ModelStatus::kReady || model.status == tracking::ModelStatus::kUploadFailed)
    TRY(api_.patch("logged-models/" + url_encode(pushed.id),
                   Json{{"model_id", pushed.id}, {"status", tracking::to_string(model.status)}}));
  for (const Output& output : outputs_)
    if (output.model == model.id && (output.run_is_new || pushed.is_new))
      TRY(api_.post(
          "runs/outputs",
          Json{{"run_id", output.run}, {"models", {Json{{"model_id", pushed.id}, {"step", output.step}}}}}));
  TRY(log_model_metrics(model, pushed));
  report.logged_models.add(outcome(pushed.is_new));
  return {};
}

Result<> RemoteSink::log_model_metrics(const tracking::LoggedModel& model, const Pushed& pushed) {
  auto place_of = [](const tracking::Metric& metric) {
    return as_there({metric.timestamp, metric.step, metric.value});
  };
  for (const tracking::ModelMetric& point : model.metrics) {
    auto run = runs_.find(point.run_id);
    if (run == runs_.end()) continue;
    bool is_there = std::any_of(pushed.metrics.begin(), pushed.metrics.end(), [&](const auto& other) {
      return other.run_id == run->second && other.metric.key == point.metric.key &&
             place_of(other.metric) == place_of(point.metric);
    });
    if (is_there) continue;
    Json metric{{"run_id", run->second},
                {"key", point.metric.key},
                {"value", json_of_real(point.metric.value)},
                {"timestamp", point.metric.timestamp},
                {"step", point.metric.step},
                {"model_id", pushed.id}};
    if (!point.dataset_name.empty()) {
      metric["dataset_name"] = point.dataset_name;
      metric["dataset_digest"] = point.dataset_digest;
    }
    TRY(api_.post("runs/log-metric", metric));
  }
  return {};
}

Result<> RemoteSink::put_registered_model(tracking::TransferredModel transferred, Report& report) {
  const tracking::RegisteredModel& model = transferred.model;
  auto created = api_.post(
      "registered-models/create",
      Json{{"name", model.name}, {"description", model.description}, {"tags", json_of(model.tags)}});
  if (!created && created.error().code != Code::kConflict)
    return tl::unexpected<Error>(std::move(created).error());
  report.registered_models.add(outcome(created.has_value()));
  std::map<int64_t, std::string> numbers;  // here -> there
  for (const tracking::ModelVersion& version : transferred.versions)
    TRY(put_version(version, numbers, report));
  for (const tracking::ModelAlias& alias : model.aliases)
    if (auto number = numbers.find(alias.version); number != numbers.end())
      TRY(api_.post("registered-models/alias",
                    Json{{"name", model.name}, {"alias", alias.alias}, {"version", number->second}}));
  return {};
}

Result<> RemoteSink::put_version(const tracking::ModelVersion& version,
                                 std::map<int64_t, std::string>& numbers, Report& report) {
  constexpr std::string_view kModel = "models:/";
  std::string mark = fmt::format("{}/{}", version.name, version.version);
  std::string quoted =
      version.name.find('\'') == std::string::npos ? "'" + version.name + "'" : '"' + version.name + '"';
  Json found = first_of(
      TRY(api_.get("model-versions/search",
                   {{"filter", fmt::format("name = {} AND tags.`{}` = '{}'", quoted, kFrom, mark)}})),
      "model_versions");
  if (found.is_null()) {
    found = TRY(same_there("model-versions/get",
                           {{"name", version.name}, {"version", std::to_string(version.version)}},
                           "model_version"));
    if (json_int(found, "creation_timestamp") != version.created) found = {};  // another of that number
  }
  bool is_new = found.is_null();
  if (is_new) {
    std::vector<KeyValue> tags = marked(version.tags, mark);
    auto run = runs_.find(version.run_id);
    auto model = models_.find(version.model_id);
    Json create{{"name", version.name},
                {"source", model != models_.end() && version.source.starts_with(kModel)
                               ? fmt::format("{}{}", kModel, model->second)
                               : moved_uri(moves_, version.source)},
                {"description", version.description.value_or("")},
                {"run_link", version.run_link},
                {"tags", json_of(tags)}};
    if (run != runs_.end()) create["run_id"] = run->second;
    if (model != models_.end()) create["model_id"] = model->second;
    found = TRY(api_.post("model-versions/create", create)).value("model_version", Json::object());
  }
  std::string number = json_string(found, "version");
  numbers[version.version] = number;
  if (number != std::to_string(version.version))
    report.notes.push_back(
        fmt::format("version {} of {} is version {} there", version.version, version.name, number));
  if (version.stage != tracking::Stage::kNone)
    TRY(api_.post("model-versions/transition-stage", Json{{"name", version.name},
                                                          {"version", number},
                                                          {"stage", tracking::to_string(version.stage)},
                                                          {"archive_existing_versions", false}}));
  report.model_versions.add(outcome(is_new));
  return {};
}

Result<> RemoteSink::put_files(const Files& files, const std::string& from, const std::string& to,
                               Report& report) {
  moves_[from] = to;
  if (upload_ == Upload::no || from == to) return {};
  auto place = artifacts::proxied_path(to);
  Result<> done = files([&](const ArtifactFile& file) -> Result<> {
    if (!place) return fail(Code::kInvalid, "the server keeps artifacts in {}, and takes none itself", to);
    fs::path local = TRY(file.fetch());
    TRY(api_.upload(*place + "/" + file.path, local));
    ++report.files;
    report.file_bytes += file.size;
    return {};
  });
  if (!done && !concerns_one_thing(done.error())) return done;
  if (!done) report.problem(from, fmt::format("artifacts not pushed: {}", done.error().message));
  return {};
}

}  // namespace tidemill::exchange
