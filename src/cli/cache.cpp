// tidemill cache: the results of steps that are kept for later runs.
#include <unistd.h>

#include "base/json.h"
#include "base/log.h"
#include "base/text.h"
#include "base/time.h"
#include "cli/commands.h"
#include "config/resources.h"
#include "engine/upkeep.h"
#include "sys/terminal.h"

#include <CLI/CLI.hpp>

namespace tidemill::cli {
namespace {

using tracking::KeptResult;

constexpr size_t kShownDigits = 12;

Json to_json(const KeptResult& result) {
  return {{"key", result.key},
          {"step", result.step},
          {"run_id", result.run_id},
          {"bytes", result.bytes},
          {"files", result.files},
          {"last_used", result.last_used},
          {"needed_by", result.needed_by},
          {"artifact_uri", result.artifact_uri}};
}

Json to_json(const std::vector<KeptResult>& results) {
  Json list = Json::array();
  for (const auto& result : results) list.push_back(to_json(result));
  return list;
}

uint64_t bytes_of(const std::vector<KeptResult>& results) {
  uint64_t sum = 0;
  for (const auto& result : results) sum += result.bytes;
  return sum;
}

std::string counted(size_t count) {
  return fmt::format("{} {}", human_count(count), count == 1 ? "result" : "results");
}

Result<int> list_results(const Context& context) {
  auto store = TRY(context.open_store());
  auto results = TRY(tracking::kept_results(store));
  if (context.json) {
    TRY(print(dump_json({{"results", to_json(results)}}, 2) + "\n"));
    return 0;
  }
  Table table({"KEY", "STEP", "RUN", "SIZE", "FILES", "LAST USED", "NEEDED BY"});
  for (const auto& result : results)
    table.add({result.key.substr(0, kShownDigits), result.step, result.run_id, human_bytes(result.bytes),
               human_count(result.files), format_local(result.last_used), result.needed_by});
  TRY(print(table.to_string()));
  if (results.empty()) fmt::print(stderr, "no results are kept\n");
  return 0;
}

Result<int> show_size(const Context& context) {
  auto store = TRY(context.open_store());
  auto results = TRY(tracking::kept_results(store));
  std::vector<KeptResult> needed;
  for (const auto& result : results)
    if (!result.needed_by.empty()) needed.push_back(result);
  if (context.json) {
    TRY(print(dump_json({{"results", results.size()},
                         {"bytes", bytes_of(results)},
                         {"needed_results", needed.size()},
                         {"needed_bytes", bytes_of(needed)}},
                        2) +
              "\n"));
    return 0;
  }
  TRY(print(fmt::format("{}, {}; of these needed: {}, {}\n", counted(results.size()),
                        human_bytes(bytes_of(results)), counted(needed.size()),
                        human_bytes(bytes_of(needed)))));
  return 0;
}

Result<int> verify(const Context& context) {
  auto store = TRY(context.open_store());
  const uint64_t total = bytes_of(TRY(tracking::kept_results(store)));
  std::optional<Progress> progress;
  if (is_terminal(STDERR_FILENO)) progress.emplace("verify", total, "bytes");
  auto damaged = TRY(engine::verify_results(store, TRY(context.engine_options()), [&](uint64_t bytes) {
    if (progress) progress->advance(bytes);
  }));
  progress.reset();
  if (context.json) {
    Json list = Json::array();
    for (const auto& damage : damaged) {
      Json entry = to_json(damage.result);
      entry["problems"] = damage.files;
      list.push_back(std::move(entry));
    }
    TRY(print(dump_json({{"damaged", list}}, 2) + "\n"));
  } else {
    for (const auto& damage : damaged) {
      TRY(print(fmt::format("step '{}', run {}: forgotten, and made again when it is needed\n",
                            damage.result.step, damage.result.run_id)));
      for (const auto& file : damage.files) TRY(print(fmt::format("  {}\n", file)));
    }
    if (damaged.empty()) fmt::print(stderr, "all is as it was made: {}\n", human_bytes(total));
  }
  return damaged.empty() ? 0 : 1;
}

struct Wanted {
  std::string keep, older_than;
  bool dry_run = false;
};

Result<int> collect(const Context& context, const Wanted& wanted) {
  engine::Limits limits;
  if (!wanted.keep.empty()) limits.bytes = TRY_IN("--keep", config::parse_size(wanted.keep));
  if (!wanted.older_than.empty()) limits.unused_ms = TRY(parse_age("--older-than", wanted.older_than));
  if (!limits.bytes && !limits.unused_ms)
    return fail(Code::kInvalid, "say what may stay: --keep SIZE, --older-than AGE, or both");
  auto store = TRY(context.open_store());
  auto collected = TRY(engine::collect_results(store, TRY(context.engine_options()), limits,
                                               wanted.dry_run ? engine::DryRun::kYes : engine::DryRun::kNo));
  if (context.json) {
    TRY(print(dump_json({{"removed", to_json(collected.removed)},
                         {"removed_bytes", collected.removed_bytes},
                         {"left_bytes", collected.left_bytes},
                         {"dry_run", wanted.dry_run}},
                        2) +
              "\n"));
    return 0;
  }
  for (const auto& result : collected.removed)
    TRY(print(fmt::format("{}  {}  {}  {}\n", result.run_id, result.step, human_bytes(result.bytes),
                          wanted.dry_run ? "would be removed" : "removed")));
  fmt::print(stderr, "{} {}, {}; {} left\n", counted(collected.removed.size()),
             wanted.dry_run ? "would be removed" : "removed", human_bytes(collected.removed_bytes),
             human_bytes(collected.left_bytes));
  if (limits.bytes && collected.left_bytes > *limits.bytes)
    fmt::print(stderr, "what is left is needed: `tidemill cache list` tells by whom\n");
  return 0;
}

}  // namespace

Result<> keep_quota(const Context& context, tracking::Store& store, const std::string& quota) {
  if (quota.empty()) return {};
  const engine::Limits limits{.bytes = TRY_IN("--cache-quota", config::parse_size(quota)), .unused_ms = {}};
  auto collected =
      TRY(engine::collect_results(store, TRY(context.engine_options()), limits, engine::DryRun::kNo));
  if (!collected.removed.empty())
    fmt::print(stderr, "cache: {} removed, {}, as the quota is {}\n", counted(collected.removed.size()),
               human_bytes(collected.removed_bytes), human_bytes(*limits.bytes));
  if (collected.left_bytes > *limits.bytes)
    log_warning("the results that are needed take {}, and the quota of the cache is {}",
                human_bytes(collected.left_bytes), human_bytes(*limits.bytes));
  return {};
}

void add_cache(CLI::App& app, Context& context) {
  CLI::App* cache = app.add_subcommand("cache", "The results of steps that are kept for later runs");
  cache->require_subcommand(1);

  CLI::App* list = cache->add_subcommand("list", "Every result, the one that was of use longest ago first");
  add_common_options(*list, context);
  list->footer("Example: tidemill cache list --json");
  list->callback([&context] { context.action = [&context] { return list_results(context); }; });

  CLI::App* size = cache->add_subcommand("size", "How much they take");
  add_common_options(*size, context);
  size->footer("Example: tidemill cache size");
  size->callback([&context] { context.action = [&context] { return show_size(context); }; });

  CLI::App* check = cache->add_subcommand(
      "verify", "Read all of them, name damaged and missing files, and forget such results: exit status 1");
  add_common_options(*check, context);
  check->footer("Example: tidemill cache verify");
  check->callback([&context] { context.action = [&context] { return verify(context); }; });

  auto wanted = std::make_shared<Wanted>();
  CLI::App* gc = cache->add_subcommand("gc",
                                       "Remove results with their files, the one first that was of use "
                                       "longest ago; never those of a registered or "
                                       "logged model, of an active run, or of the latest run of a pipeline");
  gc->add_option(
      "--keep", wanted->keep,
      "Until the results take no more than this: 500M, 20GB, 4GiB; 0: none stay that nothing needs");
  gc->add_option("--older-than", wanted->older_than, "What was not of use for so long: 30d, 1d12h");
  gc->add_flag("-n,--dry-run", wanted->dry_run, "Only say what would be removed");
  add_common_options(*gc, context);
  gc->footer(
      "Examples:\n"
      "  tidemill cache gc --keep 20GB\n"
      "  tidemill cache gc --older-than 30d --dry-run");
  gc->callback(
      [&context, wanted] { context.action = [&context, wanted] { return collect(context, *wanted); }; });
}

}  // namespace tidemill::cli
