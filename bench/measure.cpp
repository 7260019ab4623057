#include "measure.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>

#include "base/files.h"
#include "base/text.h"
#include "base/time.h"

namespace tidemill::bench {

void give_up(std::string_view what) {
  fmt::print(stderr, "{}: {}\n", program_invocation_short_name, what);
  std::exit(1);
}

Times timed(const std::vector<std::string>& argv, const fs::path& log,
            const std::map<std::string, std::string>& env) {
  constexpr std::chrono::minutes kPatience{10};
  ProcessOptions options;
  options.argv = argv;
  options.extra_env = env;
  options.unset_env = {"MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "SOURCE_DATE_EPOCH"};
  options.output_file = log;
  must(tidemill::remove_all(log));
  Stopwatch watch;
  Process process = must(Process::start(options));
  auto exit = process.wait_for(kPatience);
  const double seconds = watch.seconds();
  if (!exit || !exit->ok())
    give_up(fmt::format("{}: {}", join(argv, " "), read_file(log).value_or("it did not end")));
  return {seconds, exit->user_seconds + exit->system_seconds};
}

}  // namespace tidemill::bench
