// tidemill resume: goes on with a run. tidemill cancel: ends one, whoever runs it.
#include <algorithm>

#include "cli/commands.h"
#include "cli/run_id.h"
#include "cli/run_options.h"
#include "engine/cancel.h"

#include <CLI/CLI.hpp>

namespace tidemill::cli {
namespace {

struct ResumeOptions {
  std::string run_id;
  std::vector<std::string> params;
  int max_parallel = 0;
  bool plain = false, as_recorded = false;
  pipeline::Continuation continuation;
  AfterFailureFlags after_failure;
};

// The parameters that were given then, with those that are given now in their place.
Result<std::vector<std::string>> merged(const std::vector<std::string>& before,
                                        const std::vector<std::string>& now) {
  auto given = TRY(read_params(now));
  std::vector<std::string> all = now;
  for (const auto& [name, value] : TRY(read_params(before))) {
    auto same = [&, &name = name](const auto& argument) { return argument.first == name; };
    if (std::none_of(given.begin(), given.end(), same)) all.push_back(name + "=" + value);
  }
  return all;
}

Result<int> resume(const Context& context, const ResumeOptions& options) {
  Request request;
  std::string run_id;
  {
    auto store = TRY(context.open_store());
    run_id = TRY(full_run_id(store, options.run_id));
    auto text = TRY(store.run_request(run_id));
    if (!text)
      return fail(Code::kInvalid,
                  "run {} cannot be resumed: it is no pipeline's run, or from before this was kept", run_id);
    TRY(engine::check_resumable(store, run_id));
    request = TRY(parse_request(*text));
  }
  request.options.params = TRY(merged(request.options.params, options.params));
  request.options.plain = options.plain;
  request.options.continuation = options.continuation;
  request.options.as_recorded = options.as_recorded;
  if (options.after_failure.policy()) request.options.after_failure = options.after_failure;
  if (options.max_parallel > 0) request.options.max_parallel = options.max_parallel;
  return run(context, request.options, EarlierRun{run_id, request.port});
}

Result<int> cancel(const Context& context, const std::string& run_id) {
  auto store = TRY(context.open_store());
  auto ended = TRY(engine::cancel(store, TRY(full_run_id(store, run_id)), TRY(context.engine_options())));
  fmt::print(stderr, "{}\n", ended);
  return 0;
}

}  // namespace

void add_resume(CLI::App& app, Context& context) {
  CLI::App* command =
      app.add_subcommand("resume", "Go on with a pipeline's run that has failed or was ended");
  auto options = std::make_shared<ResumeOptions>();
  command->add_option("RUN", options->run_id, "The run's id")->required();
  command->add_option("-P,--param-list", options->params, "Another value than before, NAME=VALUE; repeatable")
      ->allow_extra_args(false);
  CLI::Option* from =
      command->add_option("--from", options->continuation.from,
                          "This step and all that come after it run anew, also when they are done");
  CLI::Option* skip =
      command
          ->add_option("--skip", options->continuation.skip,
                       "This step does not run; what others need of it is its latest result; repeatable")
          ->allow_extra_args(false);
  command
      ->add_option("--only", options->continuation.only,
                   "This step runs anew, and no other; what it needs is taken as it is")
      ->excludes(from)
      ->excludes(skip);
  command->add_flag("--as-recorded", options->as_recorded,
                    "What is done stands, even if code, parameters or inputs have changed since");
  command->add_option("--max-parallel", options->max_parallel, "Steps at a time")->check(CLI::Range(1, 1024));
  add_after_failure(*command, options->after_failure);
  command->add_flag("--plain", options->plain, "Plain lines, also on a terminal");
  add_common_options(*command, context);
  command->footer(
      "What is done and has not changed since is kept, what still runs is taken over, the rest runs.\n"
      "Examples:\n"
      "  tidemill resume 0d9f2f5a7c5f4d1c9f5a8e7b6c5d4e3f\n"
      "  tidemill resume 0d9f2f5a7c5f4d1c9f5a8e7b6c5d4e3f -P epochs=3\n"
      "  tidemill resume 0d9f2f5a --from train         train and what comes after it anew, from no "
      "checkpoint\n"
      "  tidemill resume 0d9f2f5a --only report        nothing else\n"
      "  tidemill resume 0d9f2f5a --skip notify");
  command->callback(
      [&context, options] { context.action = [&context, options] { return resume(context, *options); }; });
}

void add_cancel(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("cancel", "End a pipeline's run, also one whose runner was killed");
  auto run_id = std::make_shared<std::string>();
  command->add_option("RUN", *run_id, "The run's id")->required();
  add_common_options(*command, context);
  command->footer("Example: tidemill cancel 0d9f2f5a7c5f4d1c9f5a8e7b6c5d4e3f");
  command->callback(
      [&context, run_id] { context.action = [&context, run_id] { return cancel(context, *run_id); }; });
}

}  // namespace tidemill::cli
