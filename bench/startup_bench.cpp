// How long a user waits for `tidemill --version` and `tidemill runs list`, beside `mlflow --version`, in
// turns.
#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "arguments.h"
#include "base/files.h"
#include "base/time.h"
#include "sys/process.h"
#include "tracking/store.h"

namespace tidemill::bench {
namespace {

using Command = std::vector<std::string>;

double run_once(const Command& argv) {
  Stopwatch watch;
  auto done = run_command(argv, std::chrono::seconds(120));
  if (!done || !done->exit.ok()) {
    fmt::print(stderr, "{} failed: {}\n", argv[0], done ? done->errors : done.error().message);
    std::exit(1);
  }
  return watch.seconds() * 1e3;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// A store as a user has it after a while: 1 000 runs with ten metrics, parameters and tags each.
Result<> fill_store(const fs::path& file) {
  tracking::Store store = TRY(tracking::Store::open({.uri = file, .default_artifact_root = "/nowhere"}));
  for (int i = 0; i < 1000; ++i) {
    auto run = TRY(store.create_run({}));
    tracking::Batch batch;
    for (int k = 0; k < 10; ++k) {
      batch.metrics.push_back({fmt::format("metric{}", k), i * 0.5, 1, k});
      batch.params.emplace_back(fmt::format("param{}", k), "value");
      batch.tags.emplace_back(fmt::format("tag{}", k), "value");
    }
    TRY(store.log_batch(run.info.id, batch));
  }
  return {};
}

int compare(const std::string& tidemill, const std::string& mlflow) {
  TempDir dir = TempDir::create().value();
  std::string store = (dir.path() / "tidemill.db").string();
  if (auto filled = fill_store(store); !filled) {
    fmt::print(stderr, "{}\n", filled.error().message);
    return 1;
  }
  const Command version = {tidemill, "--version"}, list = {tidemill, "runs", "list", "--store", store};
  std::vector<double> version_ms, list_ms, rival_ms;
  const bool has_rival = fs::exists(mlflow);
  for (int round = 0; round < 5; ++round) {
    for (int i = 0; i < 11; ++i) {
      version_ms.push_back(run_once(version));
      list_ms.push_back(run_once(list));
    }
    if (has_rival) rival_ms.push_back(run_once({mlflow, "--version"}));
  }
  fmt::print("tidemill --version      {:8.1f} ms (median of {})\n", median(version_ms), version_ms.size());
  fmt::print("tidemill runs list      {:8.1f} ms (median of {}, store of 1000 runs)\n", median(list_ms),
             list_ms.size());
  if (has_rival) {
    fmt::print("mlflow --version        {:8.1f} ms (median of {})\n", median(rival_ms), rival_ms.size());
    fmt::print("ratio                   {:8.0f} x\n", median(rival_ms) / median(version_ms));
  } else {
    fmt::print("mlflow --version        not measured: there is no {} (scripts/python-tools installs it)\n",
               mlflow);
  }
  return 0;
}

}  // namespace
}  // namespace tidemill::bench

int main(int argc, char** argv) {
  const char* home = std::getenv("HOME");
  std::string tidemill = TIDEMILL;
  std::string mlflow = std::string(home ? home : "") + "/.cache/tidemill/venv/bin/mlflow";
  tidemill::bench::read_arguments(
      argc, argv,
      {.measures = "How long a user waits for `tidemill --version` and `tidemill runs list`, beside\n"
                   "`mlflow --version`.",
       .arguments = {{"TIDEMILL", &tidemill, "The program"},
                     {"MLFLOW", &mlflow, "The rival, left out if it is not there"}},
       .examples = {"startup_bench", "startup_bench ~/bin/tidemill /usr/bin/mlflow"}});
  return tidemill::bench::compare(tidemill, mlflow);
}
