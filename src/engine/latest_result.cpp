#include "engine/latest_result.h"

#include "artifacts/folder_repository.h"
#include "engine/record.h"

namespace tidemill::engine {
namespace {

Result<std::vector<std::string>> all_experiments(tracking::Store& store) {
  std::vector<std::string> ids;
  tracking::SearchExperiments search;
  do {
    auto page = TRY(store.search_experiments(search));
    for (const auto& experiment : page.items) ids.push_back(experiment.id);
    search.page_token = page.next_page_token;
  } while (!search.page_token.empty());
  return ids;
}

std::string quoted(const std::string& text) {
  std::string out;
  for (char c : text) out += c == '\'' ? "''" : std::string(1, c);
  return "'" + out + "'";
}

// When the run is one of the pipeline's and its files are whole.
std::optional<KnownResult> result_of(const tracking::Run& run, const std::string& pipeline,
                                     tracking::Store& store, const FileHashes& hashes,
                                     const Options& options) {
  auto whole = store.run(pipeline_run_of(run));
  auto folder = artifacts::local_folder(run.info.artifact_uri, options.artifact_root);
  if (!whole || whole->tag("tidemill.pipeline") != pipeline || !folder) return std::nullopt;
  const auto reused = run.tag("tidemill.reused_run");
  const std::string maker(reused.empty() ? std::string_view(run.info.id) : reused);
  auto files = whole_outputs(maker, *folder, store, hashes);
  if (!files) return std::nullopt;
  return KnownResult{maker, folder->string(), run.info.artifact_uri, std::move(files->digest)};
}

}  // namespace

Result<std::optional<KnownResult>> latest_result(const pipeline::Plan& plan, const std::string& step,
                                                 tracking::Store& store, const FileHashes& hashes,
                                                 const Options& options) {
  using Found = std::optional<KnownResult>;
  tracking::SearchRuns search{
      .experiment_ids = TRY(all_experiments(store)),
      .filter = fmt::format("tags.`tidemill.step` = {} AND attributes.status = 'FINISHED'", quoted(step)),
      .max_results = 100,
      .order_by = {"start_time DESC"},
      .page_token = {}};
  do {
    auto page = TRY(store.search_runs(search));
    for (const auto& run : page.items)
      if (Found found = result_of(run, plan.name, store, hashes, options)) return found;
    search.page_token = page.next_page_token;
  } while (!search.page_token.empty());
  return Found();
}

std::optional<FileTree> whole_outputs(const std::string& run_id, const fs::path& folder,
                                      tracking::Store& store, const FileHashes& hashes) {
  auto recorded = store.artifacts(run_id);
  auto now = hashes.tree(folder);
  if (!recorded || !now) return std::nullopt;
  return differences(std::move(*recorded), now->files).empty() ? std::optional(std::move(*now))
                                                               : std::nullopt;
}

}  // namespace tidemill::engine
