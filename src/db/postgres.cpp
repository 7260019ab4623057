#include "db/postgres.h"

#include <sys/random.h>

#include <algorithm>
#include <thread>
#include <unordered_map>

#include "base/time.h"
#include "db/location.h"
#include "db/postgres_dialect.h"
#include "db/postgres_session.h"
#include "db/regex.h"

namespace tidemill::db {
namespace {

constexpr size_t kMaxCachedStatements = 256;
constexpr std::chrono::milliseconds kFirstPause{20}, kLongestPause{500};

// A statement as the server knows it.
struct Prepared {
  std::string sql;   // PostgreSQL's
  std::string name;  // "" before it was sent
  std::vector<Oid> types;
};

class PostgresConnection;

class PostgresCursor final : public Cursor {
 public:
  PostgresCursor(PostgresConnection& connection, std::shared_ptr<Prepared> prepared)
      : connection_(connection), prepared_(std::move(prepared)) {}

  void bind_null(int at) override { put(at, {}); }
  void bind_integer(int at, int64_t value) override { put(at, integer_parameter(value)); }
  void bind_real(int at, double value) override { put(at, real_parameter(value)); }
  void bind_text(int at, std::string_view text) override {
    has_nul_ = has_nul_ || text.find('\0') != std::string_view::npos;
    put(at, text_parameter(text));
  }
  void bind_blob(int at, std::string_view bytes) override { put(at, blob_parameter(bytes)); }
  Result<bool> step() override;
  Result<> run() override;
  bool is_null(int column) override { return answer_->is_null(row_, column); }
  int64_t integer(int column) override { return answer_->integer(row_, column); }
  double real(int column) override { return answer_->real(row_, column); }
  std::string_view text(int column) override { return answer_->bytes(row_, column); }
  void release() override { delete this; }

 private:
  void put(int at, const Parameter& parameter) {
    auto index = static_cast<size_t>(at - 1);
    if (index >= parameters_.size()) parameters_.resize(index + 1);
    parameters_[index] = parameter;
  }
  Result<> check_parameters() const;

  PostgresConnection& connection_;
  std::shared_ptr<Prepared> prepared_;
  std::vector<Parameter> parameters_;
  bool has_nul_ = false;
  std::optional<Answer> answer_;
  int row_ = -1;
};

struct TextHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
};

class PostgresConnection final : public Connection {
 public:
  PostgresConnection(PostgresOptions options, std::string name)
      : options_(std::move(options)), name_(std::move(name)) {}

  Result<> connect() {
    session_.emplace(TRY(Session::connect(options_.uri, name_)));
    for (auto& [sql, prepared] : statements_) prepared->name.clear();
    unconfirmed_.clear();
    return {};
  }

  Result<Statement> prepare(std::string_view sql) override {
    auto found = statements_.find(sql);
    if (found == statements_.end()) {
      if (statements_.size() >= kMaxCachedStatements) TRY(forget_statements());
      auto prepared = std::make_shared<Prepared>(Prepared{to_postgres(sql), "", {}});
      found = statements_.emplace(std::string(sql), std::move(prepared)).first;
    }
    return Statement(std::make_unique<PostgresCursor>(*this, found->second).release());
  }

  Result<Statement> prepare_insert(std::string_view sql) override {
    return prepare(fmt::format("{} RETURNING id", sql));
  }
  Result<int64_t> run_insert(Statement& statement) override {
    if (!TRY(statement.step())) return fail(Code::kInternal, "{}: an INSERT has returned no id", name_);
    return statement.integer(0);
  }

  Result<> execute(const std::string& script) override {
    TRY(check_usable());
    Result<> done = session_->execute(to_postgres(script));
    return note(std::move(done));
  }

  Result<int64_t> changes() override {
    if (session_->has_unanswered()) TRY(wait(0));
    return session_->changed();
  }
  Result<int64_t> data_version() override { return data_version_; }

  Result<> begin(TransactionMode mode) override;
  Result<> commit() override;
  void roll_back() override;
  bool may_retry() const override { return may_retry_; }

