// A tracking endpoint on a free port over a new store in argv[1], for tests that bring their own client; with
// TIDEMILL_TEST_DATABASE=postgres the store is in a PostgreSQL of its own. Prints its URL; ends when its
// standard input does.
#include <cstdio>

#include "api/endpoint.h"
#include "postgres_server.h"
#include "test_database.h"
#include "tracking/store.h"

using namespace tidemill;

static Result<> serve(const fs::path& folder) {
  auto store = TRY(tracking::Store::open(
      {.uri = test::new_database(folder / "tidemill.db"), .default_artifact_root = "mlflow-artifacts:"}));
  api::EndpointOptions options;
  options.artifacts_destination = (folder / "artifacts").string();
  auto endpoint = TRY(api::Endpoint::start(store, options));
  std::puts(endpoint.url().c_str());
  std::fflush(stdout);
  while (std::getchar() != EOF) {
  }
  endpoint.stop(std::chrono::milliseconds(2000));
  return {};
}

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  if (auto installed = test::PostgresServer::check_installed(); test::on_postgres() && !installed) {
    std::fprintf(stderr, "%s\n", installed.error().message.c_str());
    return 77;
  }
  if (auto served = serve(argv[1]); !served) {
    std::fprintf(stderr, "%s\n", served.error().message.c_str());
    return 1;
  }
  return 0;
}
