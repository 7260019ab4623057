// Inputs from outside: fetched once, known by their content.
#include "engine/inputs.h"

#include <mutex>

#include "base/hash.h"
#include "db/location.h"
#include "engine/engine_fixture.h"
#include "net/http_server.h"
#include "pipeline/resolve.h"

namespace tidemill::engine {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class Inputs : public EngineTest {
 protected:
  void SetUp() override {
    EngineTest::SetUp();
    add_step("use", "cat {data} > ../got; echo run >> ../ran", "{data: path}");
    options_.state_dir = dir_.path() / "state";
    start_server();
  }
  void start_server() {
    auto server = HttpServer::start({}, [this](HttpRequest request, Respond respond) {
      std::lock_guard lock(mutex_);
      ++asked_;
      HttpResponse response = HttpResponse::text(200, content_);
      std::string tag = "\"" + sha256_hex(content_) + "\"";
      if (request.path == "/gone") response = HttpResponse::text(404, "no");
      if (request.path == "/moved") {
        response = HttpResponse::text(302, "");
        response.headers.set("Location", "/table.csv");
      }
      if (request.path == "/loop") {
        response = HttpResponse::text(302, "");
        response.headers.set("Location", "loop");
      }
      response.headers.set("ETag", tag);
      if (request.headers.get("If-None-Match") == tag) response = HttpResponse::text(304, "");
      if (response.status == 200) ++sent_;
      respond(std::move(response));
    });
    ASSERT_TRUE(server) << server.error().message;
    server_.emplace(std::move(*server));
  }
  std::string yaml(const std::string& path, const std::string& sha256 = "") const {
    return fmt::format(
        "inputs: {{table: {{url: '{}{}'{}}}}}\nsteps: {{a: {{project: use, params: {{data: "
        "'${{inputs.table}}'}}}}}}\n",
        server_->url(), path, sha256.empty() ? "" : ", sha256: " + sha256);
  }
  Result<Outcome> fetch_and_run(const std::string& text) {
    pipeline::Plan made = plan(text);
    TRY(fetch_inputs(made, options_));
    return run(made);
  }
  std::string error_of(const std::string& text) {
    auto outcome = fetch_and_run(text);
    return outcome ? "" : outcome.error().message;
  }

