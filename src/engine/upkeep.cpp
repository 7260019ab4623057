#include "engine/upkeep.h"

#include <fcntl.h>
#include <sys/file.h>

#include <algorithm>
#include <set>

#include "artifacts/folder_repository.h"
#include "base/time.h"
#include "engine/file_tree.h"
#include "sys/signals.h"

namespace tidemill::engine {
namespace {

using tracking::KeptResult;

std::optional<fs::path> folder_of(const KeptResult& result, const Options& options) {
  return artifacts::local_folder(result.artifact_uri, options.artifact_root);
}

// An artifact location was chosen by a client and could be any folder: only one that is named after the run
// and lies where this program keeps runs is ours to remove.
std::optional<fs::path> own_folder_of(const KeptResult& result, const Options& options) {
  auto folder = folder_of(result, options);
  if (!folder) return std::nullopt;
  const fs::path path = folder->lexically_normal();
  bool names_it = std::find(path.begin(), path.end(), fs::path(result.run_id)) != path.end();
  bool is_inside = !options.artifact_root.empty() && artifacts::lies_in(path, options.artifact_root);
  return names_it && is_inside ? std::optional(path) : std::nullopt;
}

Result<std::vector<std::string>> problems_of(const KeptResult& result, tracking::Store& store,
                                             const fs::path& folder) {
  FileTree now = TRY(FileHashes().tree(folder));  // knows nothing: every byte is read
  std::vector<std::string> problems;
  for (const auto& [path, what] : differences(TRY(store.artifacts(result.run_id)), now.files))
    problems.push_back(fmt::format("{}: {}", path, to_string(what)));
  if (problems.empty() && now.digest != result.outputs)
    problems.emplace_back("a file is executable, or no longer so");
  return problems;
}

}  // namespace

Result<ResultsLock> ResultsLock::take(const fs::path& state_dir, Mode mode) {
  if (state_dir.empty()) return ResultsLock(Fd());
  TRY(make_dirs(state_dir));
  Fd file = TRY(open_file(state_dir / "results.lock", O_RDWR | O_CREAT));
  while (flock(file.get(), mode == Mode::kUse ? LOCK_SH : LOCK_EX) != 0)
    if (errno != EINTR) return tl::unexpected<Error>(errno_error("lock results.lock", errno));
  return ResultsLock(std::move(file));
}

// A child that was forked meanwhile may have the descriptor open.
ResultsLock::~ResultsLock() {
  if (file_) flock(file_.get(), LOCK_UN);
}

Result<std::vector<Damage>> verify_results(tracking::Store& store, const Options& options,
                                           const std::function<void(uint64_t bytes)>& on_result) {
  std::vector<Damage> damaged;
  for (auto& result : TRY(tracking::kept_results(store))) {
    if (interrupted()) return fail(Code::kCancelled, "interrupted");
    auto folder = folder_of(result, options);
    if (!folder) continue;
    auto problems = TRY(problems_of(result, store, *folder));
    on_result(result.bytes);
    if (problems.empty()) continue;
    TRY(tracking::forget_damaged(store, result));
    damaged.push_back({std::move(result), std::move(problems)});
  }
  return damaged;
}

Result<Collected> collect_results(tracking::Store& store, const Options& options, const Limits& limits,
                                  DryRun dry_run) {
  Collected collected;
  auto all = TRY(tracking::kept_results(store));
  for (const auto& result : all) collected.left_bytes += result.bytes;
  std::vector<KeptResult> unwanted;
  uint64_t left = collected.left_bytes;
  const int64_t now = now_ms();
  for (const auto& result : all) {
    const bool too_much = limits.bytes && left > *limits.bytes;
    const bool too_old = limits.unused_ms && now - result.last_used >= *limits.unused_ms;
    if ((!too_much && !too_old) || !result.needed_by.empty() || !own_folder_of(result, options)) continue;
    left -= std::min(left, result.bytes);
    unwanted.push_back(result);
  }
  if (dry_run == DryRun::kNo && !unwanted.empty()) {
    auto lock = TRY(ResultsLock::take(options.state_dir, ResultsLock::Mode::kTakeAway));
    unwanted = TRY(tracking::forget_unneeded(store, unwanted));
  }
  for (const auto& result : unwanted) {
    if (dry_run == DryRun::kNo) TRY(tidemill::remove_all(*own_folder_of(result, options)));
    collected.removed_bytes += result.bytes;
  }
  collected.left_bytes -= std::min(collected.left_bytes, collected.removed_bytes);
  collected.removed = std::move(unwanted);
  return collected;
}

}  // namespace tidemill::engine
