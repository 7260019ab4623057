// A PostgreSQL of its own for tests that are no C++ programs: prints the URI of a new database, ends when its
// standard input does, with 77 where there is no PostgreSQL.
#include <cstdio>

#include "postgres_server.h"

using namespace tidemill;

static Result<> serve() {
  auto* server = TRY(test::PostgresServer::shared());
  std::puts(TRY(server->new_database()).c_str());
  std::fflush(stdout);
  while (std::getchar() != EOF) {
  }
  return {};
}

int main() {
  auto installed = test::PostgresServer::check_installed();
  auto served = installed ? serve() : installed;
  if (served) return 0;
  std::fprintf(stderr, "%s\n", served.error().message.c_str());
  return installed ? 1 : 77;
}
