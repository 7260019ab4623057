#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vector>

#include "base/files.h"
#include "db/location.h"
#include "db/sqlite.h"
#include "db/sqlite_pages.h"
#include "test_database.h"

namespace tidemill::db {
namespace {

constexpr std::string_view kSteps[] = {
    "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, size REAL, data BLOB)",
    "ALTER TABLE t ADD COLUMN extra INTEGER"};
const Schema kSchema{.application = 4711, .steps = kSteps};

struct DbTest : testing::Test {
  TempDir folder = TempDir::create().value();
  fs::path file = folder.path() / "x.db";

  std::string uri = test::new_database(file);

  Result<std::unique_ptr<Connection>> open() { return db::open(parse_location(uri).value()); }
  std::unique_ptr<Connection> opened() {
    auto connection = open();
    EXPECT_TRUE(connection) << connection.error().message;
    EXPECT_TRUE(migrate(**connection, kSchema));
    return std::move(*connection);
  }
};

// What only files have.
struct SqliteTest : DbTest {
  Result<std::unique_ptr<Connection>> open() { return open_sqlite({.file = file, .busy_timeout_ms = 2000}); }
  std::unique_ptr<Connection> opened() {
    auto connection = open();
    EXPECT_TRUE(connection) << connection.error().message;
    EXPECT_TRUE(migrate(**connection, kSchema));
    return std::move(*connection);
  }
};

int64_t count(Connection& connection) {
  Statement statement = connection.prepare("SELECT count(*) FROM t").value();
  EXPECT_TRUE(statement.step().value());
  return statement.integer(0);
}

TEST_F(DbTest, values_come_back_as_they_were_bound) {
  auto db = opened();
  std::string bytes("a\0b", 3);
  ASSERT_TRUE(db->run("INSERT INTO t(name, size, data, extra) VALUES (?, ?, ?, ?)", "é", 1.5, Blob{bytes},
                      std::optional<int64_t>{}));
  Statement row = db->prepare("SELECT name, size, data, extra FROM t").value();
  ASSERT_TRUE(row.step().value());
  EXPECT_EQ(row.text(0), "é");
  EXPECT_EQ(row.real(1), 1.5);
  EXPECT_EQ(row.text(2), bytes);
  EXPECT_TRUE(row.is_null(3));
  EXPECT_FALSE(row.step().value());
}

TEST_F(DbTest, empty_text_is_not_null) {
  auto db = opened();
  ASSERT_TRUE(db->run("INSERT INTO t(name) VALUES (?)", std::string_view()));
  Statement row = db->prepare("SELECT name FROM t").value();
  ASSERT_TRUE(row.step().value());
  EXPECT_FALSE(row.is_null(0));
}

TEST_F(DbTest, the_same_statement_can_be_used_within_itself) {
  auto db = opened();
  ASSERT_TRUE(db->execute("INSERT INTO t(id) VALUES (1), (2), (3)"));
  Statement outer = db->prepare("SELECT id FROM t ORDER BY id").value();
  int64_t sum = 0;
  while (outer.step().value()) {
    Statement inner = db->prepare("SELECT id FROM t ORDER BY id").value();
    while (inner.step().value()) sum += outer.integer(0) * inner.integer(0);
  }
  EXPECT_EQ(sum, 36);
}

TEST_F(DbTest, a_transaction_that_is_not_committed_leaves_nothing) {
  auto db = opened();
  {
    auto transaction = Transaction::begin(*db, TransactionMode::kWrite).value();
    ASSERT_TRUE(db->run("INSERT INTO t(name) VALUES ('lost')"));
  }
  EXPECT_EQ(count(*db), 0);
  auto transaction = Transaction::begin(*db, TransactionMode::kWrite).value();
  ASSERT_TRUE(db->run("INSERT INTO t(name) VALUES ('kept')"));
  ASSERT_TRUE(transaction.commit());
  EXPECT_EQ(count(*db), 1);
}

TEST_F(DbTest, a_savepoint_fails_alone) {
  auto db = opened();
  auto transaction = Transaction::begin(*db, TransactionMode::kWrite).value();
  ASSERT_TRUE(db->run("INSERT INTO t(name) VALUES ('kept')"));
  {
    auto part = Savepoint::begin(*db).value();
    ASSERT_TRUE(db->run("INSERT INTO t(name) VALUES ('lost')"));
  }
  {
    auto part = Savepoint::begin(*db).value();
    ASSERT_TRUE(db->run("INSERT INTO t(name) VALUES ('kept too')"));
    ASSERT_TRUE(part.release());
  }
  ASSERT_TRUE(transaction.commit());
  EXPECT_EQ(count(*db), 2);
}

TEST_F(DbTest, an_insertion_returns_its_rows_id) {
  auto db = opened();
  int64_t first = db->insert("INSERT INTO t(name, size) VALUES (?, ?)", "a", 1.5).value();
  int64_t second = db->insert("INSERT INTO t(name, size) VALUES (?, ?)", "b", nullptr).value();
  EXPECT_NE(first, second);
  for (auto [id, name] : {std::pair(first, "a"), std::pair(second, "b")}) {
    Statement row = db->prepare("SELECT name FROM t WHERE id = ?").value();
    ASSERT_TRUE(row.bind(id).step().value());
    EXPECT_EQ(row.text(0), name);
  }
  ASSERT_TRUE(db->execute("CREATE UNIQUE INDEX names ON t (name)"));
  EXPECT_EQ(db->insert("INSERT INTO t(name, size) VALUES (?, ?)", "b", 1.5).error().code, Code::kConflict);
}

TEST_F(DbTest, constraint_violations_are_conflicts) {
  auto db = opened();
  ASSERT_TRUE(db->run("INSERT INTO t(id) VALUES (1)"));
  auto again = db->run("INSERT INTO t(id) VALUES (1)");
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, Code::kConflict);
}

TEST_F(DbTest, migration_goes_on_where_an_older_program_stopped) {
  {
    auto db = open().value();
    ASSERT_TRUE(migrate(*db, {.application = 4711, .steps = std::span(kSteps).first(1)}));
    ASSERT_TRUE(db->run("INSERT INTO t(name) VALUES ('old')"));
  }
  auto db = opened();
  ASSERT_TRUE(db->run("UPDATE t SET extra = 1"));
  EXPECT_EQ(count(*db), 1);
}

TEST_F(DbTest, a_database_of_a_newer_program_is_refused_by_name) {
  opened();
  auto db = open().value();
  auto old = migrate(*db, {.application = 4711, .steps = std::span(kSteps).first(1)});
  ASSERT_FALSE(old);
  EXPECT_EQ(old.error().code, Code::kConflict);
  EXPECT_NE(old.error().message.find(parse_location(uri)->name()), std::string::npos);
  EXPECT_NE(old.error().message.find("newer"), std::string::npos);
}

TEST_F(DbTest, a_database_of_another_program_is_refused) {
  ASSERT_TRUE(open().value()->execute("CREATE TABLE theirs (id INTEGER)"));
  auto db = open().value();
  auto result = migrate(*db, kSchema);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Code::kInvalid);
}

