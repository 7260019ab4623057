#include "db/sqlite.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

#include <chrono>
#include <thread>
#include <unordered_map>

#include "db/sqlite_pages.h"
#include "db/sqlite_regex.h"
#include "db/sqlite_wal.h"

namespace tidemill::db {
namespace {

constexpr size_t kMaxCachedStatements = 256;

Code code_of(int sqlite_code) {
  switch (sqlite_code & 0xFF) {
    case SQLITE_FULL:
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return Code::kUnavailable;
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
    case SQLITE_CANTOPEN:
      return Code::kDenied;
    case SQLITE_CONSTRAINT:
      return Code::kConflict;
    case SQLITE_TOOBIG:
      return Code::kInvalid;
    case SQLITE_INTERRUPT:
      return Code::kCancelled;
    default:
      return Code::kInternal;
  }
}

std::string_view advice(int sqlite_code) {
  switch (sqlite_code & 0xFF) {
    case SQLITE_FULL:
      return "the disk is full; nothing of this write was kept, free some space and repeat it";
    case SQLITE_BUSY:
      return "another process holds the write lock for too long";
    case SQLITE_READONLY:
      return "read-only: no permission to write the file or its folder";
    case SQLITE_CANTOPEN:
      return "cannot be opened or created; does the folder exist and is it writable?";
    case SQLITE_NOTADB:
      return "not a database, or damaged; restore a copy or choose another file";
    case SQLITE_CORRUPT:
      return "the database is damaged; restore a copy, or rescue it with sqlite3's .recover";
    case SQLITE_IOERR:
      return "the disk reports an error";
    default:
      return "";
  }
}

Error error_of(sqlite3* handle, std::string_view file, int sqlite_code) {
  std::string_view hint = advice(sqlite_code);
  const char* detail = handle ? sqlite3_errmsg(handle) : sqlite3_errstr(sqlite_code);
  return Error{code_of(sqlite_code), hint.empty() ? fmt::format("{}: {}", file, detail)
                                                  : fmt::format("{}: {} ({})", file, hint, detail)};
}

class SqliteCursor final : public Cursor {
 public:
  SqliteCursor(sqlite3* handle, sqlite3_stmt* statement, const std::string& file)
      : handle_(handle), statement_(statement), file_(file) {}
  ~SqliteCursor() override { sqlite3_finalize(statement_); }
  SqliteCursor(const SqliteCursor&) = delete;
  SqliteCursor& operator=(const SqliteCursor&) = delete;

  void bind_null(int at) override { check(sqlite3_bind_null(statement_, at)); }
  void bind_integer(int at, int64_t value) override { check(sqlite3_bind_int64(statement_, at, value)); }
  void bind_real(int at, double value) override { check(sqlite3_bind_double(statement_, at, value)); }
  void bind_text(int at, std::string_view text) override {
    // A null pointer would bind NULL.
    check(sqlite3_bind_text64(statement_, at, text.data() ? text.data() : "", text.size(), SQLITE_STATIC,
                              SQLITE_UTF8));
  }
  void bind_blob(int at, std::string_view bytes) override {
    check(sqlite3_bind_blob64(statement_, at, bytes.data() ? bytes.data() : "", bytes.size(), SQLITE_STATIC));
  }
  Result<bool> step() override {
    if (bind_code_ != SQLITE_OK) [[unlikely]]
      return tl::unexpected<Error>(error_of(handle_, file_, bind_code_));
    int code = sqlite3_step(statement_);
    if (code == SQLITE_ROW) return true;
    if (code == SQLITE_DONE) return false;
    return tl::unexpected<Error>(error_of(handle_, file_, code));
  }
  Result<> run() override {
    while (TRY(step())) {
    }
    return {};
  }
  bool is_null(int column) override { return sqlite3_column_type(statement_, column) == SQLITE_NULL; }
  int64_t integer(int column) override { return sqlite3_column_int64(statement_, column); }
  double real(int column) override { return sqlite3_column_double(statement_, column); }
  std::string_view text(int column) override {
    const void* bytes = sqlite3_column_blob(statement_, column);
    return {static_cast<const char*>(bytes), static_cast<size_t>(sqlite3_column_bytes(statement_, column))};
  }
  void release() override {
    sqlite3_reset(statement_);
    sqlite3_clear_bindings(statement_);
    bind_code_ = SQLITE_OK;
    in_use = false;
    if (once) delete this;
  }

