// When a run is recorded as one in which nothing has changed, and when it must not be.
#include <fcntl.h>
#include <sys/stat.h>

#include <fstream>

#include "engine/engine_fixture.h"
#include "engine/unchanged.h"

namespace tidemill::engine {
namespace {

using testing::HasSubstr;

// sort -> train(rate): two steps that read a file, code, a program and a variable.
class Unchanged : public EngineTest {
 protected:
  void SetUp() override {
    EngineTest::SetUp();
    add_step("sort", "sort {source} > $TIDEMILL_OUTPUT_DIR/data", "{source: path}");
    add_step("train",
             "./tool {data} > $TIDEMILL_OUTPUT_DIR/model; echo $SHADE {rate} >> $TIDEMILL_OUTPUT_DIR/model",
             "{data: path, rate: float}");
    write_tool("cat \"$1\" script");
    write("train/script", "v1\n");
    write("raw", "b\na\n");
    setenv("SHADE", "red", 1);
    setenv("PATH", path_.c_str(), 1);
  }
  void TearDown() override { setenv("PATH", path_.c_str(), 1); }

  void write_tool(const std::string& text) {
    write("train/tool", "#!/bin/sh\n" + text + "\n");
    fs::permissions(dir_.path() / "train/tool", fs::perms::owner_all);
  }

  static constexpr const char* kSteps =
      "name: p\nparams: {rate: {type: float, default: 0.1}}\nsteps:\n"
      "  sort: {project: sort, params: {source: '${pipeline.folder}/raw'}}\n"
      "  train: {project: train, environment: {SHADE: }, params: {data: '${steps.sort.artifacts}/data', "
      "rate: "
      "'${params.rate}'}}\n";

  // Whether the next run is recognised as one in which nothing has changed.
  bool recognised(const std::string& yaml = kSteps, const config::Arguments& params = {}) {
    last_ = run_or_recognise(yaml, params);
    return last_.as_a_whole;
  }
  fs::path output_of(const std::string& step) {
    const auto records = store_->step_records(last_.outcome.run_id).value();
    for (const auto& record : records)
      if (record.step == step) return fs::path(store_->run(record.step_run)->info.artifact_uri);
    return {};
  }
  // After the change a run does what execute() does, and later ones are recognised again: at the latest the
  // third, when the first has replaced a result.
  void expect_noticed(const std::string& what) {
    EXPECT_FALSE(recognised()) << what;
    EXPECT_TRUE(recognised() || recognised()) << "after " << what;
  }

