// tidemill: training pipelines for machine learning. Reads the command line and calls one command.
#include <unistd.h>

#include "base/log.h"
#include "cli/commands.h"
#include "cli/usage.h"
#include "sys/signals.h"

#include <CLI/CLI.hpp>

namespace tidemill::cli {
namespace {

constexpr std::string_view kExamples = R"(Examples:
  tidemill init churn                           a new project to start from
  tidemill run examples/cifar10 -P epochs=2     run a pipeline
  tidemill check examples/cifar10               whether it is right, without running it
  tidemill graph examples/cifar10               its steps as a drawing
  tidemill resume RUN                           go on with one that failed or was ended
  tidemill logs -f RUN                          what its steps print
  tidemill why train                            why that step ran, or did not
  tidemill runs list                            what has run
  tidemill runs show RUN                        parameters, metrics and tags of one run
  tidemill runs diff RUN RUN                    what differs between two of them
  tidemill server                               MLflow's REST interface on http://127.0.0.1:5000
  tidemill serve --model_path model.onnx        answer predictions over HTTP and gRPC
Help on one command: tidemill COMMAND --help
)";

int report(const Error& error) {
  fmt::print(stderr, "tidemill: {}\n", error.message);
  return exit_code(error.code);
}

// Everybody on this machine can read our command line.
void hide_secrets(int argc, char** argv) {
  for (int i = 1; i < argc; ++i)
    for (db::Secret secret : db::secrets_of(argv[i])) std::fill_n(argv[i] + secret.begin, secret.length, '*');
}

int run_program(int argc, char** argv) {
  Context context;
  // Read here and not by CLI11, which would let the variable win over --store: every command has that option.
  for (const char* name : {"MLFLOW_BACKEND_STORE_URI", "TIDEMILL_STORE"}) {
    const char* uri = std::getenv(name);
    if (!uri || !*uri) continue;
    context.store = uri;
    context.store_is_named = true;
  }
  std::error_code ignored;
  context.program = fs::read_symlink("/proc/self/exe", ignored);
  CLI::App app{"Training pipelines for machine learning, in one program that speaks MLflow.", "tidemill"};
  app.set_version_flag("--version,-V", "tidemill " TIDEMILL_VERSION, "Print the version and exit");
  app.footer(std::string(kExamples));
  app.require_subcommand(1);
  app.get_formatter()->column_width(32);
  add_run(app, context);
  add_init(app, context);
  add_check(app, context);
  add_graph(app, context);
  add_resume(app, context);
  add_cancel(app, context);
  add_status(app, context);
  add_ps(app, context);
  add_logs(app, context);
  add_why(app, context);
  add_tune(app, context);
  add_reproduce(app, context);
  add_runs(app, context);
  add_experiments(app, context);
  add_artifacts(app, context);
  add_models(app, context);
  add_import(app, context);
  add_export(app, context);
  add_db(app, context);
  add_doctor(app, context);
  add_cache(app, context);
  add_gc(app, context);
  add_users(app, context);
  add_server(app, context);
  add_serve(app, context);
  add_image(app, context);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return report_usage(app, error, argc, argv);
  }
  hide_secrets(argc, argv);
  catch_interrupts();
  Result<int> status = context.action();
  return status ? *status : report(status.error());
}

}  // namespace
}  // namespace tidemill::cli

int main(int argc, char** argv) {
  try {
    return tidemill::cli::run_program(argc, argv);
  } catch (const std::exception& error) {
    tidemill::log_error("a bug in tidemill: {}", error.what());
    return 1;
  }
}