  bool in_use = false;
  bool once = false;  // not in the cache: gone when released

 private:
  void check(int code) {
    if (code != SQLITE_OK) bind_code_ = code;
  }

  sqlite3* handle_;
  sqlite3_stmt* statement_;
  const std::string& file_;
  int bind_code_ = SQLITE_OK;
};

struct TextHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
};

class SqliteConnection final : public Connection {
 public:
  SqliteConnection(sqlite3* handle, std::string file) : handle_(handle), file_(std::move(file)) {}
  ~SqliteConnection() override {
    statements_.clear();
    sqlite3_close_v2(handle_);
  }
  SqliteConnection(const SqliteConnection&) = delete;
  SqliteConnection& operator=(const SqliteConnection&) = delete;

  Result<Statement> prepare(std::string_view sql) override {
    auto found = statements_.find(sql);
    if (found != statements_.end() && !found->second->in_use) {
      found->second->in_use = true;
      return Statement(found->second.get());
    }
    sqlite3_stmt* prepared = nullptr;
    int code = sqlite3_prepare_v3(handle_, sql.data(), static_cast<int>(sql.size()),
                                  SQLITE_PREPARE_PERSISTENT, &prepared, nullptr);
    if (code != SQLITE_OK) return tl::unexpected<Error>(error_of(handle_, file_, code));
    auto cursor = std::make_unique<SqliteCursor>(handle_, prepared, file_);
    cursor->in_use = true;
    SqliteCursor* raw = cursor.get();
    if (found != statements_.end()) {
      cursor->once = true;
      return Statement(cursor.release());
    }
    // Searches make new texts; the few fixed ones are prepared again at their next use.
    if (statements_.size() >= kMaxCachedStatements)
      std::erase_if(statements_, [](const auto& entry) { return !entry.second->in_use; });
    statements_.emplace(std::string(sql), std::move(cursor));
    return Statement(raw);
  }

  Result<Statement> prepare_insert(std::string_view sql) override { return prepare(sql); }
  Result<int64_t> run_insert(Statement& statement) override {
    TRY(statement.run());
    return sqlite3_last_insert_rowid(handle_);
  }

  Result<> execute(const std::string& script) override {
    int code = sqlite3_exec(handle_, script.c_str(), nullptr, nullptr, nullptr);
    if (code != SQLITE_OK) return tl::unexpected<Error>(error_of(handle_, file_, code));
    return {};
  }

  Result<int64_t> changes() override { return sqlite3_changes64(handle_); }
  Result<int64_t> data_version() override { return first_integer("PRAGMA data_version"); }

  Result<> begin(TransactionMode mode) override {
    if (mode == TransactionMode::kRead) return run("BEGIN");
    TRY(run("BEGIN IMMEDIATE"));
    wal_.make_room();
    return {};
  }
  Result<> commit() override { return run("COMMIT"); }
  // Fails only where SQLite has rolled back already, as it does when the disk is full.
  void roll_back() override { (void)run("ROLLBACK"); }
  bool may_retry() const override { return false; }

  Result<SchemaMark> schema_mark() override {
    return SchemaMark{.application = TRY(first_integer("PRAGMA application_id")),
                      .version = TRY(first_integer("PRAGMA user_version")),
                      .empty = TRY(first_integer("SELECT count(*) FROM sqlite_schema")) == 0};
  }
  Result<> set_schema_mark(int64_t application, int64_t version) override {
    return execute(fmt::format("PRAGMA application_id = {}; PRAGMA user_version = {}", application, version));
  }

  Result<std::string> back_up(int64_t version) override;
  std::string_view name() const override { return file_; }

  Result<int64_t> first_integer(std::string_view sql) {
    Statement statement = TRY(prepare(sql));
    return TRY(statement.step()) ? statement.integer(0) : 0;
  }
  void watch_wal() { wal_.watch(); }

