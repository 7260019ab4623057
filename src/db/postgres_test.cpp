// What only a server has: connections that are lost, passwords, databases that are not there.
#include "db/postgres.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "db/location.h"
#include "db/postgres_dialect.h"
#include "postgres_server.h"
#include "test_database.h"

namespace tidemill::db {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr std::string_view kSteps[] = {"CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)"};
const Schema kSchema{.application = 4711, .steps = kSteps};

struct PostgresTest : testing::Test {
  void SetUp() override {
    if (!test::on_postgres()) GTEST_SKIP() << "runs with TIDEMILL_TEST_DATABASE=postgres";
    server = test::PostgresServer::shared().value();
    uri = server->new_database().value();
  }
  std::unique_ptr<Connection> opened() {
    auto connection = open_postgres({.uri = uri});
    EXPECT_TRUE(connection) << connection.error().message;
    EXPECT_TRUE(migrate(**connection, kSchema));
    return std::move(*connection);
  }
  // Ends all connections but the one that says so, as a broken network does.
  void drop_connections() {
    EXPECT_TRUE(server->sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tidemill'"));
  }
  static int64_t count(Connection& connection) {
    Statement statement = connection.prepare("SELECT count(*) FROM t").value();
    EXPECT_TRUE(statement.step().value());
    return statement.integer(0);
  }

  test::PostgresServer* server = nullptr;
  std::string uri;
};

TEST_F(PostgresTest, a_connection_lost_before_the_commit_leaves_nothing_and_may_be_retried) {
  auto db = opened();
  {
    auto transaction = Transaction::begin(*db, TransactionMode::kWrite).value();
    ASSERT_TRUE(db->run("INSERT INTO t (name) VALUES ('lost')"));
    drop_connections();
    auto read = db->prepare("SELECT 1").value().step();
    ASSERT_FALSE(read);
    EXPECT_EQ(read.error().code, Code::kUnavailable) << read.error().message;
    EXPECT_TRUE(db->may_retry());
    EXPECT_FALSE(transaction.commit());
  }
  auto transaction = Transaction::begin(*db, TransactionMode::kWrite).value();
  EXPECT_FALSE(db->may_retry());
  EXPECT_EQ(count(*db), 0);
  ASSERT_TRUE(db->run("INSERT INTO t (name) VALUES ('kept')"));
  ASSERT_TRUE(transaction.commit());
  EXPECT_EQ(count(*db), 1);
}

TEST_F(PostgresTest, a_server_that_dies_while_it_commits_is_asked_whether_it_did) {
  auto db = opened();
  // Ends its own server process while the transaction commits.
  ASSERT_TRUE(
      db->execute("CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS "
                  "'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END'"));
  ASSERT_TRUE(
      db->execute("CREATE CONSTRAINT TRIGGER die AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED "
                  "FOR EACH ROW EXECUTE FUNCTION die()"));
  auto transaction = Transaction::begin(*db, TransactionMode::kWrite).value();
  ASSERT_TRUE(db->run("INSERT INTO t (name) VALUES ('lost')"));
  auto committed = transaction.commit();
  ASSERT_FALSE(committed);
  EXPECT_THAT(committed.error().message, HasSubstr("nothing of this write was kept"));
  EXPECT_TRUE(db->may_retry());
}

TEST_F(PostgresTest, an_error_that_nobody_waited_for_fails_the_transaction) {
  auto db = opened();
  ASSERT_TRUE(db->run("INSERT INTO t (name) VALUES ('a')"));
  auto transaction = Transaction::begin(*db, TransactionMode::kWrite).value();
  {
    auto part = Savepoint::begin(*db).value();
    ASSERT_TRUE(db->run("INSERT INTO t (name) VALUES ('a')"));
    ASSERT_TRUE(part.release());
  }
  auto committed = transaction.commit();
  ASSERT_FALSE(committed);
  EXPECT_EQ(committed.error().code, Code::kConflict) << committed.error().message;
  EXPECT_FALSE(db->may_retry());
}

TEST_F(PostgresTest, a_wrong_password_is_denied_and_never_shown) {
  auto right = open_postgres({.uri = server->uri("postgres", "guarded", "s3cret/pass@word")});
  EXPECT_TRUE(right) << right.error().message;
  auto wrong = open_postgres({.uri = server->uri("postgres", "guarded", "wr0ng/pass@word")});
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().code, Code::kDenied) << wrong.error().message;
  EXPECT_THAT(wrong.error().message, HasSubstr("PGPASSWORD"));
  EXPECT_THAT(wrong.error().message, Not(HasSubstr("wr0ng")));
  auto none = open_postgres({.uri = server->uri("postgres", "guarded")});
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, Code::kDenied) << none.error().message;
}

