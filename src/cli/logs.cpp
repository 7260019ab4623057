// tidemill logs: what the steps of a run have printed, and print.
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cstdlib>
#include <map>

#include "artifacts/folder_repository.h"
#include "base/json.h"
#include "cli/commands.h"
#include "cli/run_id.h"
#include "engine/earlier.h"
#include "engine/provenance.h"
#include "engine/record.h"
#include "sys/left_out.h"
#include "sys/signals.h"

#include <CLI/CLI.hpp>

namespace tidemill::cli {
namespace {

struct LogsOptions {
  std::string run_id, step;
  bool follow = false;
};

constexpr int kTickMs = 200;

struct Log {
  std::string step;
  int attempt;
  fs::path file;
  std::string of_run = {};  // of the step, in which it was printed when this one was reused from there
};

class Logs {
 public:
  Logs(const Context& context, const LogsOptions& options, tracking::Store& store, engine::Options engine)
      : context_(context), options_(options), store_(store), engine_(std::move(engine)) {}

  Result<int> show() {
    if (context_.json) return list();
    for (;;) {
      const bool may_grow = TRY(is_running());  // asked before its logs are read
      for (const Log& log : TRY(logs())) TRY(show_new(log));
      if (!options_.follow || !may_grow) break;
      pollfd interrupt{interrupt_fd(), POLLIN, 0};
      poll(&interrupt, 1, kTickMs);
      if (interrupted()) return exit_code(Code::kCancelled);
    }
    if (shown_.empty()) fmt::print(stderr, "nothing has been printed\n");
    return 0;
  }

 private:
  Result<int> list() {
    Json list = Json::array();
    for (const Log& log : TRY(logs())) {
      list.push_back({{"step", log.step}, {"attempt", log.attempt}, {"file", log.file.string()}});
      if (!log.of_run.empty()) list.back()["reused_run"] = log.of_run;
    }
    TRY(print(dump_json({{"logs", list}}, 2) + "\n"));
    return 0;
  }

  Result<bool> is_running() {
    auto run = TRY(store_.run(options_.run_id));
    return run.info.status == tracking::RunStatus::kRunning &&
           (engine::runner_is_alive(run.tag(engine::kRunnerTag)) ||
            engine::is_running(engine::attempts_folder(engine_.state_dir), run.info.id));
  }

  // The latest attempt of each step that is asked for; of a step's run, that attempt.
  Result<std::vector<Log>> logs() {
    auto run = TRY(store_.run(options_.run_id));
    if (const auto step = run.tag("tidemill.step"); !step.empty()) {
      if (!options_.step.empty() && options_.step != step)
        return fail(Code::kInvalid, "run {} is one of step '{}', not of '{}'", run.info.id, step,
                    options_.step);
      return std::vector<Log>{TRY(log_of(run))};
    }
    headed_ = options_.step.empty();
    fs::path folder = TRY(folder_of(run));
    std::vector<Log> found;
    for (const auto& record : TRY(store_.step_records(run.info.id)))
      if ((options_.step.empty() || options_.step == record.step) && record.attempt > 0)
        found.push_back(TRY(log_of(record, folder)));
    if (!options_.step.empty() && found.empty() && !options_.follow)
      return fail(Code::kNotFound, "no step '{}' of run {} has run", options_.step, run.info.id);
    return found;
  }

  // Of the attempt that is this run, or that made its result.
  Result<Log> log_of(const tracking::Run& run) {
    if (const auto maker = run.tag("tidemill.reused_run"); !maker.empty()) {
      Log log = TRY(log_of(TRY(store_.run(std::string(maker)))));
      if (log.of_run.empty()) log.of_run = maker;
      return log;
    }
    const std::string step(run.tag("tidemill.step")), parent = engine::pipeline_run_of(run);
    const std::string attempt(run.tag("tidemill.attempt"));
    const int number = attempt.empty() ? 1 : std::atoi(attempt.c_str());
    const fs::path folder = TRY(folder_of(parent.empty() ? run : TRY(store_.run(parent))));
    return Log{step, number, engine::log_file(folder, step, number)};
  }

