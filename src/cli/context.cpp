#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>

#include "artifacts/folder_repository.h"
#include "base/time.h"
#include "cli/commands.h"
#include "engine/engine.h"

namespace tidemill::cli {

namespace {

Result<fs::path> own_folder(const Context& context) {
  return (TRY(context.location()).folder() / "mlartifacts").lexically_normal();
}

// What the server has, or is to have, behind mlflow-artifacts:/ when it is not its own folder.
std::string named_destination() {
  const char* destination = std::getenv("MLFLOW_ARTIFACTS_DESTINATION");
  return destination ? destination : "";
}

// One for all processes of the user, whatever started them: a login's environment says other things than
// cron's.
fs::path machine_file() {
  std::error_code ignored;
  const fs::path memory = "/dev/shm";
  const fs::path folder =
      (fs::is_directory(memory, ignored) ? memory : fs::path("/tmp")) / fmt::format("tidemill-{}", getuid());
  mkdir(folder.c_str(), 0700);
  // Everybody may write there. Where another user has taken the name, the store's own file serves.
  struct stat info{};
  const bool is_own = lstat(folder.c_str(), &info) == 0 && S_ISDIR(info.st_mode) && info.st_uid == getuid();
  return is_own ? folder / "machine" : fs::path();
}

}  // namespace

Result<fs::path> Context::artifact_root() const {
  auto named = artifacts::local_folder(named_destination());
  return named ? fs::absolute(*named).lexically_normal() : TRY(own_folder(*this));
}

Result<std::string> Context::default_artifact_root() const {
  const std::string destination = named_destination();
  bool is_folder = destination.empty() || artifacts::local_folder(destination);
  return is_folder ? "mlflow-artifacts:" : TRY(artifact_root()).string();
}

Result<engine::Options> Context::engine_options() const {
  engine::Options options;
  options.artifact_root = TRY(artifact_root());
  options.state_dir = TRY(own_folder(*this)) / ".tidemill";
  options.program_dir = program.parent_path();
  options.find_artifacts = [context = *this](const std::string& uri) { return context.find_artifacts(uri); };
  options.machine_file = machine_file();
  options.own_places = {options.artifact_root};
  if (const db::Location where = TRY(location()); where.kind == db::Location::Kind::kSqlite)
    for (const char* ending : {"", "-wal", "-shm", "-journal"})
      options.own_places.push_back(fs::path(where.file) += ending);
  return options;
}

// Who comes from MLflow names first what it has.
static Error with_the_way_from_mlflow(Error error, std::string_view store) {
  if (error.code == Code::kInvalid)
    error.message += fmt::format(
        "; what MLflow has recorded is taken over into a store of its own: tidemill import {}", store);
  return error;
}

Result<db::Location> Context::location() const {
  auto location = db::parse_location(store);
  if (!location && store.starts_with("file:"))
    return tl::unexpected<Error>(with_the_way_from_mlflow(std::move(location).error(), store));
  return location;
}

Result<tracking::Store> Context::open_store(const tracking::StoreOptions& options) const {
  const db::Location where = TRY(location());
  std::error_code ignored;
  const bool is_file = where.kind == db::Location::Kind::kSqlite;
  auto refused = [&](Error error) {
    return tl::unexpected<Error>(is_file ? with_the_way_from_mlflow(std::move(error), where.name())
                                         : std::move(error));
  };
  if (is_file && (fs::is_directory(where.file, ignored) || where.file.filename() == "mlruns"))
    return refused({Code::kInvalid, where.name() + ": a store is a file, and this names a folder"});
  auto opened = tracking::Store::open(options);
  if (!opened) return refused(std::move(opened).error());
  return opened;
}

Result<tracking::Store> Context::open_store(Create create, Places places) const {
  db::Location where = TRY(location());
  std::error_code ignored;
  bool is_file = where.kind == db::Location::Kind::kSqlite;
  if (create == Create::no && is_file && !fs::exists(where.file, ignored))
    return fail(Code::kNotFound, "there is no store {}; `tidemill run` makes one, --store names another",
                where.name());
  std::string root = TRY(default_artifact_root());
  std::string folder = places == Places::kFolders ? TRY(artifact_root()).string() : "";
  auto opened = TRY(open_store(
      {.uri = store, .default_artifact_root = std::move(root), .served_folder = std::move(folder)}));
  // A store that cannot be written can still be read.
  if (auto marked = engine::end_orphaned_runs(opened, TRY(engine_options()).state_dir);
      !marked && marked.error().code == Code::kInternal)
    return tl::unexpected<Error>(std::move(marked).error());
  return opened;
}

Result<std::unique_ptr<artifacts::ArtifactRepository>> Context::artifacts_at(
    const std::string& artifact_uri) const {
  const std::string destination = named_destination();
  auto path = artifacts::proxied_path(artifact_uri);
  if (path && !destination.empty()) return TRY(artifacts::open_repository(destination))->below(*path);
  if (auto folder = artifacts::local_folder(artifact_uri, TRY(artifact_root())))
    return std::make_unique<artifacts::FolderRepository>(*folder);
  return artifacts::open_repository(artifact_uri);
}

Result<std::unique_ptr<artifacts::ArtifactRepository>> Context::artifacts_of(
    const tracking::RunInfo& run) const {
  return TRY_IN(fmt::format("run {}", run.id), artifacts_at(run.artifact_uri));
}

void add_common_options(CLI::App& command, Context& context) {
  // The value is not shown as a default: it may come from the environment, with a password.
  command
      .add_option(
          "--store,--backend-store-uri", context.store,
          "The store: a path, sqlite:///path or postgresql://user@host/database (default: tidemill.db); "
          "also TIDEMILL_STORE, MLFLOW_BACKEND_STORE_URI")
      ->each([&context](const std::string&) { context.store_is_named = true; });
  command.add_flag("--json", context.json, "Print JSON");
}

Result<int64_t> parse_age(std::string_view option, std::string_view text) {
  if (auto age = parse_duration(text)) return *age;
  return fail(Code::kInvalid, "{} {}: give days, hours, minutes and seconds as in 30d or 1d2h3m4s", option,
              text);
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
