#include "tracking/store.h"

#include "base/log.h"
#include "base/time.h"
#include "db/sqlite.h"
#include "tracking/schema.h"
#include "tracking/store_state.h"
#include "tracking/validate.h"

namespace tidemill::tracking {

constexpr size_t kMaxCachedRuns = 20'000;
constexpr size_t kMaxIdleReaders = 8;

void WriteCache::undone() {
  runs_.clear();
  keys.forget();
  metrics.forget();
}

Result<> WriteCache::ending(db::Connection& connection) {
  TRY(journal.write(connection));
  return journal.full() ? journal.settle(connection, metrics) : Result<>();
}

Result<MetricWriter*> WriteCache::settled_metrics(db::Connection& connection) {
  TRY(journal.settle(connection, metrics));
  return &metrics;
}

Result<RunRow> WriteCache::run(db::Connection& connection, std::string_view run_id) {
  std::string id(run_id);
  if (auto found = runs_.find(id); found != runs_.end()) return found->second;
  db::Statement select = TRY(connection.prepare("SELECT id, experiment, lifecycle FROM runs WHERE uuid = ?"));
  if (!TRY(select.bind(run_id).step())) return tl::unexpected<Error>(no_run(run_id));
  RunRow row{select.integer(0), select.integer(1), static_cast<Lifecycle>(select.integer(2))};
  if (runs_.size() >= kMaxCachedRuns) runs_.clear();
  runs_.emplace(std::move(id), row);
  return row;
}

Result<RunRow> WriteCache::active_run(db::Connection& connection, std::string_view run_id) {
  RunRow row = TRY(run(connection, run_id));
  if (row.lifecycle != Lifecycle::kActive) return tl::unexpected<Error>(not_active("run", run_id));
  return row;
}

Result<std::unique_ptr<Reader>> Store::State::take_reader() {
  {
    std::lock_guard lock(mutex_);
    if (!idle_readers_.empty()) {
      auto reader = std::move(idle_readers_.back());
      idle_readers_.pop_back();
      return reader;
    }
  }
  auto reader = std::make_unique<Reader>();
  reader->connection = TRY(db::open(location));
  return reader;
}

Result<> Store::State::settle_journal() {
  if (!TRY(read<bool>([](Reader& reader) { return has_journaled_points(*reader.connection); }))) return {};
  return commits.run([this](db::Connection& connection) -> Result<> {
    TRY(cache.settled_metrics(connection));
    return {};
  });
}

void Store::State::give_back(std::unique_ptr<Reader> reader) {
  std::lock_guard lock(mutex_);
  if (idle_readers_.size() < kMaxIdleReaders) idle_readers_.push_back(std::move(reader));
}

Error no_experiment(std::string_view id) {
  return Error{Code::kNotFound, fmt::format("No Experiment with id={} exists", id)};
}
Error no_run(std::string_view run_id) {
  return Error{Code::kNotFound, fmt::format("Run with id={} not found", run_id)};
}
Error no_logged_model(std::string_view model_id) {
  return Error{Code::kNotFound, fmt::format("Logged model with ID '{}' not found.", model_id)};
}
Error not_active(std::string_view kind, std::string_view id) {
  return Error{Code::kInvalid,
               fmt::format("The {} {} must be in the 'active' state. Current state is deleted.", kind, id)};
}

static Result<> add_default_experiment(db::Connection& connection, const std::string& artifact_root) {
  {
    db::Statement present = TRY(connection.prepare("SELECT 1 FROM experiments WHERE id = 0"));
    if (TRY(present.step())) return {};
  }
  int64_t now = now_ms();
  return connection.run(
      "INSERT INTO experiments (id, name, artifact_location, lifecycle, created, updated) "
      "VALUES (0, 'Default', ?, 0, ?, ?) ON CONFLICT DO NOTHING",
      artifact_root + "/0", now, now);
}

std::string Store::State::place_of(std::string_view artifact_location) const {
  constexpr std::string_view kServed = "mlflow-artifacts:/";
  bool is_served =
      artifact_location.starts_with(kServed) && !artifact_location.starts_with("mlflow-artifacts://");
  if (served_folder.empty() || !is_served) return std::string(artifact_location);
  return fmt::format("{}/{}", served_folder, artifact_location.substr(kServed.size()));
}

Result<Store> Store::open(StoreOptions options) {
  db::Location location = TRY(db::parse_location(options.uri));
  if (location.kind == db::Location::Kind::kSqlite)
    location.file = fs::absolute(location.file).lexically_normal();
  std::string& root = options.default_artifact_root;
  root = root.empty() ? (location.folder() / "artifacts").string() : absolute_location(root);
  while (root.size() > 1 && root.ends_with('/')) root.pop_back();
  // Why it cannot be made is told by who opens it.
  if (location.kind == db::Location::Kind::kSqlite) (void)create_file_atomic(location.file, empty_store());
  auto connection = TRY(db::open(location));
  db::Migration migration = TRY(db::migrate(*connection, store_schema()));
  if (migration.from > 0 && migration.from < migration.to)
    log_info("{}: brought from schema {} to {}{}", location.name(), migration.from, migration.to,
             migration.backup.empty() ? "" : "; as it was before it is kept in " + migration.backup);
  TRY(add_default_experiment(*connection, root));
  return Store(std::make_unique<State>(std::move(location), std::move(options), std::move(connection)));
}

Result<> Store::read(const Work& work) {
  return state_->read<void>([&](Reader& reader) { return work(*reader.connection); });
}

Result<> Store::write(const Work& work) { return state_->commits.run(work); }

Store::Store(std::unique_ptr<State> state) : state_(std::move(state)) {}
Store::Store(Store&&) noexcept = default;
Store& Store::operator=(Store&&) noexcept = default;
Store::~Store() = default;

}  // namespace tidemill::tracking