  Result<SchemaMark> schema_mark() override;
  Result<> set_schema_mark(int64_t application, int64_t version) override;
  Result<std::string> back_up(int64_t) override { return std::string(); }
  std::string_view name() const override { return name_; }

  // Sends the statement; inside a transaction its answer is read later.
  Result<> run_statement(const std::shared_ptr<Prepared>& prepared, std::span<Parameter> parameters);
  Result<Answer> query(const std::shared_ptr<Prepared>& prepared, std::span<Parameter> parameters);

 private:
  enum class State { kIdle, kReading, kWriting, kCommitting };

  Result<> check_usable();
  Result<> reconnect();
  Result<int> send(const std::shared_ptr<Prepared>& prepared, std::span<Parameter> parameters);
  void distrust_unconfirmed();
  Result<Answer> wait(int own);
  template <class T>
  Result<T> note(Result<T> result);
  Result<> begin_write();
  Result<> commit_of_lost_connection();
  Result<> forget_statements();
  Result<std::optional<Answer>> first_row(std::string_view sql);

  PostgresOptions options_;
  std::string name_;
  std::optional<Session> session_;
  State state_ = State::kIdle;
  bool may_retry_ = false;
  std::optional<Error> doomed_;  // the error of a statement that nobody waited for
  std::unordered_map<std::string, std::shared_ptr<Prepared>, TextHash, std::equal_to<>> statements_;
  std::vector<std::shared_ptr<Prepared>> unconfirmed_;  // prepared since the last wait
  int64_t names_given_ = 0;
  std::optional<Stopwatch> away_;  // since when the server cannot be reached