  std::mutex mutex_;
  std::string content_ = "a,b\n1,2\n";
  int asked_ = 0, sent_ = 0;
  std::optional<HttpServer> server_;
};

TEST_F(Inputs, AreFetchedOnceAndAgainOnlyWhenTheyHaveChanged) {
  auto first = fetch_and_run(yaml("/table.csv?v=1"));
  ASSERT_TRUE(first) << first.error().message;
  EXPECT_EQ(text_of("got"), "a,b\n1,2\n");
  ASSERT_TRUE(fetch_and_run(yaml("/table.csv?v=1")));
  EXPECT_EQ(finished("a")->state, StepState::kReused);
  EXPECT_EQ(asked_, 2);
  EXPECT_EQ(sent_, 1);
  content_ = "a,b\n3,4\n";
  ASSERT_TRUE(fetch_and_run(yaml("/table.csv?v=1")));
  EXPECT_EQ(sent_, 2);
  EXPECT_THAT(started("a"), HasSubstr("input data: "));
  EXPECT_EQ(text_of("got"), "a,b\n3,4\n");
  content_ = "a,b\n1,2\n";
  ASSERT_TRUE(fetch_and_run(yaml("/table.csv?v=1")));
  EXPECT_EQ(finished("a")->state, StepState::kReused) << "this content is known";
}

TEST_F(Inputs, TheSameContentFromElsewhereIsTheSame) {
  ASSERT_TRUE(fetch_and_run(yaml("/table.csv")));
  ASSERT_TRUE(fetch_and_run(yaml("/other.csv")));
  EXPECT_EQ(finished("a")->state, StepState::kReused);
  ASSERT_TRUE(fetch_and_run(yaml("/moved")));
  EXPECT_EQ(finished("a")->state, StepState::kReused);
}

TEST_F(Inputs, ACopyServesWhenTheServerIsAway) {
  std::string text = yaml("/table.csv");
  ASSERT_TRUE(fetch_and_run(text));
  server_.reset();
  ASSERT_TRUE(fetch_and_run(text));
  EXPECT_EQ(finished("a")->state, StepState::kReused);
}

TEST_F(Inputs, APinnedOneIsNotAskedForAgainAndMustHaveItsContent) {
  std::string text = yaml("/table.csv", sha256_hex(content_));
  ASSERT_TRUE(fetch_and_run(text));
  ASSERT_TRUE(fetch_and_run(text));
  EXPECT_EQ(asked_, 1);
  content_ = "something else";
  EXPECT_THAT(error_of(yaml("/new.csv", sha256_hex("a,b\n1,2\n"))),
              HasSubstr("has the content " + sha256_hex(content_)));
  EXPECT_TRUE(fetch_and_run(text));
}

TEST_F(Inputs, ADamagedCopyIsFetchedAgain) {
  ASSERT_TRUE(fetch_and_run(yaml("/table.csv")));
  fs::path copy = dir_.path() / "state/inputs" / sha256_hex(content_) / "table.csv";
  ASSERT_TRUE(write_file_atomic(copy, "damaged", Durable::no));
  ASSERT_TRUE(fetch_and_run(yaml("/table.csv")));
  EXPECT_EQ(read_file(copy).value(), content_);
}

TEST_F(Inputs, WhatIsNotToBeHadIsToldWithItsPlace) {
  EXPECT_THAT(error_of(yaml("/gone")), HasSubstr("pipeline.yaml:1:10: input 'table': " + server_->url() +
                                                 "/gone: the server answers 404"));
  EXPECT_THAT(error_of(yaml("/loop")), HasSubstr("is moved more than 5 times"));
  EXPECT_THAT(
      error_of("inputs: {t: absent.csv}\nsteps: {a: {project: use, params: {data: '${inputs.t}'}}}\n"),
      HasSubstr("input 't': there is no "));
  for (const auto& entry : fs::directory_iterator(dir_.path() / "state/inputs"))
    EXPECT_THAT(entry.path().filename().string(), testing::Not(testing::StartsWith("loading")));
}

TEST_F(Inputs, FilesCountByTheirContent) {
  write("raw", "one");
  std::string text = "inputs: {t: raw}\nsteps: {a: {project: use, params: {data: '${inputs.t}'}}}\n";
  ASSERT_TRUE(fetch_and_run(text));
  EXPECT_EQ(text_of("got"), "one");
  write("raw", "two");
  ASSERT_TRUE(fetch_and_run(text));
  EXPECT_EQ(text_of("got"), "two");
  write("pipeline.yaml", "inputs: {t: raw}\nsteps: {a: {project: use, params: {data: '${inputs.x}'}}}\n");
  auto wrong = pipeline::make_plan(config::load_pipeline(dir_.path() / "pipeline.yaml").value(), {});
  EXPECT_THAT(wrong.error().message, HasSubstr("unknown reference ${inputs.x}"));
}

TEST_F(Inputs, TheRowsOfAQueryCountByTheirContent) {
  auto database = db::open({.kind = db::Location::Kind::kSqlite, .file = dir_.path() / "app.db", .uri = {}});
  ASSERT_TRUE(database) << database.error().message;
  ASSERT_TRUE((*database)->execute("CREATE TABLE t (n INTEGER); INSERT INTO t VALUES (1), (2)"));
  std::string text =
      "inputs: {rows: {query: 'SELECT n FROM t WHERE n < 10 ORDER BY n', database: app.db}}\n"
      "steps: {a: {project: use, params: {data: '${inputs.rows}'}}}\n";
  auto first = fetch_and_run(text);
  ASSERT_TRUE(first) << first.error().message;
  EXPECT_EQ(text_of("got"), "n\n1\n2\n");
  ASSERT_TRUE((*database)->execute("INSERT INTO t VALUES (11)"));
  ASSERT_TRUE(fetch_and_run(text));
  EXPECT_EQ(finished("a")->state, StepState::kReused) << "what it finds is the same";
  ASSERT_TRUE((*database)->execute("INSERT INTO t VALUES (3)"));
  ASSERT_TRUE(fetch_and_run(text));
  EXPECT_EQ(text_of("got"), "n\n1\n2\n3\n");

  EXPECT_THAT(error_of("inputs: {rows: {query: 'SELECT m FROM t', database: app.db}}\n"
                       "steps: {a: {project: use, params: {data: '${inputs.rows}'}}}\n"),
              AllOf(HasSubstr("pipeline.yaml:1:10: input 'rows'"), HasSubstr("no such column: m")));
  EXPECT_THAT(error_of("inputs: {rows: {query: 'SELECT 1', database: {env: TIDEMILL_NO_SUCH}}}\n"
                       "steps: {a: {project: use, params: {data: '${inputs.rows}'}}}\n"),
              HasSubstr("the variable TIDEMILL_NO_SUCH is not set"));
}

TEST_F(Inputs, AUriForAPathIsFetchedAndRecordedAsItWasGiven) {
  const std::string text = fmt::format(
      "params: {{from: '{}/table.csv'}}\nsteps: {{a: {{project: use, params: {{data: "
      "'${{params.from}}'}}}}}}\n",
      server_->url());
  auto first = fetch_and_run(text);
  ASSERT_TRUE(first) << first.error().message;
  EXPECT_EQ(text_of("got"), content_);
  EXPECT_EQ(store_->run(first->steps[0].run_id)->param("data"), server_->url() + "/table.csv");
  ASSERT_TRUE(fetch_and_run(text));
  EXPECT_EQ(finished("a")->state, StepState::kReused);
  content_ = "other";
  ASSERT_TRUE(fetch_and_run(text));
  EXPECT_EQ(text_of("got"), "other");

  pipeline::Plan stored = plan(text);
  ASSERT_TRUE(fetch_inputs(stored, options_, dir_.path() / "storage"));
  auto where = pipeline::resolve(stored, stored.steps[0], {}, {}).value()[0].second;
  EXPECT_THAT(where,
              testing::MatchesRegex(dir_.path().string() + "/storage/tidemill-[0-9a-f]+/param_0/table.csv"));
  EXPECT_EQ(read_file(where).value(), "other");
}

TEST_F(Inputs, AUriThatNobodyCanFetchIsRefusedBeforeTheRun) {
  EXPECT_THAT(error_of("steps: {a: {project: use, params: {data: 'ftp://host/x'}}}\n"),
              AllOf(HasSubstr("MLproject:"), HasSubstr("parameter 'data': ftp://host/x cannot be fetched")));
}

}  // namespace
}  // namespace tidemill::engine
