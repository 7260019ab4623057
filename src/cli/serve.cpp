#include <unistd.h>

#include <CLI/CLI.hpp>

#include "cli/commands.h"

namespace tidemill::cli {
namespace {

// The model server is a program of its own, so that this one starts without gRPC and ONNX Runtime.
Result<int> serve(const Context& context, std::vector<std::string> arguments) {
  const fs::path here = context.program.parent_path();
  for (const fs::path& folder :
       {here, here.parent_path() / "libexec", here.parent_path() / "libexec/tidemill"}) {
    fs::path program = folder / "tidemill-serve";
    if (access(program.c_str(), X_OK) != 0) continue;
    std::string name = program.string();
    std::vector<char*> argv{name.data()};
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    execv(program.c_str(), argv.data());
    return tl::unexpected<Error>(errno_error(fmt::format("start {}", program.string()), errno));
  }
  return fail(Code::kNotFound,
              "the model server tidemill-serve is not beside {}; build the target tidemill-serve",
              context.program.string());
}

}  // namespace

void add_serve(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("serve", "Answer predictions of an ONNX model over HTTP and gRPC");
  // All options belong to the server, --help too.
  command->set_help_flag("");
  command->prefix_command();
  command->callback([&context, command] {
    context.action = [&context, arguments = command->remaining()] { return serve(context, arguments); };
  });
}

}  // namespace tidemill::cli
