#include "test_database.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "postgres_server.h"

namespace tidemill::test {

bool on_postgres() {
  const char* database = std::getenv("TIDEMILL_TEST_DATABASE");
  return database && std::string_view(database) == "postgres";
}

std::string new_database(const fs::path& file) {
  if (!on_postgres()) return file;
  return PostgresServer::shared().value()->new_database().value();
}

namespace {

struct Installed : testing::Environment {
  void SetUp() override {
    if (!on_postgres()) return;
    if (auto installed = PostgresServer::check_installed(); !installed)
      GTEST_SKIP() << installed.error().message;
  }
};

const testing::Environment* const kInstalled =
    testing::AddGlobalTestEnvironment(std::make_unique<Installed>().release());

}  // namespace
}  // namespace tidemill::test
