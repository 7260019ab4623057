#include "db/csv.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

#include <charconv>

#include "base/hash.h"
#include "base/text.h"
#include "db/postgres_session.h"

namespace tidemill::db {
namespace {

constexpr size_t kFlushBytes = 1 << 18;

// Gathers what is small before it is written.
class Writer {
 public:
  explicit Writer(Fd file, std::string name) : file_(std::move(file)), name_(std::move(name)) {}

  Result<> write(std::string_view text) {
    pending_ += text;
    return pending_.size() < kFlushBytes ? Result<>() : flush();
  }
  Result<> flush() {
    for (std::string_view rest = pending_; !rest.empty();) {
      ssize_t written = ::write(file_.get(), rest.data(), rest.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return tl::unexpected<Error>(errno_error(name_, errno));
      rest.remove_prefix(static_cast<size_t>(written));
    }
    pending_.clear();
    return {};
  }

 private:
  Fd file_;
  std::string name_, pending_;
};

void add_text(std::string& line, std::string_view text) {
  if (!text.empty() && text.find_first_of("\",\r\n") == std::string_view::npos) {
    line += text;
    return;
  }
  line += '"';
  for (char c : text) line.append(c == '"' ? 2 : 1, c);
  line += '"';
}

struct CloseDatabase {
  void operator()(sqlite3* handle) const { sqlite3_close_v2(handle); }
};
struct EndStatement {
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};

class SqliteRows {
 public:
  static Result<SqliteRows> open(const fs::path& file, const std::string& query) {
    std::error_code ignored;
    if (!fs::is_regular_file(file, ignored))
      return fail(Code::kNotFound, "there is no file {}", file.string());
    SqliteRows rows;
    sqlite3* handle = nullptr;
    const int opened =
        sqlite3_open_v2(file.c_str(), &handle, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, nullptr);
    rows.database_.reset(handle);
    if (opened != SQLITE_OK) return rows.failure();
    sqlite3_busy_timeout(handle, 20'000);
    sqlite3_db_config(handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
    sqlite3_stmt* statement = nullptr;
    const char* rest = nullptr;
    const int prepared =
        sqlite3_prepare_v2(handle, query.c_str(), static_cast<int>(query.size()) + 1, &statement, &rest);
    rows.statement_.reset(statement);
    if (prepared != SQLITE_OK) return rows.failure();
    if (statement == nullptr || !trim(rest).empty() || sqlite3_column_count(statement) == 0)
      return fail(Code::kInvalid, "it must be one query that gives rows");
    if (sqlite3_stmt_readonly(statement) == 0)
      return fail(Code::kDenied, "the query writes; an input only reads");
    return rows;
  }

  int columns() const { return sqlite3_column_count(statement_.get()); }
  std::string_view name(int column) const { return sqlite3_column_name(statement_.get(), column); }
  Result<bool> next() {
    const int code = sqlite3_step(statement_.get());
    if (code == SQLITE_ROW) return true;
    if (code == SQLITE_DONE) return false;
    return failure();
  }
  void add(int column, std::string& line) const {
    sqlite3_stmt* row = statement_.get();
    switch (sqlite3_column_type(row, column)) {
      case SQLITE_NULL:
        return;
      case SQLITE_INTEGER:
        line += std::to_string(sqlite3_column_int64(row, column));
        return;
      case SQLITE_FLOAT:
        line += fmt::format("{}", sqlite3_column_double(row, column));
        return;
      case SQLITE_BLOB:
        line += "\\x" + to_hex(bytes(column));
        return;
      default:
        add_text(line, bytes(column));
    }
  }

 private:
  std::string_view bytes(int column) const {
    const void* start = sqlite3_column_blob(statement_.get(), column);
    return {static_cast<const char*>(start),
            static_cast<size_t>(sqlite3_column_bytes(statement_.get(), column))};
  }
  tl::unexpected<Error> failure() const {
    const int code = sqlite3_errcode(database_.get()) & 0xFF;
    const bool busy = code == SQLITE_BUSY || code == SQLITE_LOCKED;
    return fail(busy ? Code::kUnavailable : Code::kInvalid, "{}", sqlite3_errmsg(database_.get()));
  }

  std::unique_ptr<sqlite3, CloseDatabase> database_;
  std::unique_ptr<sqlite3_stmt, EndStatement> statement_;
};

Result<> write_sqlite(const fs::path& database, const std::string& query, Writer& out) {
  SqliteRows rows = TRY(SqliteRows::open(database, query));
  std::string line;
  for (int i = 0; i < rows.columns(); ++i) {
    if (i > 0) line += ',';
    add_text(line, rows.name(i));
  }
  TRY(out.write(line + "\n"));
  while (TRY(rows.next())) {
    line.clear();
    for (int i = 0; i < rows.columns(); ++i) {
      if (i > 0) line += ',';
      rows.add(i, line);
    }
    line += '\n';
    TRY(out.write(line));
  }
  return {};
}

// The server itself writes CSV, row by row.
Result<> write_postgres(const Location& database, const std::string& query, Writer& out) {
  Session session = TRY(Session::connect(database.uri, database.name()));
  TRY(session.execute("BEGIN READ ONLY; SET LOCAL extra_float_digits = 1"));
  std::string_view one = trim(query);
  while (one.ends_with(';')) one = trim(one.substr(0, one.size() - 1));
  auto copied = session.copy_out(fmt::format("COPY (\n{}\n) TO STDOUT WITH (FORMAT csv, HEADER true)", one),
                                 [&out](std::string_view rows) { return out.write(rows); });
  if (!copied && copied.error().code == Code::kInternal)
    copied.error().code = Code::kInvalid;  // what it asks
  return copied;
}

}  // namespace

Result<> write_csv(const Location& database, const std::string& query, const fs::path& file) {
  Fd opened = TRY(open_file(file, O_WRONLY | O_CREAT | O_TRUNC));
  Writer out(std::move(opened), file.string());
  TRY(database.kind == Location::Kind::kSqlite ? write_sqlite(database.file, query, out)
                                               : write_postgres(database, query, out));
  return out.flush();
}

}  // namespace tidemill::db