  std::optional<bool> has_mark_;  // the table tidemill_store exists; empty: not known
  int64_t token_ = 0;             // of the transaction that is open
  int64_t previous_token_ = 0;    // that it found: what the row holds when it leaves nothing
  int64_t last_token_ = 0;        // of the last transaction, of ours or others, that we know to be committed
  int64_t data_version_ = 0;
};

Result<> PostgresCursor::check_parameters() const {
  if (has_nul_) return fail(Code::kInvalid, "text cannot hold the character NUL");
  return {};
}

Result<bool> PostgresCursor::step() {
  if (!answer_) {
    TRY(check_parameters());
    answer_ = TRY(connection_.query(prepared_, parameters_));
  }
  if (row_ < answer_->rows()) ++row_;
  return row_ < answer_->rows();
}

Result<> PostgresCursor::run() {
  TRY(check_parameters());
  return connection_.run_statement(prepared_, parameters_);
}

int64_t random_token() {
  int64_t token = 0;
  if (::getrandom(&token, sizeof token, 0) != sizeof token) token = now_ms();
  return token;
}

// Keeps in mind what an error means for the transaction.
template <class T>
Result<T> PostgresConnection::note(Result<T> result) {
  if (result) return result;
  distrust_unconfirmed();
  if (session_->failed_early()) doomed_ = result.error();
  if (session_->lost()) {
    doomed_ = result.error();
    may_retry_ = state_ == State::kReading || state_ == State::kWriting;
  }
  return result;
}

// After an error the server may not have them.
void PostgresConnection::distrust_unconfirmed() {
  for (const auto& prepared : unconfirmed_) prepared->name.clear();
  unconfirmed_.clear();
}

Result<Answer> PostgresConnection::wait(int own) {
  Result<Answer> answer = note(session_->wait(own));
  if (answer) unconfirmed_.clear();
  return answer;
}

// Outside a transaction, a lost connection is made again.
Result<> PostgresConnection::check_usable() {
  if (state_ == State::kIdle) return session_->lost() ? reconnect() : Result<>();
  if (doomed_) return tl::unexpected<Error>(*doomed_);
  return {};
}

Result<> PostgresConnection::reconnect() {
  if (!away_) away_.emplace();
  auto pause = kFirstPause;
  for (;;) {
    Result<> connected = connect();
    if (connected) {
      away_.reset();
      has_mark_.reset();
      doomed_.reset();
      return {};
    }
    if (connected.error().code != Code::kUnavailable || away_->seconds() * 1000 > options_.patience_ms)
      return connected;
    std::this_thread::sleep_for(pause);
    pause = std::min(pause * 2, kLongestPause);
  }
}

// Returns the number of commands sent.
Result<int> PostgresConnection::send(const std::shared_ptr<Prepared>& prepared,
                                     std::span<Parameter> parameters) {
  int sent = 1;
  bool fits = !prepared->name.empty() && prepared->types.size() == parameters.size();
  for (size_t i = 0; fits && i < parameters.size(); ++i)
    fits = parameters[i].null || parameters[i].type == prepared->types[i];
  if (!fits) {
    prepared->types.resize(parameters.size());
    for (size_t i = 0; i < parameters.size(); ++i)
      if (!parameters[i].null) prepared->types[i] = parameters[i].type;
    if (!prepared->name.empty()) {
      TRY(session_->send(("DEALLOCATE " + prepared->name).c_str()));
      ++sent;
    }
    prepared->name = fmt::format("s{}", ++names_given_);
    unconfirmed_.push_back(prepared);
    TRY(session_->send_prepare(prepared->name, prepared->sql, prepared->types));
    ++sent;
  }
  TRY(session_->send_prepared(prepared->name, parameters));
  return sent;
}

Result<> PostgresConnection::run_statement(const std::shared_ptr<Prepared>& prepared,
                                           std::span<Parameter> parameters) {
  TRY(check_usable());
  int own = TRY(note(send(prepared, parameters)));
  if (state_ == State::kIdle) TRY(wait(own));
  return {};
}

Result<Answer> PostgresConnection::query(const std::shared_ptr<Prepared>& prepared,
                                         std::span<Parameter> parameters) {
  TRY(check_usable());
  int own = TRY(note(send(prepared, parameters)));
  return wait(own);
}

Result<> PostgresConnection::begin(TransactionMode mode) {
  may_retry_ = false;
  TRY(check_usable());
  doomed_.reset();
  session_->forget_failure();
  if (mode == TransactionMode::kWrite) return begin_write();
  state_ = State::kReading;
  Result<> begun = note(session_->send("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY"));
  if (!begun) state_ = State::kIdle;
  return begun;
}

Result<> PostgresConnection::begin_write() {
  if (!has_mark_) TRY(schema_mark());
  state_ = State::kWriting;
  token_ = random_token();
  auto begun = [&]() -> Result<> {
    TRY(note(session_->send("BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE")));
    if (!*has_mark_) {
      // Nothing is here that could be locked yet. The number means nothing.
      TRY(note(session_->send("SELECT pg_advisory_xact_lock(1416192101)")));
      TRY(wait(2));
      return {};
    }
    Parameter token = integer_parameter(token_);
    TRY(note(session_->send("UPDATE tidemill_store SET previous = token, token = $1 RETURNING previous",
                            std::span(&token, 1))));
    Answer answer = TRY(wait(2));
    if (answer.rows() != 1)
      return fail(Code::kInternal, "{}: damaged: the table tidemill_store has no row", name_);
    previous_token_ = answer.integer(0, 0);
    if (previous_token_ != last_token_) ++data_version_;
    last_token_ = previous_token_;
    return {};
  }();
  if (!begun) roll_back();
  return begun;
}

Result<> PostgresConnection::commit() {
  TRY(check_usable());
  bool writing = state_ == State::kWriting;
  state_ = State::kCommitting;
  Result<> sent = note(session_->send("COMMIT"));
  Result<Answer> answer = sent ? wait(1) : tl::unexpected<Error>(sent.error());
  if (session_->lost() && writing) return commit_of_lost_connection();
  if (answer && answer->tag() != "COMMIT")
    answer = fail(Code::kInternal, "{}: a statement of the transaction had failed; nothing was kept", name_);
  if (!answer) return tl::unexpected<Error>(std::move(answer).error());
  state_ = State::kIdle;
  if (writing) last_token_ = token_;
  return {};
}

// The server went away before it said whether it committed. The token says it, as long as nobody else has
// written since.
Result<> PostgresConnection::commit_of_lost_connection() {
  bool had_mark = has_mark_.value_or(false);
  state_ = State::kIdle;
  Error unknown{
      Code::kUnavailable,
      fmt::format("{}: the connection was lost during a commit; what was written may be there or not",
                  name_)};
  if (!had_mark || !reconnect()) return tl::unexpected<Error>(std::move(unknown));
  // Waits for the old server process, if that is still at it.
  auto stored = [&]() -> Result<int64_t> {
    TRY(session_->send("SELECT token FROM tidemill_store FOR UPDATE"));
    return TRY(wait(1)).integer(0, 0);
  }();
  if (stored && *stored == token_) {
    last_token_ = token_;
    return {};
  }
  may_retry_ = stored && *stored == previous_token_;
  if (!may_retry_) return tl::unexpected<Error>(std::move(unknown));
  return fail(Code::kUnavailable, "{}: the connection was lost; nothing of this write was kept", name_);
}

void PostgresConnection::roll_back() {
  if (state_ == State::kIdle) return;
  state_ = State::kIdle;
  if (session_->lost()) return;
  // What nobody has waited for may fail, and would then take the ROLLBACK with it. Errors end the connection
  // and with it the transaction.
  if (session_->has_unanswered() && !session_->flush()) return;
  if (session_->send("ROLLBACK")) (void)session_->flush();
  distrust_unconfirmed();
}

Result<std::optional<Answer>> PostgresConnection::first_row(std::string_view sql) {
  TRY(check_usable());
  TRY(note(session_->send(std::string(sql).c_str())));
  Answer answer = TRY(wait(1));
  if (answer.rows() == 0) return std::nullopt;
  return answer;
}

Result<Connection::SchemaMark> PostgresConnection::schema_mark() {
  auto tables = TRY(first_row(
      "SELECT current_schema(), (SELECT count(*) FROM pg_tables WHERE schemaname = current_schema()), "
      "EXISTS (SELECT 1 FROM pg_tables WHERE schemaname = current_schema() AND "
      "tablename = 'tidemill_store')"));
  if (tables->is_null(0, 0))
    return fail(Code::kInvalid, "{}: the schema in the search_path does not exist; CREATE SCHEMA makes it",
                name_);
  SchemaMark mark;
  mark.empty = tables->integer(0, 1) == 0;
  has_mark_ = tables->integer(0, 2) != 0;
  if (!*has_mark_) return mark;
  auto row = TRY(first_row("SELECT application, version FROM tidemill_store"));
  if (!row) return fail(Code::kInternal, "{}: damaged: the table tidemill_store has no row", name_);
  mark.application = row->integer(0, 0);
  mark.version = row->integer(0, 1);
  return mark;
}

Result<> PostgresConnection::set_schema_mark(int64_t application, int64_t version) {
  has_mark_.reset();
  TRY(check_usable());
  return note(session_->execute(fmt::format(
      "CREATE TABLE IF NOT EXISTS tidemill_store "
      "(application BIGINT NOT NULL, version BIGINT NOT NULL, token BIGINT NOT NULL, previous BIGINT NOT "
      "NULL);"
      "INSERT INTO tidemill_store SELECT 0, 0, 0, 0 WHERE NOT EXISTS (SELECT 1 FROM tidemill_store);"
      "UPDATE tidemill_store SET application = {}, version = {};"
      "CREATE OR REPLACE FUNCTION {}(pattern TEXT, subject TEXT) RETURNS BOOLEAN LANGUAGE SQL IMMUTABLE "
      "STRICT AS "
      "'SELECT subject ~ pattern'",
      application, version, kRegexFunction)));
}

// Searches make new texts; the few fixed ones are prepared again at their next use.
Result<> PostgresConnection::forget_statements() {
  TRY(check_usable());
  distrust_unconfirmed();
  TRY(note(session_->send("DEALLOCATE ALL")));
  if (state_ == State::kIdle) TRY(wait(1));
  for (auto& [sql, prepared] : statements_) prepared->name.clear();
  statements_.clear();
  return {};
}

}  // namespace

Result<std::unique_ptr<Connection>> open_postgres(const PostgresOptions& options) {
  auto connection = std::make_unique<PostgresConnection>(options, without_secrets(options.uri));
  TRY(connection->connect());
  return connection;
}

}  // namespace tidemill::db
