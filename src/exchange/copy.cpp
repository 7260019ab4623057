#include "exchange/copy.h"

namespace tidemill::exchange {
namespace {

class Copier {
 public:
  Copier(Source& source, Sink& sink, const CopyOptions& options, Report& report)
      : source_(source), sink_(sink), options_(options), report_(report) {}

  Result<> copy() {
    TRY(list());
    for (const auto& [experiment, runs] : experiments_) TRY(copy_runs(experiment, runs));
    TRY(sink_.flush(report_));
    for (const auto& [experiment, runs] : experiments_) TRY(copy_logged_models(experiment));
    for (const std::string& name : TRY(source_.registered_models(report_))) {
      TRY(check_interrupted());
      TRY(attempt("registered model " + name, [&]() -> Result<> {
        return sink_.put_registered_model(TRY(source_.registered_model(name, report_)), report_);
      }));
    }
    note_missing_folders();
    return sink_.finish(report_);
  }

 private:
  void note_missing_folders() {
    if (report_.folders_missing == 0) return;
    bool one = report_.folders_missing == 1;
    report_.notes.push_back(
        fmt::format("{} not there{}: {} logged no files, or {} moved",
                    one ? "a folder of artifacts is"
                        : fmt::format("{} folders of artifacts are", report_.folders_missing),
                    (one ? ", " : ", the first is ") + report_.first_missing, one ? "its run" : "their runs",
                    one ? "it was" : "they were"));
  }

  struct Listed {
    tracking::Experiment experiment;
    std::vector<std::string> runs;
  };

  Result<> list() {
    for (tracking::Experiment& experiment : TRY(source_.experiments(report_))) {
      TRY(check_interrupted());
      std::string name = experiment.name;
      TRY(attempt("experiment " + name, [&]() -> Result<> {
        auto runs = TRY(source_.runs(experiment, report_));
        TRY(sink_.put_experiment(experiment, report_));
        total_ += runs.size();
        experiments_.push_back({std::move(experiment), std::move(runs)});
        return {};
      }));
    }
    return {};
  }

  Result<> copy_runs(const tracking::Experiment& experiment, const std::vector<std::string>& runs) {
    for (const std::string& id : runs) {
      TRY(check_interrupted());
      TRY(attempt("run " + id, [&] { return copy_run(experiment, id); }));
      options_.progress(++done_, total_, report_);
    }
    return {};
  }

  Result<> copy_run(const tracking::Experiment& experiment, const std::string& id) {
    tracking::TransferredRun run = TRY(source_.run(experiment, id, report_));
    bool known = options_.pass_over_known && run.run.info.end_time && TRY(sink_.has_newest_points(run.run));
    TRY(sink_.put_run(run, files_of(run.run.info.artifact_uri), report_));
    if (known) return {};
    return source_.metrics(
        run,
        [&](std::string_view key, std::vector<tracking::Point> points) -> Result<> {
          TRY(check_interrupted());
          return sink_.put_points(id, key, std::move(points), report_);
        },
        report_);
  }

  Result<> copy_logged_models(const tracking::Experiment& experiment) {
    for (const std::string& id : TRY(source_.logged_models(experiment, report_))) {
      TRY(check_interrupted());
      TRY(attempt("logged model " + id, [&]() -> Result<> {
        tracking::LoggedModel model = TRY(source_.logged_model(experiment, id, report_));
        Sink::Files files = files_of(model.artifact_uri);
        return sink_.put_logged_model(std::move(model), files, report_);
      }));
    }
    return {};
  }

  Sink::Files files_of(std::string uri) {
    return [this, uri = std::move(uri)](const FileSink& sink) {
      return source_.files(
          uri,
          [&](const ArtifactFile& file) -> Result<> {
            TRY(check_interrupted());
            return sink(file);
          },
          report_);
    };
  }

  // An error that concerns only this thing is reported.
  template <class Work>
  Result<> attempt(std::string what, Work work) {
    Result<> result = work();
    if (result || !concerns_one_thing(result.error())) return result;
    report_.problem(std::move(what), result.error());
    return {};
  }

  Result<> check_interrupted() {
    if (!options_.interrupted()) return {};
    TRY(sink_.flush(report_));
    return fail(Code::kCancelled,
                "interrupted; what was taken is kept, and the same command goes on from there");
  }

  Source& source_;
  Sink& sink_;
  const CopyOptions& options_;
  Report& report_;
  std::vector<Listed> experiments_;
  uint64_t done_ = 0, total_ = 0;
};

}  // namespace

Result<> copy(Source& source, Sink& sink, const CopyOptions& options, Report& report) {
  return Copier(source, sink, options, report).copy();
}

}  // namespace tidemill::exchange
