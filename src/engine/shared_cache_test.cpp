// Results that two stores share through a folder: reused elsewhere, and refused when they are not what they
// say.
#include "engine/shared_cache.h"

#include <fstream>

#include "base/hash.h"
#include "base/json.h"
#include "engine/engine_fixture.h"
#include "engine/file_tree.h"
#include "net/http_server.h"

namespace tidemill::engine {
namespace {

using testing::HasSubstr;

// Another machine: a store, artifacts and a state of its own, and the same project.
class Shared : public EngineTest {
 protected:
  void SetUp() override {
    EngineTest::SetUp();
    add_step(
        "make",
        "echo ran >> ../count; mkdir -p $TIDEMILL_OUTPUT_DIR/sub; echo {n} > $TIDEMILL_OUTPUT_DIR/sub/data; "
        "echo x > $TIDEMILL_OUTPUT_DIR/tool; chmod +x $TIDEMILL_OUTPUT_DIR/tool",
        "{n: string}");
    add_step("use", "cat {from}/sub/data > $TIDEMILL_OUTPUT_DIR/copy", "{from: path}");
    options_.shared_cache = (dir_.path() / "shared").string();
  }
  static constexpr const char* kSteps =
      "name: p\nsteps:\n  make: {project: make, params: {n: one}}\n"
      "  use: {project: use, params: {from: '${steps.make.artifacts}'}}\n";

  Outcome run_here() {
    auto outcome = run(plan(kSteps));
    EXPECT_TRUE(outcome) << outcome.error().message;
    return outcome.value_or(Outcome{});
  }
  // With another store, which knows nothing of this one.
  Outcome run_elsewhere() {
    auto store = tracking::Store::open(
        {.uri = dir_.path() / "other.db", .default_artifact_root = (dir_.path() / "elsewhere").string()});
    events_.clear();
    Options options = options_;
    options.tracking_uri = "http://127.0.0.1:9";
    options.state_dir = dir_.path() / "other-state";
    auto outcome =
        execute(plan(kSteps), *store, options, [this](const Event& event) { events_.push_back(event); });
    EXPECT_TRUE(outcome) << outcome.error().message;
    if (outcome) other_run_ = store->run(outcome->steps[0].run_id).value();
    return outcome.value_or(Outcome{});
  }
  fs::path shared_file(const std::string& kind) {
    for (const auto& entry : fs::recursive_directory_iterator(dir_.path() / "shared" / kind))
      if (entry.is_regular_file() &&
          text_in(entry.path()).find(kind == "results" ? "sub/data" : "one\nx") != std::string::npos)
        return entry.path();
    ADD_FAILURE() << "nothing shared";
    return {};
  }
  static std::string text_in(const fs::path& file) { return read_file(file).value_or(""); }

