#include "cli/usage.h"

#include "base/text.h"

#include <CLI/CLI.hpp>

namespace tidemill::cli {
namespace {

// The command that the words name, as far as they name one.
const CLI::App* deepest(const CLI::App* app) {
  while (!app->get_subcommands().empty()) app = app->get_subcommands().back();
  return app;
}

std::vector<std::string> command_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; }))
    names.push_back(command->get_name());
  return names;
}

std::vector<std::string> option_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options())
    for (const auto& name : option->get_lnames()) names.push_back("--" + name);
  return names;
}

std::string full_name(const CLI::App* app) {
  std::string name = app->get_name();
  for (app = app->get_parent(); app != nullptr; app = app->get_parent()) name = app->get_name() + " " + name;
  return name;
}

// The first word that is neither an option nor a command on the way to `app`.
std::string stray_word(const CLI::App& app, int argc, char** argv) {
  std::vector<std::string> path = split(full_name(&app), ' ');
  size_t known = 1;
  for (int i = 1; i < argc; ++i) {
    std::string word = argv[i];
    if (word.starts_with("-")) continue;
    if (known < path.size() && word == path[known]) {
      ++known;
    } else {
      return word;
    }
  }
  return "";
}

std::string describe(const CLI::App& command, const CLI::Error& error, int argc, char** argv) {
  const std::vector<std::string> commands = command_names(command);
  if (!commands.empty()) {
    std::string word = stray_word(command, argc, argv);
    if (word.empty()) return fmt::format("a command is missing: one of {}", join(commands, ", "));
    return fmt::format("there is no command '{}'{}", word, did_you_mean(word, commands));
  }
  if (dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr) {
    for (const std::string& word : command.remaining(true))
      if (word.starts_with("-")) {
        std::string name = word.substr(0, word.find('='));
        return fmt::format("there is no option '{}'{}", name, did_you_mean(name, option_names(command)));
      }
    if (command.remaining(true).empty() && argc > 1)
      return fmt::format("options stand behind the command: {} does not go first", argv[1]);
    return fmt::format("'{}' is one argument too many", join(command.remaining(true), " "));
  }
  return error.what();
}

}  // namespace

int report_usage(const CLI::App& app, const CLI::Error& error, int argc, char** argv) {
  if (error.get_exit_code() == 0) return app.exit(error);
  const CLI::App* command = deepest(&app);
  fmt::print(stderr, "{}: {}\nSee: {} --help\n", app.get_name(), describe(*command, error, argc, argv),
             full_name(command));
  return 2;
}

}  // namespace tidemill::cli
