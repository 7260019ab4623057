// Pushes into an MLflow (or Tidemill) server over REST. A server gives ids of its own; what was pushed
// carries its id here in the tag tidemill.pushed_from, by which a repetition finds it again. What is deleted
// here is deleted there when everything has come over.
#pragma once

#include <map>
#include <set>
#include <unordered_map>

#include "exchange/mlflow_api.h"
#include "exchange/sink.h"

namespace tidemill::exchange {

class RemoteSink final : public Sink {
 public:
  enum class Upload { no, yes };
  RemoteSink(MlflowApi api, Upload upload) : api_(std::move(api)), upload_(upload) {}

  Result<> put_experiment(const tracking::Experiment& experiment, Report& report) override;
  Result<> put_run(tracking::TransferredRun run, const Files& files, Report& report) override;
  Result<> put_points(const std::string& run_id, std::string_view key, std::vector<tracking::Point> points,
                      Report& report) override;
  Result<> put_logged_model(tracking::LoggedModel model, const Files& files, Report& report) override;
  Result<> put_registered_model(tracking::TransferredModel model, Report& report) override;
  Result<> flush(Report& report) override;
  Result<> finish(Report& report) override;

 private:
  struct Pushed {
    std::string id;  // there
    std::string artifact_uri;
    bool is_new = false;
    std::vector<tracking::ModelMetric> metrics = {};  // of a logged model, as they were there
  };
  // A point, but for its key; NaN is equal to itself.
  struct PointThere {
    int64_t timestamp, step;
    uint64_t value_bits;
    auto operator<=>(const PointThere&) const = default;
  };
  static PointThere as_there(const tracking::Point& point);
  // What the server has of a metric of a run that was there before.
  Result<> ask_for_points(const std::string& run, std::string_view key);
  Result<std::string> there(const std::string& experiment) const;
  Result<> put_deleted_experiment(const tracking::Experiment& experiment, Report& report);
  // Nothing when it is deleted on both sides.
  Result<std::optional<Pushed>> find_or_create_run(const tracking::Run& run, const std::string& experiment);
  Result<> push_pairs(const tracking::Run& run, const Pushed& pushed, Report& report);
  Result<> log_lineage(const tracking::Run& run, const Pushed& pushed);
  Result<> end_run();  // gives the run that is being pushed its status
  Result<Json> same_there(const std::string& call, const MlflowApi::Query& query, std::string_view name);
  Result<Pushed> find_or_create_model(const tracking::LoggedModel& model, const std::string& experiment);
  Result<> log_model_metrics(const tracking::LoggedModel& model, const Pushed& pushed);
  Result<> put_version(const tracking::ModelVersion& version, std::map<int64_t, std::string>& numbers,
                       Report& report);
  Result<> put_files(const Files& files, const std::string& from, const std::string& to, Report& report);

  MlflowApi api_;
  Upload upload_;
  std::map<std::string, std::string> experiments_;
  std::unordered_map<std::string, std::string> runs_, models_;  // ids here -> there
  std::vector<std::string> to_delete_, experiments_to_delete_;  // there: runs, experiments
  std::set<std::string> left_out_;                              // experiments that are deleted on both sides
  Moves moves_;
  struct Output {
    std::string run, model;  // there, here
    int64_t step = 0;
    bool run_is_new = false;
  };
  std::vector<Output> outputs_;                                     // whose models are still to come
  std::vector<std::pair<std::string, std::string>> lost_children_;  // run there, parent here
  std::optional<Json> end_;                                         // the update that ends the open run
  bool open_run_is_new_ = true;
  struct {
    std::string run, key;
    std::set<PointThere> points;
  } known_;  // of the metric that is being pushed
};

}  // namespace tidemill::exchange
