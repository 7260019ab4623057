// Commands that look after a store: db upgrade, doctor, import and export.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.h"
#include "db/location.h"
#include "sys/process.h"
#include "tracking/logged_models.h"
#include "tracking/schema.h"
#include "tracking/store.h"

namespace tidemill {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

class StoreCommands : public testing::Test {
 protected:
  fs::path path(std::string_view name) const { return dir_.path() / name; }
  Captured tidemill(std::vector<std::string> words) const {
    words.insert(words.begin(), TIDEMILL_BINARY_DIR "/bin/tidemill");
    words.insert(words.end(), {"--store", path("t.db").string()});
    return run_command(words, 120s).value();
  }
  // A store as a program of this schema made it.
  void make_store(size_t schema) const {
    auto connection = db::open({.file = path("t.db")}).value();
    const db::Schema& whole = tracking::store_schema();
    ASSERT_TRUE(
        db::migrate(*connection, {.application = whole.application, .steps = whole.steps.first(schema)}));
  }
  std::map<std::string, std::string> levels(const std::string& json) const {
    std::map<std::string, std::string> found;
    Json findings = parse_json(json).value_or(Json::array());
    for (const Json& finding : findings)
      found[json_string(finding, "subject")] = json_string(finding, "level");
    return found;
  }

  TempDir dir_ = TempDir::create().value();
};

TEST_F(StoreCommands, AnOldStoreIsUpgradedAfterABackup) {
  make_store(3);
  EXPECT_EQ(levels(tidemill({"doctor", "--json"}).output)["store"], "warning");
  Captured upgraded = tidemill({"db", "upgrade", "--json"});
  EXPECT_EQ(upgraded.exit.status, 0) << upgraded.errors;
  Json json = parse_json(upgraded.output).value();
  EXPECT_EQ(json["from"], 3);
  EXPECT_EQ(json["to"], tracking::store_schema().steps.size());
  EXPECT_TRUE(fs::exists(json_string(json, "backup")));
  EXPECT_THAT(tidemill({"db", "upgrade"}).output, HasSubstr("is the newest"));
  EXPECT_EQ(levels(tidemill({"doctor", "--json"}).output)["store"], "ok");
}

TEST_F(StoreCommands, ThereIsNoWayBack) {
  make_store(tracking::store_schema().steps.size());
  {
    auto connection = db::open({.file = path("t.db")}).value();
    ASSERT_TRUE(connection->set_schema_mark(tracking::store_schema().application, 999));
  }
  Captured refused = tidemill({"db", "upgrade"});
  EXPECT_EQ(refused.exit.status, 1);
  EXPECT_THAT(refused.errors, HasSubstr("written by a newer Tidemill (schema 999"));
  Captured doctor = tidemill({"doctor"});
  EXPECT_EQ(doctor.exit.status, 1);
  EXPECT_THAT(doctor.output, HasSubstr("fix: update this program"));
}

TEST_F(StoreCommands, DoctorFindsMissingFilesAndDamage) {
  {
    auto store = tracking::Store::open({.uri = path("t.db")}).value();
    auto run = store.create_run({.name = "r"}).value();
    ASSERT_TRUE(store.record_artifacts(run.info.id, {{.path = "a", .size = 1, .sha256 = "x"}}));
  }
  Captured missing = tidemill({"doctor"});
  EXPECT_EQ(missing.exit.status, 1);
  EXPECT_THAT(missing.output, HasSubstr("artifacts: a place is missing: run "));
  ASSERT_TRUE(write_file_atomic(path("t.db"), std::string(9000, 'x'), Durable::no));
  fs::remove(path("t.db-wal"));
  Captured damaged = tidemill({"doctor"});
  EXPECT_EQ(damaged.exit.status, 1);
  EXPECT_THAT(damaged.output, HasSubstr("not a database, or damaged"));
  fs::remove(path("t.db"));
  EXPECT_THAT(tidemill({"doctor"}).output, HasSubstr("there is none at"));
}

TEST_F(StoreCommands, DoctorOnlyWarnsOfAModelWithoutFiles) {
  {
    auto store = tracking::Store::open({.uri = path("t.db")}).value();
    tracking::LoggedModels models(store);
    auto model = models.create({.experiment_id = "0", .name = "m"}).value();
    ASSERT_TRUE(models.finalize(model.id, tracking::ModelStatus::kReady));
  }
  Captured doctor = tidemill({"doctor"});
  EXPECT_EQ(doctor.exit.status, 0) << doctor.output;
  EXPECT_THAT(doctor.output, HasSubstr("a model has no files: logged model "));
}

TEST_F(StoreCommands, TheStoreOfTheCommandLineWinsOverThatOfTheEnvironment) {
  make_store(1);
  auto with_variable = [&](std::vector<std::string> words) {
    words.insert(words.begin(),
                 {"env", "TIDEMILL_STORE=" + path("other.db").string(), TIDEMILL_BINARY_DIR "/bin/tidemill"});
    return run_command(words, 120s).value();
  };
  EXPECT_EQ(with_variable({"runs", "list", "--store", path("t.db").string()}).exit.status, 0);
  EXPECT_THAT(with_variable({"runs", "list"}).errors, HasSubstr("other.db"));
}

TEST_F(StoreCommands, AnImportThatLeavesSomethingOutSaysSoAndExitsWith1) {
  ASSERT_TRUE(make_dirs(path("mlruns/7")));
  ASSERT_TRUE(
      write_file_atomic(path("mlruns/7/meta.yaml"), "experiment_id: '7'\nname: seven\n", Durable::no));
  ASSERT_TRUE(make_dirs(path("mlruns/8")));
  ASSERT_TRUE(write_file_atomic(path("mlruns/8/meta.yaml"), "experiment_id: [", Durable::no));
  Captured imported = tidemill({"import", path("mlruns").string()});
  EXPECT_EQ(imported.exit.status, 1);
  EXPECT_THAT(imported.output, HasSubstr("experiments: 1 new"));
  EXPECT_THAT(imported.errors, HasSubstr("left out: " + path("mlruns/8/meta.yaml").string()));
  EXPECT_EQ(tidemill({"import", path("nowhere").string()}).exit.status, 1);
  Captured exported = tidemill({"export", path("out").string()});
  EXPECT_EQ(exported.exit.status, 0) << exported.errors;
  EXPECT_TRUE(fs::exists(path("out/7/meta.yaml")));
  // A folder with something else in it is not written into.
  ASSERT_TRUE(make_dirs(path("home/letters")));
  EXPECT_THAT(tidemill({"export", path("home").string()}).errors, HasSubstr("no part of an mlruns folder"));
}

TEST_F(StoreCommands, APermissionOfMlflowIsGrantedWhateverItIs) {
  ::setenv("TIDEMILL_USER_PASSWORD", "a password of some length", 1);
  EXPECT_EQ(tidemill({"users", "create", "ada"}).exit.status, 0);
  ::unsetenv("TIDEMILL_USER_PASSWORD");
  for (const char* permission : {"READ", "USE", "EDIT", "MANAGE", "NO_PERMISSIONS", "DENY"}) {
    Captured granted = tidemill({"users", "grant", "ada", "--experiment", "0", permission});
    EXPECT_EQ(granted.output, fmt::format("ada has {}\n", permission)) << granted.errors;
  }
  EXPECT_THAT(tidemill({"users", "grant", "ada", "--experiment", "0", "SOME"}).errors, HasSubstr("'SOME'"));
}

}  // namespace
}  // namespace tidemill
