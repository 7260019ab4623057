// What `tidemill run` takes beyond the work of its steps, beside ninja, which records nothing, in turns: one
// trivial step, each further one, thousands of independent ones, thousands with one changed or nothing; and
// how fast the files of a project are hashed. "Nothing changed" is what a whole `tidemill run` takes, its
// record durable in the store; the first such run is told apart, as it reads once more what was written just
// before the last one ended.
#include <fcntl.h>

#include <cstdio>
#include <cstdlib>

#include "arguments.h"
#include "base/files.h"
#include "base/time.h"
#include "engine/file_tree.h"
#include "measure.h"
#include "sys/process.h"

namespace tidemill::bench {
namespace {

constexpr int kRounds = 7;
constexpr int kFew = 100;

struct Measured {
  double seconds = 0;
  uint64_t resident = 0;
};

Measured run(const std::vector<std::string>& argv, const fs::path& log) {
  Stopwatch watch;
  Process process = must(Process::start({.argv = argv, .output_file = log}));
  Exit exit = process.wait();
  double seconds = watch.seconds();
  if (!exit.ok()) give_up(argv[0] + ": " + exit.describe() + "\n" + read_file(log).value_or(""));
  return {seconds, exit.max_resident_bytes};
}

// A pipeline of independent steps, each of which is `true`, and the same for ninja, whose step must leave a
// file to be done.
class Work {
 public:
  Work(const fs::path& parent, int steps) : folder_(parent / fmt::format("{}-steps", steps)), steps_(steps) {
    must(make_dirs(folder_ / "step"));
    put("step/MLproject",
        "entry_points:\n  main:\n    parameters: {n: string}\n    command: \"true # {n}\"\n");
    write(0);
  }

  // The first step has another parameter, or command.
  void change(int version) const { write(version); }

  enum class Again { kYes, kNo };  // with what the last run has left, or from scratch
  Measured tidemill(Again again) const {
    if (again == Again::kNo) must(tidemill::remove_all(folder_ / "store"));
    must(make_dirs(folder_ / "store"));
    return run({TIDEMILL, "run", folder_.string(), "--store", (folder_ / "store" / "t.db").string(),
                "--max-parallel", "2"},
               folder_ / "tidemill.log");
  }
  Measured ninja(Again again) const {
    if (again == Again::kNo) {
      must(tidemill::remove_all(folder_ / "out"));
      must(tidemill::remove_all(folder_ / ".ninja_log"));
    }
    return run({"ninja", "-C", folder_.string(), "-j2"}, folder_ / "ninja.log");
  }

