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

struct Command {
  std::string_view name;
  void (*add)(CLI::App&, Context&);
  std::string_view alias = "";
};

constexpr Command kCommands[] = {
    {"run", add_run},
    {"init", add_init},
    {"check", add_check},
    {"graph", add_graph},
    {"resume", add_resume},
    {"cancel", add_cancel},
    {"status", add_status},
    {"ps", add_ps},
    {"logs", add_logs},
    {"why", add_why},
    {"tune", add_tune},
    {"reproduce", add_reproduce},
    {"runs", add_runs},
    {"experiments", add_experiments},
    {"artifacts", add_artifacts},
    {"models", add_models, "registry"},
    {"import", add_import},
    {"export", add_export},
    {"db", add_db},
    {"doctor", add_doctor},
    {"cache", add_cache},
    {"gc", add_gc},
    {"users", add_users},
    {"server", add_server, "ui"},
    {"serve", add_serve},
    {"image", add_image},
};

// One of each of a group's commands.
std::string examples_of(const CLI::App& group) {
  std::string out = "Examples:";
  for (const CLI::App* command : group.get_subcommands([](const CLI::App*) { return true; })) {
    const std::string footer = command->get_footer();
    const size_t begin = footer.find("tidemill " + group.get_name());
    if (begin != std::string::npos) out += "\n  " + footer.substr(begin, footer.find('\n', begin) - begin);
  }
  return out;
}

// The one command that is meant, where the first word names one: the others would cost a short command a
// tenth of its time.
void add_commands(CLI::App& app, Context& context, std::string_view word) {
  auto is_meant = [&](const Command& command) { return command.name == word || command.alias == word; };
  const bool is_known = std::ranges::any_of(kCommands, is_meant);
  for (const Command& command : kCommands)
    if (!is_known || is_meant(command)) command.add(app, context);
  for (CLI::App* group : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (group->get_subcommands([](const CLI::App*) { return true; }).empty()) continue;
    if (group->get_footer() == kExamples) group->footer("");
    group->footer([group] { return examples_of(*group); });
  }
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
  add_commands(app, context, argc > 1 ? argv[1] : "");
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
