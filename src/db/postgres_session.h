// One connection to a PostgreSQL server, in libpq's pipeline mode: commands are sent without waiting for
// their answers, wait() brings all of them. Knows the wire, not transactions. Source:
// https://www.postgresql.org/docs/15/libpq-pipeline-mode.html
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "db/libpq.h"

namespace tidemill::db {

// A parameter in PostgreSQL's binary format.
struct Parameter {
  Oid type = 0;  // 0: NULL so far, of whatever type the statement wants
  bool null = true;
  char fixed[8] = {};      // numbers, high byte first
  std::string_view bytes;  // text and blobs, not copied
  bool is_fixed = false;
};
Parameter integer_parameter(int64_t value);
Parameter real_parameter(double value);
Parameter text_parameter(std::string_view text);
Parameter blob_parameter(std::string_view bytes);

// The answer to a command: all rows, in binary.
class Answer {
 public:
  Answer(const Libpq& libpq, PGresult* result) : libpq_(&libpq), result_(result, Free{&libpq}) {}

  int rows() const { return libpq_->PQntuples(result_.get()); }
  bool is_null(int row, int column) const { return libpq_->PQgetisnull(result_.get(), row, column) == 1; }
  // Booleans are 0 and 1; sums of integers (numeric) are rounded towards zero.
  int64_t integer(int row, int column) const;
  double real(int row, int column) const;
  std::string_view bytes(int row, int column) const {
    return {libpq_->PQgetvalue(result_.get(), row, column),
            static_cast<size_t>(libpq_->PQgetlength(result_.get(), row, column))};
  }
  // "COMMIT", "INSERT 0 1"
  std::string_view tag() const { return libpq_->PQcmdStatus(result_.get()); }
  // Rows that an INSERT, UPDATE or DELETE has changed, -1 for other commands.
  int64_t changed() const;

 private:
  friend class Session;
  struct Free {
    const Libpq* libpq;
    void operator()(PGresult* result) const { libpq->PQclear(result); }
  };
  const Libpq* libpq_;
  std::unique_ptr<PGresult, Free> result_;
};

class Session {
 public:
  // name stands before every message. kUnavailable when the server is away or full, kDenied when it does not
  // let us in, kNotFound when the database does not exist, kInvalid when the URI is none.
  static Result<Session> connect(const std::string& uri, std::string_view name);

  // Runs a script, outside the pipeline.
  Result<> execute(const std::string& script);

  // Runs a COPY ... TO STDOUT, outside the pipeline; take gets its lines one after the other.
  Result<> copy_out(const std::string& command, const std::function<Result<>(std::string_view)>& take);

  Result<> send(const char* command, std::span<const Parameter> parameters = {});
  Result<> send_prepare(const std::string& statement, const std::string& sql, const std::vector<Oid>& types);
  Result<> send_prepared(const std::string& statement, std::span<const Parameter> parameters);

  // Sends what is buffered and lets the server answer; the answers are read by the next wait().
  Result<> flush();
  // Waits for all answers and returns the last one. An error of the `own` last commands is this call's own;
  // an error of one before them makes failed_early() true: the transaction it belongs to cannot be saved any
  // more.
  Result<Answer> wait(int own = 1);
  bool has_unanswered() const { return unanswered_ > 0; }
  bool failed_early() const { return failed_early_; }
  void forget_failure() { failed_early_ = false; }
  // Of the last answered INSERT, UPDATE or DELETE.
  int64_t changed() const { return changed_; }
  // The connection is gone: nothing works any more.
  bool lost() const { return lost_; }

 private:
  struct Close {
    const Libpq* libpq;
    void operator()(PGconn* connection) const { libpq->PQfinish(connection); }
  };
  using Handle = std::unique_ptr<PGconn, Close>;
  enum class Sent : uint8_t { kCommand, kSync };

  Session(const Libpq& libpq, Handle handle, std::string_view name)
      : libpq_(&libpq), handle_(std::move(handle)), name_(name) {}
  Result<> prepare_session();
  Result<> check_sent(int sent);
  Result<> sync();
  Result<Answer> next_answer();
  Result<> read_sync();
  Error error_of(const PGresult* result);
  Error error_of_connection();

  const Libpq* libpq_;
  Handle handle_;
  std::string name_;
  std::deque<Sent> sent_;
  size_t unanswered_ = 0;  // commands after the last sync
  bool failed_early_ = false;
  bool lost_ = false;
  int64_t changed_ = 0;
};

}  // namespace tidemill::db