 private:
  sqlite3* handle_;
  SqliteWal wal_{handle_};
  std::string file_;
  std::unordered_map<std::string, std::unique_ptr<SqliteCursor>, TextHash, std::equal_to<>> statements_;
};

// SQLite opens a file that it may not write for reading only, and says so at the first write. We say it at
// once.
Result<> check_writable(sqlite3* handle, const fs::path& file) {
  fs::path folder = file.has_parent_path() ? file.parent_path() : fs::path(".");
  if (sqlite3_db_readonly(handle, "main") == 1 || ::access(folder.c_str(), W_OK) != 0)
    return fail(Code::kDenied, "{}: read-only: no permission to write the file or its folder", file.string());
  return {};
}

// Two processes that switch a new file to WAL at the same moment block each other, and SQLite does not wait
// here.
Result<> use_wal(SqliteConnection& connection, int patience_ms) {
  for (int waited_ms = 0;; waited_ms += 5) {
    auto switched = [&]() -> Result<std::string> {
      Statement mode = TRY(connection.prepare("PRAGMA journal_mode = WAL"));
      TRY(mode.step());
      return std::string(mode.text(0));
    }();
    if (switched && *switched == "wal") return {};
    if (switched)
      return fail(Code::kDenied,
                  "{}: this file system does not allow a write-ahead log; put the store on a local disk",
                  connection.name());
    if (switched.error().code != Code::kUnavailable || waited_ms >= patience_ms)
      return tl::unexpected<Error>(std::move(switched).error());
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

// Through a connection of its own: ours is inside a transaction, which keeps other writers away meanwhile.
Result<std::string> SqliteConnection::back_up(int64_t version) {
  fs::path copy = fmt::format("{}.schema-{}.backup", file_, version), part = copy.string() + ".part";
  TRY(tidemill::remove_all(part));
  auto reader = TRY(open_foreign_sqlite(file_));
  TRY_IN("backup before the schema is changed", reader->run("VACUUM INTO ?", part.string()));
  Fd written = TRY(open_file(part, O_RDONLY));
  if (::fsync(written.get()) != 0) return tl::unexpected<Error>(errno_error(part.string(), errno));
  if (::rename(part.c_str(), copy.c_str()) != 0)
    return tl::unexpected<Error>(errno_error(copy.string(), errno));
  return copy.string();
}

constexpr int kMaxForeignBytes = 64 << 20;

}  // namespace

Result<std::unique_ptr<Connection>> open_foreign_sqlite(const fs::path& file) {
  sqlite3* handle = nullptr;
  int code = sqlite3_open_v2(file.c_str(), &handle,
                             SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, nullptr);
  auto connection = std::make_unique<SqliteConnection>(handle, file.string());
  if (code != SQLITE_OK) return tl::unexpected<Error>(error_of(handle, file.string(), code));
  sqlite3_limit(handle, SQLITE_LIMIT_LENGTH, kMaxForeignBytes);
  sqlite3_db_config(handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  // A view in place of a table may go on for ever.
  sqlite3_db_config(handle, SQLITE_DBCONFIG_ENABLE_VIEW, 0, nullptr);
  sqlite3_busy_timeout(handle, SqliteOptions().busy_timeout_ms);
  TRY(connection->execute("PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0; PRAGMA temp_store = MEMORY"));
  return connection;
}

Result<std::unique_ptr<Connection>> open_sqlite(const SqliteOptions& options) {
  use_sparing_page_cache();
  std::string file = options.file.string();
  sqlite3* handle = nullptr;
  int code = sqlite3_open_v2(
      file.c_str(), &handle,
      SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, nullptr);
  auto connection = std::make_unique<SqliteConnection>(handle, file);
  if (code != SQLITE_OK) return tl::unexpected<Error>(error_of(handle, file, code));
  if (int added = add_regex_function(handle); added != SQLITE_OK)
    return tl::unexpected<Error>(error_of(handle, file, added));
  TRY(check_writable(handle, options.file));
  sqlite3_busy_timeout(handle, options.busy_timeout_ms);
  TRY(use_wal(*connection, options.busy_timeout_ms));
  TRY(
      connection->execute(fmt::format("PRAGMA synchronous = FULL; PRAGMA case_sensitive_like = ON; "
                                      "PRAGMA cache_size = -{}",
                                      options.cache_kib)));
  connection->watch_wal();
  return connection;
}

}  // namespace tidemill::db