  tracking::Run other_run_;
};

TEST_F(Shared, AStepMadeElsewhereIsReusedWithItsFilesAndSaysWhoMadeIt) {
  run_here();
  Outcome other = run_elsewhere();
  EXPECT_EQ(text_of("count"), "ran\n");
  EXPECT_EQ(other.status, tracking::RunStatus::kFinished);
  EXPECT_EQ(other.steps[0].state, StepState::kReused);
  EXPECT_EQ(other.steps[1].state, StepState::kReused);
  EXPECT_THAT(finished("make")->reason, HasSubstr("made elsewhere by "));
  fs::path folder = other_run_.info.artifact_uri;
  EXPECT_EQ(text_in(folder / "sub/data"), "one\n");
  EXPECT_NE(fs::status(folder / "tool").permissions() & fs::perms::owner_exec, fs::perms::none);
  EXPECT_EQ(other_run_.param("n"), "one");
  EXPECT_EQ(other_run_.info.status, tracking::RunStatus::kFinished);
  EXPECT_THAT(std::string(other_run_.tag("tidemill.made_elsewhere")), HasSubstr(", run "));
  run_elsewhere();
  EXPECT_THAT(finished("make")->reason, HasSubstr("nothing has changed since run "))
      << "it is its own by now";
}

TEST_F(Shared, ADamagedResultIsRefusedAndTheStepRuns) {
  run_here();
  const fs::path file = shared_file("outputs");
  std::ofstream(file) << "two\nx\n";
  Outcome other = run_elsewhere();
  EXPECT_EQ(text_of("count"), "ran\nran\n");
  EXPECT_EQ(other.steps[0].state, StepState::kFinished);
  EXPECT_EQ(text_in(fs::path(other_run_.info.artifact_uri) / "sub/data"), "one\n");
  EXPECT_EQ(text_in(file), "one\nx\n") << "and what is shared is mended";
}

TEST_F(Shared, ATornResultIsRefusedAndTheStepRuns) {
  run_here();
  fs::resize_file(shared_file("outputs"), 3);
  EXPECT_EQ(run_elsewhere().steps[0].state, StepState::kFinished);
  EXPECT_EQ(text_of("count"), "ran\nran\n");
}

TEST_F(Shared, APathThatLeadsOutIsRefused) {
  run_here();
  fs::path file = shared_file("results");
  std::string text = text_in(file);
  for (std::string path : {"../../../evil", "/tmp/evil", "sub/../../evil", "%2e%2e/evil", "a//b", ""}) {
    Json json = parse_json(text).value();
    json["files"][0]["path"] = path;
    std::ofstream(file, std::ios::trunc) << dump_json(json);
    auto parsed = parse_shared_result(dump_json(json), json_string(json, "key"));
    EXPECT_FALSE(parsed) << path;
  }
  EXPECT_EQ(run_elsewhere().steps[0].state, StepState::kFinished);
  EXPECT_FALSE(fs::exists(dir_.path() / "evil"));
}

TEST_F(Shared, AResultOfAnotherKeyOrWithOtherFilesIsRefused) {
  SharedResult result{.key = std::string(64, 'a'),
                      .outputs = digest_of_files({{.path = "f", .sha256 = sha256_hex("x")}}),
                      .files = {{"f", 1, false, sha256_hex("x")}},
                      .maker = "m",
                      .metrics = {{"loss", 0.5, 7, 3}},
                      .params = {{"a", "b"}}};
  std::string json = to_json(result);
  auto read = parse_shared_result(json, result.key);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->metrics[0].value, 0.5);
  EXPECT_EQ(read->params, result.params);
  EXPECT_FALSE(parse_shared_result(json, std::string(64, 'b')));
  SharedResult loud = result;
  loud.maker = "ada\x1b[2J";
  EXPECT_FALSE(parse_shared_result(to_json(loud), result.key)) << "what is shown must not steer the terminal";
  result.files[0].executable = true;
  EXPECT_FALSE(parse_shared_result(to_json(result), result.key));
  for (size_t size = 0; size < json.size(); ++size)
    EXPECT_FALSE(parse_shared_result(json.substr(0, size), result.key)) << size;
}

TEST_F(Shared, WhatHasChangedSinceItsStepEndedIsNotShared) {
  auto cache = SharedCache::open((dir_.path() / "place").string()).value();
  write("out/f", "y");
  SharedResult result{.key = std::string(64, 'a'),
                      .outputs = digest_of_files({{.path = "f", .sha256 = sha256_hex("x")}}),
                      .files = {{"f", 1, false, sha256_hex("x")}},
                      .maker = "m",
                      .metrics = {},
                      .params = {}};
  EXPECT_FALSE(cache.publish(result, dir_.path() / "out"));
  EXPECT_FALSE(cache.find(result.key).value());
  write("out/f", "x");
  ASSERT_TRUE(cache.publish(result, dir_.path() / "out"));
  ASSERT_TRUE(cache.find(result.key).value());
  ASSERT_TRUE(cache.fetch(result, dir_.path() / "in"));
  EXPECT_EQ(text_of("in/f"), "x");
}

TEST_F(Shared, APlaceThatCannotBeReachedOnlyCostsAWarning) {
  write("not-a-folder", "x");
  options_.shared_cache = (dir_.path() / "not-a-folder").string();
  EXPECT_EQ(run_here().status, tracking::RunStatus::kFinished);
  options_.shared_cache = "ftp://somewhere";
  EXPECT_EQ(run(plan(kSteps)).error().code, Code::kInvalid);
}

TEST_F(Shared, WhileAPlaceIsSlowToAnswerOtherStepsRun) {
  const fs::path sign = dir_.path() / "sign";
  std::atomic<bool> ran_meanwhile = true;
  auto server = HttpServer::start({}, [&](HttpRequest request, Respond respond) {
    if (request.method == "GET")
      ran_meanwhile = eventually([&] { return fs::exists(sign); }) && ran_meanwhile;
    respond(HttpResponse::text(request.method == "PUT" ? 200 : 404, ""));
  });
  ASSERT_TRUE(server) << server.error().message;
  setenv("AWS_ACCESS_KEY_ID", "id", 1);
  setenv("AWS_SECRET_ACCESS_KEY", "key", 1);
  setenv("MLFLOW_S3_ENDPOINT_URL", fmt::format("http://127.0.0.1:{}", server->port()).c_str(), 1);
  options_.shared_cache = "s3://bucket/cache";
  options_.max_parallel = 2;
  auto outcome =
      run(plan(std::string(kSteps) + "  other: {command: 'touch " + sign.string() + "', cache: false}\n"));
  unsetenv("MLFLOW_S3_ENDPOINT_URL");
  ASSERT_TRUE(outcome) << outcome.error().message;
  EXPECT_EQ(outcome->status, tracking::RunStatus::kFinished);
  EXPECT_TRUE(ran_meanwhile);
  EXPECT_EQ(text_of("count"), "ran\n") << "what is not there is made";
}

TEST_F(Shared, ForcedStepsAndThoseWithSecretsAreNotTakenFromElsewhere) {
  run_here();
  options_.cache.forced = {{"make", "asked for"}};
  EXPECT_EQ(run_elsewhere().steps[0].state, StepState::kFinished);
  EXPECT_EQ(text_of("count"), "ran\nran\n");
}

}  // namespace
}  // namespace tidemill::engine
