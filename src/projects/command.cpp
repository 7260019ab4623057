#include "projects/command.h"

#include "base/text.h"
#include "sys/signals.h"

namespace tidemill::projects {
namespace {

std::string last_lines(const fs::path& log) {
  constexpr size_t kLines = 12;
  std::vector<std::string> lines = split(trim(read_file(log, 64 << 20).value_or("")), '\n');
  if (lines.size() > kLines) lines.erase(lines.begin(), lines.end() - kLines);
  return join(lines, "\n");
}

}  // namespace

Result<> run_long(const LongCommand& command) {
  constexpr std::chrono::milliseconds kTick{100};
  constexpr std::chrono::seconds kGrace{2};
  Process process = TRY(Process::start({.argv = command.argv,
                                        .working_dir = command.folder,
                                        .extra_env = command.variables,
                                        .output_file = command.log}));
  std::optional<Exit> exit;
  while (!(exit = process.wait_for(kTick)))
    if (interrupted()) {
      process.stop(kGrace);
      return fail(Code::kCancelled, "interrupted");
    }
  if (exit->ok()) return {};
  return fail(Code::kUnavailable, "{}: {}; its output is in {}:\n{}", join(command.argv, " "),
              exit->describe(), command.log.string(), last_lines(command.log));
}

}  // namespace tidemill::projects