TEST_F(PostgresTest, a_database_that_does_not_exist_is_named) {
  auto missing = open_postgres({.uri = server->uri("nowhere")});
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, Code::kNotFound);
  EXPECT_THAT(missing.error().message, HasSubstr("nowhere"));
  EXPECT_THAT(missing.error().message, HasSubstr("createdb"));
}

TEST_F(PostgresTest, a_server_that_is_not_there_is_unavailable) {
  auto away = open_postgres({.uri = "postgresql://me:s3cret@/db?host=/nonexistent"});
  ASSERT_FALSE(away);
  EXPECT_EQ(away.error().code, Code::kUnavailable) << away.error().message;
  EXPECT_THAT(away.error().message, Not(HasSubstr("s3cret")));
}

TEST_F(PostgresTest, text_with_nul_is_refused) {
  auto db = opened();
  auto result = db->run("INSERT INTO t (name) VALUES (?)", std::string("a\0b", 3));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Code::kInvalid);
}

TEST(Location, is_read_in_all_spellings) {
  EXPECT_EQ(parse_location("a/b.db")->file, "a/b.db");
  EXPECT_EQ(parse_location("sqlite:///a/b.db")->file, "a/b.db");
  EXPECT_EQ(parse_location("sqlite:////a/b.db")->file, "/a/b.db");
  for (const char* scheme : {"postgresql", "postgres", "postgresql+psycopg2"})
    EXPECT_EQ(parse_location(fmt::format("{}://u:p@h/d", scheme))->uri, "postgresql://u:p@h/d");
  EXPECT_EQ(parse_location("mysql://u:p@h/d").error().code, Code::kInvalid);
  EXPECT_THAT(parse_location("mysql://u:s3cret@h/d").error().message, Not(HasSubstr("s3cret")));
  EXPECT_FALSE(parse_location("sqlite:///:memory:"));
}

TEST(Location, secrets_are_cut_out) {
  EXPECT_EQ(without_secrets("postgresql://u:p@h:5432/d?sslmode=require"),
            "postgresql://u@h:5432/d?sslmode=require");
  EXPECT_EQ(without_secrets("postgresql://u:p@ss/w?rd=@h/d"), "postgresql://u@h/d");
  EXPECT_EQ(without_secrets("postgresql://u@h/d?password=p&x=1"), "postgresql://u@h/d?&x=1");
  EXPECT_EQ(without_secrets("postgresql://h:5432/d"), "postgresql://h:5432/d");
  EXPECT_EQ(without_secrets("a:b@c"), "a:b@c");
}

TEST(PostgresDialect, translates_parameters_and_types_but_no_texts) {
  EXPECT_EQ(to_postgres("SELECT '?' FROM t WHERE a = ? AND b LIKE ? -- ?\n"),
            "SELECT '?' FROM t WHERE a = $1 AND b LIKE $2 ESCAPE '' -- ?\n");
  EXPECT_EQ(to_postgres("SELECT lower(?) WHERE (lower(a) LIKE lower(?)) AND b = ?"),
            "SELECT lower($1) WHERE (lower(a) LIKE lower($2) ESCAPE '') AND b = $3");
  EXPECT_EQ(
      to_postgres("CREATE TABLE t (id INTEGER PRIMARY KEY, r REAL, b BLOB, x TEXT NOT NULL) WITHOUT ROWID;"),
      "CREATE TABLE t (id BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, r DOUBLE PRECISION, "
      "b BYTEA, x TEXT COLLATE \"C\" NOT NULL) ;");
  EXPECT_EQ(to_postgres("SELECT CAST(a AS TEXT) FROM real"), "SELECT CAST(a AS TEXT) FROM real");
}

}  // namespace
}  // namespace tidemill::db
