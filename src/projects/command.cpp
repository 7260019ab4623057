#include "projects/command.h"

#include "base/log.h"
#include "base/text.h"
#include "base/time.h"
#include "sys/signals.h"

namespace tidemill::projects {
namespace {

// Of what stands behind `from`: what earlier commands have said is before it.
std::string last_lines(const fs::path& log, uint64_t from, size_t most) {
  const std::string text = read_file(log, 64 << 20).value_or("");
  std::vector<std::string> lines =
      split(trim(std::string_view(text).substr(std::min(from, text.size()))), '\n');
  if (lines.size() > most) lines.erase(lines.begin(), lines.end() - static_cast<ptrdiff_t>(most));
  return join(lines, "\n");
}

void tell_progress(const LongCommand& command, uint64_t from, double seconds) {
  constexpr size_t kMostBytes = 160;
  std::string line = last_lines(command.log, from, 1);
  std::erase_if(line, [](unsigned char c) { return c < ' ' || c == 0x7f; });
  log_info("{}: {} so far; {}", fs::path(command.argv[0]).filename().string(), human_duration(seconds),
           line.substr(0, kMostBytes));
}

}  // namespace

Result<> run_long(const LongCommand& command) {
  constexpr std::chrono::milliseconds kTick{100};
  constexpr std::chrono::seconds kGrace{2};
  std::error_code none;
  const uint64_t from = fs::exists(command.log, none) ? fs::file_size(command.log, none) : 0;
  Process process = TRY(Process::start({.argv = command.argv,
                                        .working_dir = command.folder,
                                        .extra_env = command.variables,
                                        .output_file = command.log}));
  std::optional<Exit> exit;
  const Stopwatch watch;
  Stopwatch since_told;
  while (!(exit = process.wait_for(kTick))) {
    if (interrupted()) {
      process.stop(kGrace);
      return fail(Code::kCancelled, "interrupted");
    }
    if (since_told.seconds() * 1000 < static_cast<double>(command.tell_every.count())) continue;
    tell_progress(command, from, watch.seconds());
    since_told.restart();
  }
  if (exit->ok()) return {};
  return fail(Code::kUnavailable, "{}: {}; its output is in {}:\n{}", join(command.argv, " "),
              exit->describe(), command.log.string(), last_lines(command.log, from, 12));
}

}  // namespace tidemill::projects
