#include <unistd.h>

#include <CLI/CLI.hpp>

#include "artifacts/artifact_repository.h"
#include "cli/commands.h"
#include "engine/engine.h"

namespace tidemill::cli {

fs::path Context::artifact_root() const {
  return (fs::absolute(store_file).parent_path() / "mlartifacts").lexically_normal();
}

Result<tracking::Store> Context::open_store(Create create) const {
  std::error_code ignored;
  if (create == Create::no && !fs::exists(store_file, ignored))
    return fail(Code::kNotFound, "there is no store {}; `tidemill run` makes one, --store names another",
                store_file);
  auto store =
      TRY(tracking::Store::open({.file = store_file, .default_artifact_root = artifact_root().string()}));
  // A store that cannot be written can still be read.
  if (auto marked = engine::end_orphaned_runs(store); !marked && marked.error().code == Code::kInternal)
    return tl::unexpected<Error>(std::move(marked).error());
  return store;
}

Result<artifacts::ArtifactRepository> Context::artifacts_of(const tracking::RunInfo& run) const {
  if (auto folder = artifacts::local_folder(run.artifact_uri)) return artifacts::ArtifactRepository(*folder);
  if (auto path = artifacts::proxied_path(run.artifact_uri))
    return artifacts::ArtifactRepository(artifact_root() / *path);
  return fail(Code::kInvalid, "the artifacts of run {} lie in {}, which this program cannot read", run.id,
              run.artifact_uri);
}

void add_common_options(CLI::App& command, Context& context) {
  command.add_option("--store", context.store_file, "The store's file")
      ->envname("TIDEMILL_STORE")
      ->capture_default_str();
  command.add_flag("--json", context.json, "Print JSON");
}

Result<> print(std::string_view text) {
  while (!text.empty()) {
    ssize_t written = ::write(STDOUT_FILENO, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return tl::unexpected<Error>(errno_error("write to stdout", errno));
    text.remove_prefix(static_cast<size_t>(written));
  }
  return {};
}

}  // namespace tidemill::cli