TEST_F(DbTest, a_failing_migration_changes_nothing) {
  constexpr std::string_view kBad[] = {"CREATE TABLE a (x INTEGER)", "CREATE TABLE a (x INTEGER)"};
  auto db = open().value();
  ASSERT_FALSE(migrate(*db, {.application = 4711, .steps = kBad}));
  EXPECT_TRUE(db->schema_mark().value().empty);
}

TEST_F(SqliteTest, a_file_that_is_made_of_bytes_never_takes_anothers_place) {
  opened();
  std::string bytes = read_file(file).value();
  fs::path copy = folder.path() / "copy.db";
  constexpr int kProcesses = 8;
  for (int i = 0; i < kProcesses; ++i) {
    if (::fork() != 0) continue;
    (void)create_file_atomic(copy, bytes);
    auto made = open_sqlite({.file = copy});
    ::_exit(made && (*made)->run("INSERT INTO t(name) VALUES ('x')") ? 0 : 1);
  }
  for (int i = 0; i < kProcesses; ++i) {
    int status = 0;
    ::wait(&status);
    EXPECT_EQ(status, 0);
  }
  EXPECT_EQ(create_file_atomic(copy, bytes).error().code, Code::kConflict);
  auto db = open_sqlite({.file = copy}).value();
  EXPECT_EQ(count(*db), kProcesses);
  EXPECT_EQ(migrate(*db, kSchema)->from, 2);
  for (const auto& left : fs::directory_iterator(folder.path()))
    EXPECT_NE(left.path().extension(), ".tmp") << left.path();
}

