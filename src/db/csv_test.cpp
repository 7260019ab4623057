// Rows of somebody's database as CSV.
#include "db/csv.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "test_database.h"

namespace tidemill::db {
namespace {

class Csv : public testing::Test {
 protected:
  void SetUp() override {
    location_ = parse_location(test::new_database(dir_.path() / "app.db")).value();
    auto connection = open(location_);
    ASSERT_TRUE(connection) << connection.error().message;
    ASSERT_TRUE((*connection)
                    ->execute("CREATE TABLE t (n INTEGER, x DOUBLE PRECISION, s TEXT);"
                              "INSERT INTO t VALUES (1, 0.1, 'plain'), (2, -2.5e-12, 'a \"b\", c'), (NULL, "
                              "NULL, NULL), (4, 1, '')"));
  }
  Result<std::string> rows_of(const std::string& query) {
    TRY(write_csv(location_, query, dir_.path() / "rows.csv"));
    return read_file(dir_.path() / "rows.csv");
  }
  Code failure_of(const std::string& query) {
    auto rows = rows_of(query);
    EXPECT_FALSE(rows) << query;
    return rows ? Code::kInternal : rows.error().code;
  }

  TempDir dir_ = TempDir::create().value();
  Location location_;
};

TEST_F(Csv, HasNamesAndEveryValueInFull) {
  auto rows = rows_of("SELECT n, x, s AS \"a text\" FROM t ORDER BY n IS NULL, n;\n");
  ASSERT_TRUE(rows) << rows.error().message;
  EXPECT_EQ(*rows, "n,x,a text\n1,0.1,plain\n2,-2.5e-12,\"a \"\"b\"\", c\"\n4,1,\"\"\n,,\n");
  EXPECT_EQ(rows_of("SELECT n FROM t WHERE n > 9").value(), "n\n");
}

TEST_F(Csv, OnlyOneQueryThatReadsIsAnswered) {
  EXPECT_EQ(failure_of("SELECT missing FROM t"), Code::kInvalid);
  EXPECT_EQ(failure_of("SELECT n FROM t; SELECT x FROM t"), Code::kInvalid);
  EXPECT_EQ(failure_of(""), Code::kInvalid);
  EXPECT_EQ(failure_of("DELETE FROM t"), Code::kInvalid);
  EXPECT_EQ(failure_of("DELETE FROM t RETURNING n"), Code::kDenied);
  EXPECT_EQ(rows_of("SELECT count(*) AS c FROM t").value(), "c\n4\n");
}

TEST_F(Csv, ADatabaseThatIsNotThereIsNotMade) {
  Location absent{.kind = Location::Kind::kSqlite, .file = dir_.path() / "absent.db", .uri = {}};
  auto written = write_csv(absent, "SELECT 1", dir_.path() / "rows.csv");
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, Code::kNotFound);
  EXPECT_FALSE(fs::exists(absent.file));
}

}  // namespace
}  // namespace tidemill::db