  // folder: of the pipeline's run.
  Result<Log> log_of(const tracking::StepRecord& record, const fs::path& folder) {
    Log own{record.step, record.attempt, engine::log_file(folder, record.step, record.attempt)};
    std::error_code ignored;
    if (record.step_run.empty() || fs::exists(own.file, ignored)) return own;
    auto run = store_.run(record.step_run);
    if (!run) return own;  // removed for good since
    auto made = log_of(*run);
    if (!made || made->file == own.file) return own;
    made->step = record.step;
    if (made->of_run.empty()) made->of_run = record.step_run;
    return made;
  }

  Result<fs::path> folder_of(const tracking::Run& run) const {
    auto folder = artifacts::local_folder(run.info.artifact_uri, engine_.artifact_root);
    if (!folder)
      return fail(Code::kInvalid, "the logs of run {} lie in {}, which is not a folder of this machine",
                  run.info.id, run.info.artifact_uri);
    return *folder;
  }

  Result<> show_new(const Log& log) {
    auto file = open_file(log.file, O_RDONLY);
    if (!file) return {};  // a step that was reused, or has not begun to print
    Shown& shown = shown_[log.file];
    const off_t size = lseek(file->get(), 0, SEEK_END);
    // Its middle may have been taken out, and more of it since.
    if (shown.left_out)
      shown.left_out = left_out_at(*file, shown.left_out->at);
    else if (size < shown.size)
      shown.left_out = find_left_out(*file);
    shown.size = size;
    int64_t place = shown.left_out ? shown.left_out->place_of(shown.offset) : shown.offset;
    std::vector<char> buffer(1 << 16);
    for (;;) {
      ssize_t got = pread(file->get(), buffer.data(), buffer.size(), place);
      if (got <= 0) return {};
      if (headed_ && last_ != log.file)
        TRY(print(fmt::format("{}==> {}{} <==\n", last_.empty() ? "" : "\n", log.step,
                              log.of_run.empty() ? "" : ", reused from run " + log.of_run)));
      if (!headed_ && last_.empty() && !log.of_run.empty())
        fmt::print(stderr, "step {} was reused; this was printed in run {}\n", log.step, log.of_run);
      last_ = log.file;
      TRY(print({buffer.data(), static_cast<size_t>(got)}));
      place += got;
      shown.offset = shown.left_out ? shown.left_out->offset_of(place) : place;
      shown.size = std::max<off_t>(shown.size, place);
    }
  }

  const Context& context_;
  const LogsOptions& options_;
  tracking::Store& store_;
  engine::Options engine_;
  struct Shown {
    int64_t offset = 0;  // of all that was printed, so much has been shown
    off_t size = 0;      // of the file
    std::optional<LeftOut> left_out;
  };
  std::map<fs::path, Shown> shown_;
  fs::path last_;
  bool headed_ = false;  // by the name of the step
};

Result<int> show_logs(const Context& context, const LogsOptions& options) {
  auto store = TRY(context.open_store());
  LogsOptions which = options;
  which.run_id = TRY(full_run_id(store, options.run_id));
  return Logs(context, which, store, TRY(context.engine_options())).show();
}

}  // namespace

void add_logs(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("logs", "What the steps of a run have printed");
  auto options = std::make_shared<LogsOptions>();
  command->add_option("RUN", options->run_id, "The id of a pipeline's run, or of an attempt of a step")
      ->required();
  command->add_option("STEP", options->step, "Only of this step: its latest attempt");
  command->add_flag("-f,--follow", options->follow, "Go on until the run ends");
  add_common_options(*command, context);
  command->footer(
      "With --json, where the logs lie.\n"
      "Examples:\n"
      "  tidemill logs 0d9f2f5a7c5f4d1c9f5a8e7b6c5d4e3f train\n"
      "  tidemill logs -f 0d9f2f5a7c5f4d1c9f5a8e7b6c5d4e3f");
  command->callback(
      [&context, options] { context.action = [&context, options] { return show_logs(context, *options); }; });
}

}  // namespace tidemill::cli