TEST_F(SqliteTest, an_older_file_is_kept_before_it_is_migrated) {
  {
    auto db = open().value();
    ASSERT_EQ(migrate(*db, {.application = 4711, .steps = std::span(kSteps).first(1)})->backup, "");
    ASSERT_TRUE(db->run("INSERT INTO t(name) VALUES ('old')"));
  }
  auto db = open().value();
  Migration migration = migrate(*db, kSchema).value();
  EXPECT_EQ(migration.from, 1);
  EXPECT_EQ(migration.to, 2);
  EXPECT_EQ(migration.backup, file.string() + ".schema-1.backup");
  ASSERT_TRUE(db->run("DELETE FROM t"));
  auto kept = open_sqlite({.file = migration.backup}).value();
  EXPECT_EQ(kept->schema_mark()->version, 1);
  EXPECT_EQ(kept->schema_mark()->application, 4711);
  EXPECT_EQ(count(*kept), 1);
}

TEST_F(SqliteTest, no_backup_no_migration) {
  {
    auto db = open().value();
    ASSERT_TRUE(migrate(*db, {.application = 4711, .steps = std::span(kSteps).first(1)}));
  }
  // Something stands where the copy would go.
  ASSERT_TRUE(make_dirs(file.string() + ".schema-1.backup/x"));
  auto db = open().value();
  EXPECT_FALSE(migrate(*db, kSchema));
  EXPECT_EQ(db->schema_mark()->version, 1);
}

TEST_F(SqliteTest, a_file_that_is_no_database_is_refused_by_name) {
  ASSERT_TRUE(write_file_atomic(file, std::string(8192, 'x'), Durable::no));
  auto db = open();
  ASSERT_FALSE(db);
  EXPECT_EQ(db.error().code, Code::kInternal);
  EXPECT_NE(db.error().message.find("x.db"), std::string::npos);
  EXPECT_EQ(fs::file_size(file), 8192u);
}

TEST_F(SqliteTest, a_folder_that_does_not_exist_is_named) {
  auto db = open_sqlite({.file = folder.path() / "none" / "x.db"});
  ASSERT_FALSE(db);
  EXPECT_EQ(db.error().code, Code::kDenied);
  EXPECT_NE(db.error().message.find("none/x.db"), std::string::npos);
}

TEST_F(DbTest, another_connections_commit_changes_the_data_version) {
  auto a = opened();
  auto b = opened();
  // Commits, and returns the version that it saw.
  auto write = [](Connection& connection) {
    auto transaction = Transaction::begin(connection, TransactionMode::kWrite).value();
    int64_t version = connection.data_version().value();
    EXPECT_TRUE(connection.run("INSERT INTO t(name) VALUES ('row')"));
    EXPECT_TRUE(transaction.commit());
    return version;
  };
  int64_t before = write(*a);
  EXPECT_EQ(write(*a), before);
  write(*b);
  int64_t after = write(*a);
  EXPECT_NE(after, before);
  EXPECT_EQ(write(*a), after);
}

TEST_F(DbTest, two_processes_write_one_file) {
  opened();
  constexpr int kRows = 100;
  pid_t child = fork();
  ASSERT_GE(child, 0);
  auto insert = [&] {
    auto db = open();
    if (!db) return 1;
    for (int i = 0; i < kRows; ++i) {
      auto transaction = Transaction::begin(**db, TransactionMode::kWrite);
      if (!transaction || !(*db)->run("INSERT INTO t(name) VALUES ('row')") || !transaction->commit())
        return 1;
    }
    return 0;
  };
  if (child == 0) _exit(insert());
  EXPECT_EQ(insert(), 0);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(count(*opened()), 2 * kRows);
}

// A small file system of its own, where the tests may mount one.
struct SmallDisk {
  fs::path path;
  bool mounted;
  SmallDisk(const fs::path& at, const char* size) : path(at) {
    fs::create_directory(at);
    mounted = ::mount("tmpfs", at.c_str(), "tmpfs", 0, size) == 0;
  }
  ~SmallDisk() {
    if (mounted) ::umount2(path.c_str(), MNT_DETACH);
  }
};

TEST_F(SqliteTest, a_full_disk_is_named_and_keeps_what_was_committed) {
  SmallDisk disk(folder.path() / "small", "size=512k");
  if (!disk.mounted) GTEST_SKIP() << "mounting a small tmpfs needs root";
  file = disk.path / "x.db";
  auto db = opened();
  std::string payload(2000, 'p');
  Result<> result;
  int64_t written = 0;
  while ((result = db->run("INSERT INTO t(data) VALUES (?)", Blob{payload})) && written < 10'000) ++written;
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Code::kUnavailable) << result.error().message;
  EXPECT_NE(result.error().message.find("x.db"), std::string::npos);
  EXPECT_EQ(count(*db), written);
}