 private:
  void write(int version) const {
    std::string yaml = "name: bench\nsteps:\n", ninja = "rule r\n  command = : $v > $out\n";
    for (int i = 0; i < steps_; ++i) {
      const int n = i > 0 ? i : -version;
      yaml += fmt::format("  s{}: {{project: step, params: {{n: {}}}}}\n", i, n);
      ninja += fmt::format("build out/{}: r\n  v = {}\n", i, n);
    }
    put("pipeline.yaml", yaml);
    put("build.ninja", ninja);
  }
  void put(const std::string& name, const std::string& text) const {
    must(write_file_atomic(folder_ / name, text, Durable::no));
  }
  fs::path folder_;
  int steps_;
};

void print_row(std::string_view what, std::string_view unit, double ours, double rival) {
  fmt::print("{:<44} {:9.2f} {:<4} ninja {:9.2f} {:<4} ratio {:5.2f}\n", what, ours, unit, rival, unit,
             ours / rival);
  std::fflush(stdout);
}

void measure_few(const fs::path& folder) {
  Work one(folder, 1), few(folder, kFew + 1);
  std::vector<double> one_ours, one_rival, few_ours, few_rival;
  for (int i = 0; i < kRounds; ++i) {
    one_ours.push_back(one.tidemill(Work::Again::kNo).seconds * 1e3);
    one_rival.push_back(one.ninja(Work::Again::kNo).seconds * 1e3);
    few_ours.push_back(few.tidemill(Work::Again::kNo).seconds * 1e3);
    few_rival.push_back(few.ninja(Work::Again::kNo).seconds * 1e3);
  }
  print_row("one trivial step, in a new store", "ms", median(one_ours), median(one_rival));
  print_row("each further one", "ms", (median(few_ours) - median(one_ours)) / kFew,
            (median(few_rival) - median(one_rival)) / kFew);
}

void measure_many(const fs::path& folder, int steps) {
  Work many(folder, steps);
  Measured ours = many.tidemill(Work::Again::kNo), rival = many.ninja(Work::Again::kNo);
  print_row(fmt::format("{} independent steps", steps), "s", ours.seconds, rival.seconds);
  print_row("  memory", "MiB", static_cast<double>(ours.resident) / (1 << 20),
            static_cast<double>(rival.resident) / (1 << 20));
  print_row(fmt::format("{} steps, nothing changed, the first time", steps), "ms",
            many.tidemill(Work::Again::kYes).seconds * 1e3, many.ninja(Work::Again::kYes).seconds * 1e3);
  std::vector<double> again, rival_again, changed, rival_changed;
  for (int i = 0; i < kRounds; ++i) {
    again.push_back(many.tidemill(Work::Again::kYes).seconds * 1e3);
    rival_again.push_back(many.ninja(Work::Again::kYes).seconds * 1e3);
  }
  print_row(fmt::format("{} steps, nothing changed", steps), "ms", median(again), median(rival_again));
  for (int i = 0; i < kRounds; ++i) {
    many.change(i + 1);
    changed.push_back(many.tidemill(Work::Again::kYes).seconds * 1e3);
    rival_changed.push_back(many.ninja(Work::Again::kYes).seconds * 1e3);
  }
  print_row(fmt::format("{} steps, one changed", steps), "ms", median(changed), median(rival_changed));
}

// First time and again, in seconds.
std::pair<double, double> hashed(const fs::path& folder, const fs::path& known) {
  // What was written within the last moments is read again, whatever is known of it.
  must(run_command({"sleep", "3"}, std::chrono::seconds(10)));
  engine::FileHashes hashes(known);
  std::vector<double> again;
  Stopwatch watch;
  must(hashes.tree(folder));
  double first = watch.seconds();
  for (int i = 0; i < kRounds; ++i) {
    watch.restart();
    must(engine::FileHashes(known).tree(folder));
    again.push_back(watch.seconds());
  }
  return {first, median(again)};
}

void measure_hashing(const fs::path& folder, int small_files, int large_megabytes) {
  const std::string bytes(2500, 'x');
  for (int i = 0; i < small_files; ++i) {
    fs::path file = folder / "small" / std::to_string(i / 1000) / fmt::format("{}.png", i);
    if (i % 1000 == 0) must(make_dirs(file.parent_path()));
    must(write_all(must(open_file(file, O_WRONLY | O_CREAT)), bytes + std::to_string(i)));
  }
  auto [first, again] = hashed(folder / "small", folder / "known-small");
  fmt::print("{} files of 2.5 kB: hashed first {:.2f} s, unchanged {:.3f} s\n", small_files, first, again);
  must(make_dirs(folder / "large"));
  const std::string megabyte(1 << 20, 'y');
  for (int f = 0; f < 2; ++f) {
    Fd file = must(open_file(folder / "large" / std::to_string(f), O_WRONLY | O_CREAT));
    for (int i = 0; i < large_megabytes / 2; ++i) must(write_all(file, megabyte));
  }
  std::tie(first, again) = hashed(folder / "large", folder / "known-large");
  fmt::print("{} MiB in two files: hashed first {:.2f} s ({:.2f} GB/s), unchanged {:.1f} ms\n",
             large_megabytes, first, static_cast<double>(large_megabytes) * (1 << 20) / 1e9 / first,
             again * 1e3);
}

}  // namespace
}  // namespace tidemill::bench

int main(int argc, char** argv) {
  using namespace tidemill::bench;
  int steps = 10'000, small_files = 60'000, large_megabytes = 2048;
  read_arguments(
      argc, argv,
      {.measures =
           "What `tidemill run` takes beyond the work of its steps, beside ninja, and how fast the files\n"
           "of a project are hashed.",
       .arguments = {{"STEPS", &steps, "Independent steps of the large pipeline; 0 leaves it out"},
                     {"SMALL_FILES", &small_files, "Files of 2.5 kB to hash; 0 leaves hashing out"},
                     {"LARGE_MEGABYTES", &large_megabytes, "Size of two large files together, in MiB"}},
       .examples = {"pipeline_bench", "pipeline_bench 1000 0"}});
  tidemill::TempDir folder = must(tidemill::TempDir::create());
  measure_few(folder.path());
  if (steps > 0) measure_many(folder.path(), steps);
  if (small_files > 0) measure_hashing(folder.path(), small_files, large_megabytes);
  return 0;
}
