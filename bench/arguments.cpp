#include "arguments.h"

#include <cerrno>
#include <cstdlib>

#include "cli/usage.h"

#include <CLI/CLI.hpp>

namespace tidemill::bench {
namespace {

// "--store URI": the name, and what stands for its value.
std::pair<std::string, std::string> parts_of(const std::string& spelling) {
  const size_t space = spelling.find(' ');
  if (space == std::string::npos) return {spelling, ""};
  return {spelling.substr(0, space), spelling.substr(space + 1)};
}

CLI::Option* add(CLI::App& app, const std::string& name, bool& value) { return app.add_flag(name, value); }

CLI::Option* add(CLI::App& app, const std::string& name, std::vector<int>& value) {
  return app.add_option(name, value)->delimiter(',')->default_str(fmt::format("{}", fmt::join(value, ",")));
}

template <class T>
CLI::Option* add(CLI::App& app, const std::string& name, T& value) {
  return app.add_option(name, value)->capture_default_str();
}

void add(CLI::App& app, const Argument& argument) {
  const auto [name, placeholder] = parts_of(argument.spelling);
  CLI::Option* option = std::visit([&](auto* value) { return add(app, name, *value); }, argument.value);
  option->description(argument.help)->type_name(placeholder);
  if (!argument.choices.empty()) option->check(CLI::IsMember(argument.choices));
}

bool is_below(double, const std::string&) { return false; }

bool is_below(double least, const std::vector<int>& values) {
  return std::ranges::any_of(values, [&](int value) { return value < least; });
}

template <class T>
bool is_below(double least, T value) {
  return static_cast<double>(value) < least;
}

void check_least(const Argument& argument) {
  if (std::visit([&](auto* value) { return is_below(argument.least, *value); }, argument.value))
    throw CLI::ValidationError(parts_of(argument.spelling).first,
                               fmt::format("must be at least {}", argument.least));
}

}  // namespace

void read_arguments(int argc, char** argv, const CommandLine& expected) {
  CLI::App app{expected.measures, program_invocation_short_name};
  for (const Argument& argument : expected.arguments) add(app, argument);
  app.footer(fmt::format("Examples:\n  {}", fmt::join(expected.examples, "\n  ")));
  try {
    app.parse(argc, argv);
    std::ranges::for_each(expected.arguments, check_least);
  } catch (const CLI::ParseError& error) {
    std::exit(cli::report_usage(app, error, argc, argv));
  }
}

}  // namespace tidemill::bench
