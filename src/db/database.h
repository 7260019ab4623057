// A small interface over SQL databases: connections, prepared statements, transactions, migrations.
// SQL is written with positional '?' parameters. A Connection is used by one thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"

namespace tidemill::db {

// Bytes, to be told apart from text when bound.
struct Blob {
  std::string_view bytes;
};

// What a database implements for one prepared statement.
class Cursor {
 public:
  virtual ~Cursor() = default;
  virtual void bind_null(int position) = 0;
  virtual void bind_integer(int position, int64_t value) = 0;
  virtual void bind_real(int position, double value) = 0;
  virtual void bind_text(int position, std::string_view text) = 0;
  virtual void bind_blob(int position, std::string_view bytes) = 0;
  virtual Result<bool> step() = 0;  // true: there is a row
  virtual Result<> run() = 0;       // to the end, without its rows
  virtual bool is_null(int column) = 0;
  virtual int64_t integer(int column) = 0;
  virtual double real(int column) = 0;
  virtual std::string_view text(int column) = 0;  // text or blob; valid until the next step
  virtual void release() = 0;                     // ends the use; the statement may be handed out again
};

// One use of a prepared statement; gives it back to its connection's cache when it goes. Bound text and bytes
// are not copied: they must outlive the last step.
class Statement {
 public:
  explicit Statement(Cursor* cursor) : cursor_(cursor) {}
  Statement(Statement&& other) noexcept
      : cursor_(std::exchange(other.cursor_, nullptr)), bound_(other.bound_) {}
  Statement& operator=(Statement&& other) noexcept {
    std::swap(cursor_, other.cursor_);
    std::swap(bound_, other.bound_);
    return *this;
  }
  ~Statement() {
    if (cursor_) cursor_->release();
  }

  // Binds the next parameters, from the first one on.
  template <class... Values>
  Statement& bind(const Values&... values) {
    (put(++bound_, values), ...);
    return *this;
  }
  Result<bool> step() { return cursor_->step(); }
  // Executes to the end and ignores rows. Inside a transaction the database may execute it later: its error
  // is then that of a later call, at the latest of the commit.
  Result<> run() { return cursor_->run(); }

  bool is_null(int column) const { return cursor_->is_null(column); }
  int64_t integer(int column) const { return cursor_->integer(column); }
  double real(int column) const { return cursor_->real(column); }
  std::string_view text(int column) const { return cursor_->text(column); }
  std::optional<int64_t> optional_integer(int column) const {
    return is_null(column) ? std::nullopt : std::optional<int64_t>(integer(column));
  }
  std::optional<double> optional_real(int column) const {
    return is_null(column) ? std::nullopt : std::optional<double>(real(column));
  }

 private:
  void put(int at, int64_t value) { cursor_->bind_integer(at, value); }
  void put(int at, int value) { cursor_->bind_integer(at, value); }
  void put(int at, bool value) { cursor_->bind_integer(at, value ? 1 : 0); }
  void put(int at, double value) { cursor_->bind_real(at, value); }
  void put(int at, std::string_view text) { cursor_->bind_text(at, text); }
  void put(int at, const std::string& text) { cursor_->bind_text(at, text); }
  void put(int at, const char* text) { cursor_->bind_text(at, text); }
  void put(int at, Blob blob) { cursor_->bind_blob(at, blob.bytes); }
  void put(int at, std::nullptr_t) { cursor_->bind_null(at); }
  template <class T>
  void put(int at, const std::optional<T>& value) {
    if (value) {
      put(at, *value);
    } else {
      cursor_->bind_null(at);
    }
  }

  Cursor* cursor_;
  int bound_ = 0;
};

enum class TransactionMode { kRead, kWrite };  // kWrite takes the write lock at once

class Connection {
 public:
  virtual ~Connection() = default;

