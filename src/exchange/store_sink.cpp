#include "exchange/store_sink.h"

#include <algorithm>
#include <cmath>

#include "artifacts/folder_repository.h"

namespace tidemill::exchange {

using tracking::Location;
using tracking::RunPoints;
using tracking::TransferItem;
using tracking::Transferred;
using tracking::TransferredRun;

const std::string kServed = "mlflow-artifacts:/";
// One transaction holds about so much.
constexpr size_t kMostItems = 200, kMostWaitingPoints = 500'000;

Result<std::string> StoreSink::experiment_here(const std::string& id) const {
  auto found = experiments_.find(id);
  if (found == experiments_.end()) return fail(Code::kNotFound, "its experiment {} was not taken", id);
  return found->second;
}

Result<> StoreSink::put_experiment(const tracking::Experiment& experiment, Report& report) {
  const std::string& location = experiment.artifact_location;
  bool comes_along = artifacts_ && (artifacts::local_folder(location) || artifacts::proxied_path(location));
  tracking::Experiment wanted = experiment;
  if (comes_along) wanted.artifact_location.clear();  // only its id here tells the new one
  auto result = TRY(transfer_.put_experiment(wanted, Location::kKeep));
  if (comes_along) {
    wanted.artifact_location = kServed + result.id;
    auto moved = TRY(transfer_.put_experiment(wanted, Location::kReplace));
    if (result.outcome == Transferred::Outcome::kSame) result.outcome = moved.outcome;
  }
  experiments_[experiment.id] = result.id;
  report.experiments.add(result.outcome);
  if (result.id != experiment.id)
    report.notes.push_back(
        fmt::format("experiment {} ({}) has the id {} here", experiment.id, experiment.name, result.id));
  return {};
}

Result<> StoreSink::put_run(TransferredRun run, const Files& files, Report& report) {
  tracking::RunInfo& info = run.run.info;
  info.experiment_id = TRY(experiment_here(info.experiment_id));
  std::string place = fmt::format("{}/{}/artifacts", info.experiment_id, info.id);
  if (TRY(copy_files(files, place, info.artifact_uri, report))) run.location = Location::kReplace;
  waiting_.emplace_back(std::move(run));
  return waiting_.size() >= kMostItems ? flush(report) : Result<>();
}

Result<> StoreSink::put_points(const std::string& run_id, std::string_view key,
                               std::vector<tracking::Point> points, Report& report) {
  auto* last = waiting_.empty() ? nullptr : std::get_if<RunPoints>(&waiting_.back());
  if (!last || last->run_id != run_id)
    last = &std::get<RunPoints>(waiting_.emplace_back(RunPoints{run_id, {}}));
  waiting_points_ += points.size();
  last->series.push_back({std::string(key), std::move(points)});
  return waiting_points_ >= kMostWaitingPoints ? flush(report) : Result<>();
}

Result<> StoreSink::put_logged_model(tracking::LoggedModel model, const Files& files, Report& report) {
  model.experiment_id = TRY(experiment_here(model.experiment_id));
  std::string place = fmt::format("{}/models/{}/artifacts", model.experiment_id, model.id);
  bool copied = TRY(copy_files(files, place, model.artifact_uri, report));
  size_t unknown_runs = 0;
  auto result =
      TRY(transfer_.put_logged_model(model, copied ? Location::kReplace : Location::kKeep, unknown_runs));
  report.logged_models.add(result.outcome);
  if (unknown_runs > 0)
    report.problem("logged model " + model.id,
                   fmt::format("{} of its metric values are of runs that were not taken", unknown_runs));
  return {};
}

Result<> StoreSink::put_registered_model(tracking::TransferredModel model, Report& report) {
  for (tracking::ModelVersion& version : model.versions) {
    if (version.storage_location.empty()) version.storage_location = version.source;
    version.storage_location = moved_uri(moves_, version.storage_location);
    version.source = moved_uri(moves_, version.source);
  }
  auto result = TRY(transfer_.put_registered_model(model));
  report.registered_models.add(result.model);
  for (Transferred::Outcome outcome : result.versions) report.model_versions.add(outcome);
  for (int64_t version : result.refused)
    report.problem(fmt::format("registered model {} version {}", model.model.name, version),
                   "another version has this number here");
  return {};
}

Result<bool> StoreSink::has_newest_points(const tracking::Run& run) {
  auto here = store_.run(run.info.id);
  if (!here && here.error().code == Code::kNotFound) return false;
  if (!here) return tl::unexpected<Error>(std::move(here).error());
  std::map<std::string_view, const tracking::Metric*> known;
  for (const tracking::Metric& metric : here->metrics) known[metric.key] = &metric;
  return std::all_of(run.metrics.begin(), run.metrics.end(), [&](const tracking::Metric& metric) {
    auto found = known.find(metric.key);
    return found != known.end() && found->second->timestamp == metric.timestamp &&
           found->second->step == metric.step &&
           (found->second->value == metric.value ||
            (std::isnan(found->second->value) && std::isnan(metric.value)));
  });
}

Result<> StoreSink::flush(Report& report) {
  std::vector<TransferItem> items = std::exchange(waiting_, {});
  waiting_points_ = 0;
  return items.empty() ? Result<>() : write(items, report);
}

// What fails alone is found by halving.
Result<> StoreSink::write(std::span<const TransferItem> items, Report& report) {
  auto results = transfer_.put(items);
  if (results) {
    for (size_t i = 0; i < items.size(); ++i) count(items[i], (*results)[i], report);
    return {};
  }
  if (!concerns_one_thing(results.error())) return tl::unexpected<Error>(std::move(results).error());
  if (items.size() == 1) {
    const auto* run = std::get_if<TransferredRun>(&items[0]);
    const std::string& id = run ? run->run.info.id : std::get<RunPoints>(items[0]).run_id;
    report.problem((run ? "run " : "metrics of run ") + id, results.error());
    return {};
  }
  TRY(write(items.first(items.size() / 2), report));
  return write(items.subspan(items.size() / 2), report);
}

void StoreSink::count(const TransferItem& item, const Transferred& result, Report& report) {
  report.points += result.new_points;
  if (std::holds_alternative<TransferredRun>(item)) report.runs.add(result.outcome);
}

Result<bool> StoreSink::copy_files(const Files& files, const std::string& place, std::string& uri,
                                   Report& report) {
  if (!artifacts_ || !TRY(store_files(files, *artifacts_, place, uri, report))) return false;
  std::string moved_to = kServed + place;
  moves_[uri] = moved_to;
  uri = moved_to;
  return true;
}

}  // namespace tidemill::exchange
