#include "db/database.h"

namespace tidemill::db {

Result<Transaction> Transaction::begin(Connection& connection, TransactionMode mode) {
  TRY(connection.begin(mode));
  return Transaction(connection);
}

Transaction::~Transaction() {
  if (connection_) connection_->roll_back();
}

Result<> Transaction::commit() {
  TRY(connection_->commit());
  connection_ = nullptr;
  return {};
}

Result<Savepoint> Savepoint::begin(Connection& connection) {
  TRY(connection.run("SAVEPOINT part"));
  return Savepoint(connection);
}

Savepoint::~Savepoint() {
  if (!connection_) return;
  (void)connection_->run("ROLLBACK TO part");
  (void)connection_->run("RELEASE part");
}

Result<> Savepoint::release() {
  TRY(connection_->run("RELEASE part"));
  connection_ = nullptr;
  return {};
}

static Result<bool> is_current(Connection& connection, const Schema& schema) {
  auto mark = TRY(connection.schema_mark());
  auto newest = static_cast<int64_t>(schema.steps.size());
  if (mark.empty && mark.version == 0) return false;
  if (mark.application != schema.application)
    return fail(Code::kInvalid,
                "{}: a database of another program; give the path of a Tidemill store or of a new file",
                connection.name());
  if (mark.version > newest)
    return fail(Code::kConflict,
                "{}: written by a newer Tidemill (schema {}, this program knows {}); update this program",
                connection.name(), mark.version, newest);
  return mark.version == newest;
}

Result<Migration> migrate(Connection& connection, const Schema& schema) {
  Migration migration;
  migration.from = migration.to = static_cast<int64_t>(schema.steps.size());
  if (TRY(is_current(connection, schema))) return migration;
  Transaction transaction = TRY(Transaction::begin(connection, TransactionMode::kWrite));
  if (TRY(is_current(connection, schema))) return migration;  // another process was first
  auto mark = TRY(connection.schema_mark());
  migration.from = mark.version;
  if (mark.version > 0) migration.backup = TRY(connection.back_up(mark.version));
  for (int64_t version = mark.version; version < migration.to; ++version) {
    TRY(connection.execute(std::string(schema.steps[static_cast<size_t>(version)])));
    for (const DataStep& step : schema.data_steps)
      if (step.version == version + 1) TRY(step.fill(connection));
  }
  TRY(connection.set_schema_mark(schema.application, static_cast<int64_t>(schema.steps.size())));
  TRY(transaction.commit());
  return migration;
}

}  // namespace tidemill::db
