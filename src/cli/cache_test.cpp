// tidemill cache, and runs of many steps in which nothing has changed.
#include <gmock/gmock.h>

#include "base/text.h"
#include "cli/cli_fixture.h"

namespace tidemill {
namespace {

using testing::HasSubstr;

class CacheCli : public Cli {
 protected:
  void SetUp() override {
    write_project("make", "head -c {bytes} /dev/zero > $TIDEMILL_OUTPUT_DIR/data", "{bytes: string}");
  }
  // A pipeline with one step, which makes so many bytes.
  void run(int bytes, const std::vector<std::string>& options = {}) const {
    write("pipeline.yaml",
          fmt::format("name: p\nsteps:\n  make: {{project: make, params: {{bytes: {}}}}}\n", bytes));
    std::vector<std::string> words = {"run", path("").string()};
    words.insert(words.end(), options.begin(), options.end());
    Captured captured = in_store(words);
    EXPECT_EQ(captured.exit.status, 0) << captured.errors;
    errors_ = captured.errors;
  }
  mutable std::string errors_;
};

TEST_F(CacheCli, ListsMeasuresVerifiesAndMakesRoom) {
  run(1000);
  run(2000);
  Json results = listed("results", {"cache", "list"});
  ASSERT_EQ(results.size(), 2u);
  EXPECT_EQ(results[0]["bytes"], 1000);
  EXPECT_EQ(results[0]["step"], "make");
  EXPECT_EQ(results[1]["needed_by"], "the latest run of pipeline p");
  EXPECT_EQ(json_of({"cache", "size"})["bytes"], 3000);
  EXPECT_EQ(json_of({"cache", "size"})["needed_bytes"], 2000);
  EXPECT_EQ(in_store({"cache", "verify"}).exit.status, 0);
  EXPECT_THAT(in_store({"cache", "gc"}).errors, HasSubstr("--keep SIZE"));
  EXPECT_EQ(json_of({"cache", "gc", "--keep", "2kB", "--dry-run"})["removed_bytes"], 1000);
  EXPECT_THAT(in_store({"cache", "gc", "--keep", "2kB"}).output, HasSubstr("make  1.0 kB  removed"));
  EXPECT_EQ(listed("results", {"cache", "list"}).size(), 1u);
  fs::path data = json_string(results[1], "artifact_uri");
  ASSERT_TRUE(write_file_atomic(data / "data", "x", Durable::no));
  Captured found = in_store({"cache", "verify"});
  EXPECT_EQ(found.exit.status, 1);
  EXPECT_THAT(found.output, HasSubstr("data: changed or damaged"));
}

TEST_F(CacheCli, AQuotaIsKeptAfterEachRun) {
  run(1000, {"--cache-quota", "2kB"});
  run(2000, {"--cache-quota", "2kB"});
  EXPECT_THAT(errors_, HasSubstr("cache: 1 result removed, 1.0 kB, as the quota is 2.0 kB"));
  EXPECT_EQ(listed("results", {"cache", "list"}).size(), 1u);
  EXPECT_EQ(in_store({"run", path("").string(), "--cache-quota", "many"}).exit.status, 2);
}

TEST_F(CacheCli, ARunOfManyStepsInWhichNothingHasChangedIsOneRunWithAllItsSteps) {
  std::string numbers = "0";
  for (int i = 1; i < 120; ++i) numbers += fmt::format(", {}", i);
  write("pipeline.yaml",
        fmt::format("name: many\nsteps:\n  make: {{project: make, foreach: {{n: [{}]}}, params: {{bytes: "
                    "'${{each.n}}'}}}}\n  last: {{command: 'true', needs: [make]}}\n",
                    numbers));
  const std::string folder = path("").string();
  Captured first = in_store({"run", folder});
  ASSERT_EQ(first.exit.status, 0) << first.errors;
  Captured again = in_store({"run", folder});
  ASSERT_EQ(again.exit.status, 0) << again.errors;
  EXPECT_THAT(again.errors, HasSubstr("steps  reused: nothing has changed since run "));
  Json run = listed("runs", {"runs", "list", "-n", "1"})[0];
  std::string id = json_string(run, "run_id");
  Json steps = json_of({"status", id})["steps"];
  EXPECT_GT(steps.size(), 100u);
  for (const auto& step : steps) {
    EXPECT_EQ(step["state"], "reused");
    EXPECT_THAT(json_string(step, "reason"), HasSubstr("nothing has changed since run "));
  }
  EXPECT_THAT(in_store({"why", "last"}).output, HasSubstr("reused: nothing has changed since run "));
  std::vector<std::string> lines = split(trim(in_store({"run", folder, "--json"}).output), '\n');
  ASSERT_EQ(lines.size(), steps.size() + 3);  // the run's start and end, and that all are reused
  EXPECT_EQ(parse_json(lines[2])->at("state"), "reused");
  write_project("make", "head -c {bytes} /dev/zero > $TIDEMILL_OUTPUT_DIR/other", "{bytes: string}");
  Captured changed = in_store({"run", folder});
  EXPECT_THAT(changed.errors, HasSubstr("command: "));
}

}  // namespace
}  // namespace tidemill
