// A PostgreSQL server of a test program's own: Debian's postgresql-15 on a fresh cluster in a temporary
// folder, reached through a socket there. Runs as an unprivileged user where the
// tests run as root, which PostgreSQL refuses. Ends with the program.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>

#include "base/files.h"
#include "base/result.h"

namespace tidemill::test {

class PostgresServer {
 public:
  // kUnavailable with the reason when there is none to be started.
  static Result<> check_installed();
  // One for the whole program, started at the first call.
  static Result<PostgresServer*> shared();
  // With flushes, as in production, for tests that crash it; the shared one has none.
  static Result<std::unique_ptr<PostgresServer>> start(Durable durable = Durable::yes);
  ~PostgresServer();
  PostgresServer(const PostgresServer&) = delete;

  // The URI of a new, empty database: a schema, which costs a tenth of a CREATE DATABASE.
  Result<std::string> new_database();
  // postgresql://user@/database through the server's socket. "tidemill" may do anything without a password,
  // "guarded" needs the password "s3cret/pass@word".
  std::string uri(const std::string& database, const std::string& user = "tidemill",
                  const std::string& password = "") const;
  // One statement, as the superuser.
  Result<> sql(const std::string& statement, const std::string& database = "postgres");

  void kill();        // SIGKILL: a crash
  void stop();        // as an administrator does, connections are ended
  Result<> resume();  // after stop() or kill()

 private:
  PostgresServer(TempDir folder, Durable durable) : folder_(std::move(folder)), durable_(durable) {}
  Result<> initialise();

  TempDir folder_;
  Durable durable_;
  pid_t pid_ = -1;
  int databases_ = 0;
};

}  // namespace tidemill::test