TEST_F(SqliteTest, a_log_in_use_has_space_ahead_and_loses_nothing_when_its_writer_dies) {
  fs::path log = file.string() + "-wal";
  auto db = opened();
  auto other = opened();
  std::string bytes(16 << 10, 'x');
  auto insert = [&](Connection& connection) {
    auto transaction = Transaction::begin(connection, TransactionMode::kWrite).value();
    ASSERT_TRUE(connection.run("INSERT INTO t(data) VALUES (?)", Blob{bytes}));
    ASSERT_TRUE(transaction.commit());
  };
  insert(*db);
  EXPECT_LT(fs::file_size(log), 100u << 10) << "who writes little takes little";
  // Past a step, and past the point where the log is copied into the file and begun anew.
  size_t growths = 0;
  for (int i = 1; i < 1200; ++i) {
    size_t before = fs::file_size(log);
    insert(i % 3 ? *db : *other);
    if (fs::file_size(log) > before) ++growths;
  }
  EXPECT_LT(growths, 60u);
  fs::path copy = folder.path() / "copy.db";
  fs::copy_file(file, copy);
  fs::copy_file(log, copy.string() + "-wal");
  auto survivor = open_sqlite({.file = copy}).value();
  EXPECT_EQ(count(*survivor), 1200);
  Statement check = survivor->prepare("PRAGMA integrity_check").value();
  ASSERT_TRUE(check.step().value());
  EXPECT_EQ(check.text(0), "ok");
}

TEST(SqlitePages, only_pages_behind_the_files_end_are_forgotten) {
  sqlite3_shutdown();  // what is configured can be asked for only then
  use_sparing_page_cache();
  sqlite3_pcache_methods2 pages{};
  ASSERT_EQ(sqlite3_config(SQLITE_CONFIG_GETPCACHE2, &pages), SQLITE_OK);
  ASSERT_EQ(sqlite3_initialize(), SQLITE_OK);
  sqlite3_pcache* cache = pages.xCreate(4096, 100, 1);
  pages.xCachesize(cache, 1000);
  constexpr unsigned kFar = 262'145;
  std::vector<sqlite3_pcache_page*> page(11);
  for (unsigned number = 1; number <= 10; ++number) page[number] = pages.xFetch(cache, number, 2);
  auto is_there = [&](unsigned number) { return pages.xFetch(cache, number, 0) != nullptr; };
  // Two change places by way of a far one.
  pages.xRekey(cache, page[3], 3, kFar);
  pages.xRekey(cache, page[4], 4, 3);
  pages.xRekey(cache, page[3], kFar, 4);
  for (unsigned number = 1; number <= 10; ++number) pages.xUnpin(cache, page[number], 0);
  pages.xTruncate(cache, 11);
  EXPECT_EQ(pages.xPagecount(cache), 10);
  EXPECT_EQ(pages.xFetch(cache, 3, 0), page[4]);
  pages.xTruncate(cache, 8);
  EXPECT_EQ(pages.xPagecount(cache), 7);
  EXPECT_FALSE(is_there(8));
  // One stays far away, and one comes back behind the end.
  pages.xRekey(cache, pages.xFetch(cache, 7, 0), 7, kFar);
  pages.xTruncate(cache, 8);
  EXPECT_FALSE(is_there(kFar));
  pages.xFetch(cache, 9, 2);
  pages.xTruncate(cache, 8);
  EXPECT_FALSE(is_there(9));
  EXPECT_TRUE(is_there(6));
  EXPECT_EQ(pages.xPagecount(cache), 6);
  pages.xDestroy(cache);
}

TEST_F(SqliteTest, a_read_only_file_system_is_refused_by_name) {
  SmallDisk disk(folder.path() / "small", "size=1m");
  if (!disk.mounted) GTEST_SKIP() << "mounting a small tmpfs needs root";
  file = disk.path / "x.db";
  opened();
  ASSERT_EQ(::mount("tmpfs", disk.path.c_str(), "tmpfs", MS_REMOUNT | MS_RDONLY, nullptr), 0);
  auto db = open();
  ASSERT_FALSE(db);
  EXPECT_EQ(db.error().code, Code::kDenied) << db.error().message;
  EXPECT_NE(db.error().message.find("x.db"), std::string::npos);
}

}  // namespace
}  // namespace tidemill::db
