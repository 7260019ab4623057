#include "base/json.h"
#include "cli/commands.h"
#include "db/database.h"
#include "tracking/schema.h"

#include <CLI/CLI.hpp>

namespace tidemill::cli {
namespace {

Result<int> upgrade(const Context& context) {
  db::Location location = TRY(context.location());
  std::error_code ignored;
  bool is_file = location.kind == db::Location::Kind::kSqlite;
  if (is_file && !fs::exists(location.file, ignored))
    return fail(Code::kNotFound, "there is no store {}", location.name());
  auto connection = TRY(db::open(location));
  db::Migration migration = TRY(db::migrate(*connection, tracking::store_schema()));
  if (context.json) {
    Json json{{"store", location.name()},
              {"from", migration.from},
              {"to", migration.to},
              {"backup", migration.backup}};
    TRY(print(dump_json(json, 2) + "\n"));
  } else if (migration.from == migration.to) {
    TRY(print(fmt::format("{}: schema {} is the newest\n", location.name(), migration.to)));
  } else {
    TRY(print(fmt::format("{}: schema {} became {}\n", location.name(), migration.from, migration.to)));
    if (!migration.backup.empty()) TRY(print(fmt::format("as it was before: {}\n", migration.backup)));
    if (!is_file) fmt::print(stderr, "no backup was made: a server's databases are kept with pg_dump\n");
  }
  return 0;
}

}  // namespace

void add_db(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("db", "The store's database");
  command->require_subcommand(1);
  CLI::App* up = command->add_subcommand("upgrade", "Bring a store to the newest schema");
  up->add_option("URI", context.store, "The store, as for --store");
  add_common_options(*up, context);
  up->footer(
      "Every command does this when it opens an older store. A store in a file is copied beforehand, to\n"
      "FILE.schema-VERSION.backup; of one in PostgreSQL take a backup with pg_dump. There is no way back: a "
      "program\n"
      "older than its store refuses to open it.\n"
      "Example: tidemill db upgrade /data/tidemill.db");
  up->callback([&context] { context.action = [&context] { return upgrade(context); }; });
}

}  // namespace tidemill::cli
