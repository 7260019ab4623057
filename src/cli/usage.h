// What is said about a command line that cannot be understood.
#pragma once

namespace CLI {
class App;
class Error;
}  // namespace CLI

namespace tidemill::cli {

// Prints help or the version when asked for them (status 0), else the mistake, the nearest command or option,
// and how to get help (status 2).
int report_usage(const CLI::App& app, const CLI::Error& error, int argc, char** argv);

}  // namespace tidemill::cli