  const std::string path_ = std::getenv("PATH");
  Recognised last_;
};

TEST_F(Unchanged, TheNextRunIsRecordedAsOneWithAllItsSteps) {
  EXPECT_FALSE(recognised());
  std::string made = last_.outcome.run_id;
  ASSERT_TRUE(recognised());
  auto run = store_->run(last_.outcome.run_id).value();
  EXPECT_EQ(run.info.status, tracking::RunStatus::kFinished);
  EXPECT_EQ(run.param("rate"), "0.1");
  EXPECT_EQ(run.tag(tracking::kStepsOfTag), made);
  auto steps = store_->step_records(run.info.id).value();
  ASSERT_EQ(steps.size(), 2u);
  EXPECT_EQ(steps[1].step, "train");
  EXPECT_EQ(steps[1].state, "reused");
  EXPECT_THAT(steps[1].reason, HasSubstr("nothing has changed since run "));
  ASSERT_EQ(events_.size(), 3u);
  EXPECT_EQ(std::get<RunStarted>(events_[0]).steps, (std::vector<std::string>{"sort", "train"}));
  EXPECT_EQ(std::get<AllReused>(events_[1]).steps, 2u);
  EXPECT_TRUE(fs::exists(fs::path(run.info.artifact_uri) / "tidemill/record.json"));
  ASSERT_TRUE(recognised()) << "and the one after that";
  EXPECT_EQ(store_->run(last_.outcome.run_id)->tag(tracking::kStepsOfTag), made);
}

TEST_F(Unchanged, WhateverAResultFollowsFromIsNoticed) {
  recognised();
  write("raw", "c\na\n");
  expect_noticed("another input");
  write("train/script", "v2\n");
  expect_noticed("other code");
  write("train/new", "x");
  expect_noticed("one more file of code");
  fs::remove(dir_.path() / "train/new");
  expect_noticed("one file of code less");
  write_tool("cat \"$1\" script script");
  expect_noticed("another program");
  setenv("SHADE", "blue", 1);
  expect_noticed("a variable");
  add_step("sort", "sort -r {source} > $TIDEMILL_OUTPUT_DIR/data", "{source: path}");
  expect_noticed("another command");
  write("bin/sort", "#!/bin/sh\nexec /usr/bin/sort \"$@\"\n");
  fs::permissions(dir_.path() / "bin/sort", fs::perms::owner_all);
  setenv("PATH", ((dir_.path() / "bin").string() + ":" + path_).c_str(), 1);
  expect_noticed("a program that comes first in PATH");
  EXPECT_FALSE(recognised(std::string(kSteps) + "  more: {project: sort, params: {source: train/script}}\n"));
  EXPECT_FALSE(recognised(kSteps)) << "the file is as it was before the last run, and not as in it";
  EXPECT_FALSE(recognised(kSteps, {{"rate", "0.5"}}));
  EXPECT_TRUE(recognised(kSteps, {{"rate", "0.5"}}));
}

TEST_F(Unchanged, OutputsThatAreNotWhatTheyWereAreNoticed) {
  recognised();
  write(output_of("train") / "model", "other");
  expect_noticed("a damaged output");
  fs::remove(output_of("train") / "model");
  expect_noticed("a deleted output");
  write(output_of("sort") / "more", "");
  expect_noticed("one more file");
  fs::remove_all(output_of("sort"));
  expect_noticed("a deleted folder");
}

TEST_F(Unchanged, OtherBytesOfTheSameSizeAndTimeRightAfterTheRunAreNoticed) {
  recognised();
  for (const fs::path& file :
       {output_of("train") / "model", dir_.path() / "raw", dir_.path() / "train/script"}) {
    struct stat info{};
    ASSERT_EQ(stat(file.c_str(), &info), 0);
    std::string text = read_file(file).value();
    text[0] = text[0] == 'x' ? 'y' : 'x';
    std::ofstream(file) << text;
    timespec times[2] = {info.st_atim, info.st_mtim};
    ASSERT_EQ(utimensat(AT_FDCWD, file.c_str(), times, 0), 0);
    EXPECT_FALSE(recognised()) << file;
  }
}

TEST_F(Unchanged, TouchedFilesAreReadAndFoundTheSame) {
  recognised();
  write("raw", "b\na\n");
  write("train/script", "v1\n");
  add_step("sort", "sort {source} > $TIDEMILL_OUTPUT_DIR/data", "{source: path}");
  EXPECT_TRUE(recognised());
}

TEST_F(Unchanged, DeletedRunsAndResultsMadeAnewAreNoticed) {
  recognised();
  auto steps = store_->step_records(last_.outcome.run_id).value();
  ASSERT_TRUE(store_->delete_run(steps[1].step_run));
  expect_noticed("a deleted run");
  set_up_options();
  auto again = plan(kSteps);
  options_.cache.forced = {{"train", "asked for"}};
  ASSERT_TRUE(execute(again, *store_, options_, [](const Event&) {}));
  options_.cache.forced.clear();
  EXPECT_FALSE(recognised());
  ASSERT_TRUE(recognised());
  ASSERT_TRUE(store_->delete_run(std::string(store_->run(last_.outcome.run_id)->tag(tracking::kStepsOfTag))));
  expect_noticed("the run whose steps they are");
}

TEST_F(Unchanged, AFileThatACommandNamesOnceItIsThereIsNoticed) {
  std::string yaml = "name: c\nsteps:\n  c: {command: 'cat extra.txt || true'}\n";
  recognised(yaml);
  EXPECT_TRUE(recognised(yaml));
  write("extra.txt", "now\n");
  EXPECT_FALSE(recognised(yaml));
}

TEST_F(Unchanged, PipelinesWithinPipelinesAreLookedAtToo) {
  const std::string yaml = "name: n\nsteps:\n  in: {pipeline: inner}\n  linked: {pipeline: link.yaml}\n";
  auto one_step = [](const std::string& text) {
    return "steps:\n  one: {command: 'echo " + text + " > $TIDEMILL_OUTPUT_DIR/out'}\n";
  };
  write("inner/pipeline.yaml",
        "steps:\n  deep: {pipeline: ../deep.yaml}\n  cat: {command: cat extra.txt || true}\n");
  write("deep.yaml", one_step("deep"));
  write("a.yaml", one_step("a"));
  write("b.yaml", one_step("b"));
  fs::create_symlink("a.yaml", dir_.path() / "link.yaml");
  auto expect_seen = [&](const std::string& what) {
    EXPECT_FALSE(recognised(yaml)) << what;
    EXPECT_TRUE(recognised(yaml) || recognised(yaml)) << "after " << what;
  };
  expect_seen("nothing");
  ASSERT_EQ(store_->step_records(last_.outcome.run_id)->size(), 3u);
  write("deep.yaml", one_step("deeper"));
  expect_seen("another step two pipelines below");
  write("inner/extra.txt", "x");
  expect_seen("a file that a command below names");
  fs::remove(dir_.path() / "link.yaml");
  fs::create_symlink("b.yaml", dir_.path() / "link.yaml");
  expect_seen("a link that leads to another pipeline");
  write("inner/pipeline.yml", one_step("short"));
  expect_seen("a file that comes before the other");
  EXPECT_EQ(store_->step_records(last_.outcome.run_id)->size(), 2u);
}

TEST_F(Unchanged, AFailedRunIsNotRemembered) {
  std::string yaml = "name: f\nsteps:\n  f: {command: 'exit 1', allow_failure: true}\n";
  recognised(yaml);
  EXPECT_FALSE(recognised(yaml));
}

TEST_F(Unchanged, StepsOnWhichMoreThanFilesHasASayAreDecidedAnew) {
  write("secret", "s");
  for (const char* settings : {"when: '1 == 1'", "cache: false", "gate: {metric: m, at_least: 1, model: x}",
                               "validate: [{table: out, rows: {min: 1}}]", "environment: {R: '${run.id}'}",
                               "environment: {R: '${steps.first.metrics.m}'}", "secrets: [s]"}) {
    auto yaml = std::string("name: q\nsecrets: {s: {file: secret}}\nsteps:\n  first: {command: 'true'}\n") +
                "  second: {command: 'echo a > $TIDEMILL_OUTPUT_DIR/out', " + settings + "}\n";
    write("pipeline.yaml", yaml);
    config::Problems problems;
    auto loaded = config::load_pipeline(dir_.path() / "pipeline.yaml", problems);
    ASSERT_TRUE(loaded);
    auto made = pipeline::make_plan(*loaded, {}, pipeline::Missing::kAllowed, problems);
    ASSERT_TRUE(made && problems.empty()) << settings << problems.first().error().message;
    set_up_options();
    options_.many_steps = 1;
    options_.start = "x";
    EXPECT_FALSE(can_be_recognised(*made, options_)) << settings;
    made->steps.pop_back();
    EXPECT_TRUE(can_be_recognised(*made, options_)) << settings;
  }
}

TEST(Footing, IsReadAsItWasWrittenAndNotWhenItIsDamaged) {
  Footing footing{.start = "s",
                  .run_id = "r",
                  .result_changes = 7,
                  .pipeline = "p",
                  .experiment = "e",
                  .folder = "/f",
                  .file = "/f/pipeline.yaml",
                  .params = {{"a", "b"}},
                  .steps = {"x", "y"},
                  .reliances = {.files = {{.path = "/f/x", .is_code = true, .digest = "d", .stamps = {}}},
                                .no_files = {"/n"},
                                .programs = {{"sort", "/usr/bin/sort"}},
                                .variables = {{"V", "1"}}}};
  std::string bytes = encode(footing);
  auto read = decode_footing(bytes);
  ASSERT_TRUE(read);
  EXPECT_EQ(encode(*read), bytes);
  for (size_t size = 0; size < bytes.size(); ++size)
    EXPECT_FALSE(decode_footing(bytes.substr(0, size))) << size;
  EXPECT_FALSE(decode_footing(bytes + "x"));
}

}  // namespace
}  // namespace tidemill::engine
