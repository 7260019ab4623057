// Any text as a filter, an order, a column and a page token: read or refused; what reads also runs as SQL.
#include <cstdlib>
#include <string>

#include "base/files.h"
#include "tracking/run_window.h"
#include "tracking/store.h"

using namespace tidemill;
using namespace tidemill::tracking;

static Store& store() {
  static TempDir folder = TempDir::create().value();
  static Store opened = [] {
    Store made = Store::open({.uri = folder.path() / "fuzz.db", .default_artifact_root = ""}).value();
    std::string id = made.create_run({}).value().info.id;
    if (!made.log_batch(id, {.metrics = {{"m", 1, 1, 1}}, .params = {{"p", "1"}}, .tags = {{"t", "1"}}}))
      std::abort();
    return made;
  }();
  return opened;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string text(reinterpret_cast<const char*>(data), size);
  size_t line = text.find('\n');
  std::string order = line == std::string::npos ? "" : text.substr(line + 1);
  text.resize(std::min(line, text.size()));
  SearchRuns runs;
  runs.experiment_ids = {"0"};
  runs.filter = text;
  if (!order.empty()) runs.order_by = {order};
  SearchExperiments experiments;
  experiments.filter = text;
  experiments.order_by = runs.order_by;
  auto found = store().search_runs(runs);
  // Whatever the text says, it is the text's fault and not the database's.
  if (!found && found.error().code != Code::kInvalid) std::abort();
  auto also = store().search_experiments(experiments);
  if (!also && also.error().code != Code::kInvalid) std::abort();
  runs.filter.clear();
  WindowQuery window{.runs = runs, .columns = {text}};
  window.runs.order_by.clear();
  auto columns = run_window(store(), window);
  if (!columns && columns.error().code != Code::kInvalid) std::abort();
  runs.page_token = text;
  (void)store().search_runs(runs);
  return 0;
}