  // Prepared once per text and kept; a text that is in use already is prepared a second time.
  virtual Result<Statement> prepare(std::string_view sql) = 0;
  // Runs a script of statements without parameters.
  virtual Result<> execute(const std::string& script) = 0;
  // Rows changed by the last INSERT, UPDATE or DELETE.
  virtual Result<int64_t> changes() = 0;
  // Changes when another connection, of this or another process, has committed a write transaction. Read
  // inside one.
  virtual Result<int64_t> data_version() = 0;

  // See Transaction. A connection to a server that was lost is made again by begin().
  virtual Result<> begin(TransactionMode mode) = 0;
  virtual Result<> commit() = 0;
  virtual void roll_back() = 0;
  // The transaction failed because the connection to the server was lost, and certainly left nothing: it may
  // be done again.
  virtual bool may_retry() const = 0;

  // The schema's version and whose schema it is (application 0 and version 0: an empty database).
  struct SchemaMark {
    int64_t application = 0;
    int64_t version = 0;
    bool empty = true;  // no tables
  };
  virtual Result<SchemaMark> schema_mark() = 0;
  virtual Result<> set_schema_mark(int64_t application, int64_t version) = 0;

  // Keeps a copy of what is committed, named after this version; to be called inside a write transaction.
  // Returns the copy's file; "" for databases on a server, whose backups are its administrator's.
  virtual Result<std::string> back_up(int64_t version) = 0;

  // What people call this database: its file or its URL without the password.
  virtual std::string_view name() const = 0;

  // prepare, bind, run.
  template <class... Values>
  Result<> run(std::string_view sql, const Values&... values) {
    Statement statement = TRY(prepare(sql));
    return statement.bind(values...).run();
  }
  // The same for an INSERT of one row into a table whose key is `id`, which it returns. (For RETURNING,
  // SQLite makes a temporary table each time.)
  template <class... Values>
  Result<int64_t> insert(std::string_view sql, const Values&... values) {
    Statement statement = TRY(prepare_insert(sql));
    statement.bind(values...);
    return run_insert(statement);
  }

 private:
  virtual Result<Statement> prepare_insert(std::string_view sql) = 0;
  virtual Result<int64_t> run_insert(Statement& statement) = 0;
};

// Rolls back unless committed.
class Transaction {
 public:
  static Result<Transaction> begin(Connection& connection, TransactionMode mode);
  Transaction(Transaction&& other) noexcept : connection_(std::exchange(other.connection_, nullptr)) {}
  Transaction& operator=(Transaction&&) = delete;
  ~Transaction();
  Result<> commit();

 private:
  explicit Transaction(Connection& connection) : connection_(&connection) {}
  Connection* connection_;
};

// A part of a transaction that can fail alone. Undone unless released.
class Savepoint {
 public:
  static Result<Savepoint> begin(Connection& connection);
  Savepoint(Savepoint&& other) noexcept : connection_(std::exchange(other.connection_, nullptr)) {}
  Savepoint& operator=(Savepoint&&) = delete;
  ~Savepoint();
  Result<> release();

 private:
  explicit Savepoint(Connection& connection) : connection_(&connection) {}
  Connection* connection_;
};

// What SQL cannot say of a step: it computes new columns from what is stored.
struct DataStep {
  int64_t version = 0;                      // runs behind the step that brings this version
  Result<> (*fill)(Connection&) = nullptr;  // in the migration's transaction
};
struct Schema {
  int64_t application = 0;                  // marks our files
  std::span<const std::string_view> steps;  // step i brings version i to i + 1; published steps never change
  std::span<const DataStep> data_steps = {};
};

struct Migration {
  int64_t from = 0, to = 0;  // versions; equal: nothing had to be done
  std::string backup;        // of the version before; "": there was nothing to keep, or it is on a server
};
// Brings the database to the newest version, in one transaction, after a backup of one that holds an older
// version. kConflict when it is from a newer program, kInvalid when it belongs to another application.
Result<Migration> migrate(Connection& connection, const Schema& schema);

}  // namespace tidemill::db
