#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <png.h>

#include "checks/check.h"
#include "checks/csv.h"
#include "checks/image.h"

namespace tidemill::checks {
namespace {

using config::DataCheck;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::string png_of(const std::vector<uint8_t>& rgb, unsigned width) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.width = width;
  image.height = static_cast<unsigned>(rgb.size()) / 3 / width;
  image.format = PNG_FORMAT_RGB;
  png_alloc_size_t size = 0;
  png_image_write_to_memory(&image, nullptr, &size, 0, rgb.data(), 0, nullptr);
  std::string bytes(size, '\0');
  png_image_write_to_memory(&image, bytes.data(), &size, 0, rgb.data(), 0, nullptr);
  bytes.resize(size);
  return bytes;
}
std::string noise(uint8_t seed) {
  std::vector<uint8_t> pixels;
  for (int i = 0; i < 8 * 8 * 3; ++i) pixels.push_back(static_cast<uint8_t>(i * 37 + seed));
  return png_of(pixels, 8);
}
std::string grey() { return png_of(std::vector<uint8_t>(8 * 8 * 3, 128), 8); }

class Checks : public testing::Test {
 protected:
  void write(const std::string& name, std::string_view bytes) {
    ASSERT_TRUE(make_dirs((dir_.path() / name).parent_path()));
    ASSERT_TRUE(write_file_atomic(dir_.path() / name, bytes, Durable::no));
  }
  // The only entry of a validate list.
  DataCheck check(const std::string& yaml) {
    auto node = config::parse_yaml("[" + yaml + "]", "pipeline.yaml");
    config::Problems problems;
    auto checks = config::read_data_checks(*node, problems);
    EXPECT_TRUE(problems.empty()) << problems.first().error().message;
    return checks.at(0);
  }
  Report look(const std::string& yaml, const Distributions& accepted = {}) {
    auto report = look_at(check(yaml), dir_.path(), accepted);
    EXPECT_TRUE(report) << report.error().message;
    return report.value_or(Report{});
  }

  TempDir dir_ = TempDir::create().value();
};

TEST_F(Checks, WhoeverWantsNoMoreGetsNone) {
  std::stop_source stop;
  stop.request_stop();
  write("t.csv", "a\n1\n2\n");
  write("images/a/1.png", "x");
  for (const char* yaml : {"{table: t.csv, rows: {min: 2}}", "{images: images, corrupt: 1}"}) {
    auto report = look_at(check(yaml), dir_.path(), {}, stop.get_token());
    ASSERT_FALSE(report);
    EXPECT_EQ(report.error().code, Code::kCancelled);
  }
}

TEST_F(Checks, ATableIsLookedAtRowByRow) {
  write("t.csv", "id,age,kind\n1,30,a\n2,-5,b\n3,,a\n4,40,x\n4,40,x\n5,fifty,a\n6,60\n");
  Report report = look(
      "{table: t.csv, rows: {min: 10}, duplicates: 0, classes: {column: kind, least: 0.2}, "
      "columns: {age: {min: 0, max: 120, nulls: 0.1}, kind: {values: [a, b]}, wieght: }}");
  EXPECT_EQ(report.count, 7u);
  EXPECT_THAT(
      report.problems,
      ElementsAre("there is no column 'wieght'", HasSubstr("rows of another length than the header: 1 of 7"),
                  HasSubstr("age out of range: 2 of 7"),
                  HasSubstr("age empty: 1 of 7 rows (14.3 %), at most 10 %"),
                  HasSubstr("kind with other values than named: 2 of 7"), HasSubstr("duplicates: 1 of 7"),
                  "rows: 7, at least 10 are wanted", HasSubstr("class 'b' has 14.3 %")));
  std::vector<uint64_t> lines;
  for (const auto& item : report.bad) lines.push_back(item.line);
  EXPECT_THAT(lines, ElementsAre(3, 4, 5, 6, 7, 8));
}

TEST_F(Checks, ExcludedRowsLeaveTheOthersAsTheyWere) {
  write("t.csv", "id,text\r\n1,\"two\nlines, and a comma\"\r\n-1,bad\r\n2,\"a \"\"quote\"\"\"\r\n\r\n3,end");
  const std::string yaml = "{table: t.csv, columns: {id: {min: 0}}, otherwise: exclude}";
  Report report = look(yaml);
  ASSERT_EQ(report.bad.size(), 1u);
  EXPECT_EQ(report.bad[0].name, "line 4");
  ASSERT_TRUE(exclude(check(yaml), dir_.path(), report.bad));
  EXPECT_EQ(read_file(dir_.path() / "t.csv").value_or(""),
            "id,text\r\n1,\"two\nlines, and a comma\"\r\n2,\"a \"\"quote\"\"\"\r\n3,end\n");
  EXPECT_THAT(look(yaml).problems, IsEmpty());
}

TEST_F(Checks, WhatIsNoTableIsAProblemNotAnError) {
  EXPECT_THAT(look("{table: none.csv}").problems, ElementsAre("there is no file none.csv"));
  write("empty.csv", "");
  EXPECT_THAT(look("{table: empty.csv}").problems, ElementsAre("the table is empty"));
  write("open.csv", "a\n\"1\n2\n");
  EXPECT_THAT(look("{table: open.csv}").problems,
              ElementsAre(HasSubstr("open.csv:2: a quote is not closed")));
}

TEST_F(Checks, ImagesAreDecodedAndTheirFoldersAreClasses) {
  for (uint8_t i = 0; i < 6; ++i) write(fmt::format("train/cat/{}.png", i), noise(i));
  write("train/dog/grey.png", grey());
  write("train/dog/again.png", noise(0));
  write("train/dog/cut.png", noise(9).substr(0, noise(9).size() / 2));
  std::string damaged = noise(10);
  damaged[damaged.size() / 2] ^= 0x55;
  write("train/dog/damaged.png", damaged);
  write("train/dog/empty.jpg", "");
  write("train/dog/notes.txt", "no image");
  Report report =
      look("{images: train, count: {max: 10}, classes: {least: 0.5}, constant: 0, duplicates: 0}");
  EXPECT_EQ(report.count, 11u);
  EXPECT_EQ(report.classes, (std::map<std::string, uint64_t>{{"cat", 6}, {"dog", 5}}));
  EXPECT_THAT(report.problems,
              ElementsAre(HasSubstr("corrupt: 3 of 11"), HasSubstr("of one colour: 1 of 11"),
                          HasSubstr("duplicates: 1 of 11"), HasSubstr("images: 11, at most 10"),
                          HasSubstr("class 'dog' has 45.5 %")));
  std::vector<std::string> names;
  for (const auto& item : report.bad) names.push_back(item.name);
  // Of two that are the same the first stays: they are met by path.
  EXPECT_THAT(
      names, ElementsAre("dog/again.png", "dog/cut.png", "dog/damaged.png", "dog/empty.jpg", "dog/grey.png"));
}

TEST_F(Checks, DriftIsMeasuredAgainstWhatWasAccepted) {
  std::string before = "x,kind\n", same = before, moved = before;
  for (int i = 0; i < 1000; ++i) {
    before += fmt::format("{},{}\n", i % 100, i % 2);
    same += fmt::format("{},{}\n", (i * 7 + 3) % 100, i % 2);
    moved += fmt::format("{},{}\n", 50 + i % 100, i % 10 == 0);
  }
  const std::string yaml = "{table: t.csv, classes: {column: kind}, drift: 0.2}";
  write("t.csv", before);
  Report first = look(yaml);
  EXPECT_THAT(first.problems, IsEmpty());
  Distributions accepted = distributions_from(to_json(first.distributions));
  write("t.csv", same);
  EXPECT_THAT(look(yaml, accepted).problems, IsEmpty());
  write("t.csv", moved);
  EXPECT_THAT(look(yaml, accepted).problems,
              ElementsAre(HasSubstr("class has drifted by"), HasSubstr("x has drifted by")));
}

TEST_F(Checks, MistakesAreToldWithTheirPlace) {
  auto problem = [](const std::string& yaml) {
    config::Problems problems;
    (void)config::read_data_checks(*config::parse_yaml("- " + yaml + "\n", "pipeline.yaml"), problems);
    return problems.empty() ? "" : problems.list()[0].message;
  };
  EXPECT_THAT(problem("{table: a.csv, row: {min: 1}}"), HasSubstr("pipeline.yaml:1:18: unknown key 'row'"));
  EXPECT_THAT(problem("{table: ../a.csv}"), HasSubstr("must be below the step's artifacts"));
  EXPECT_THAT(problem("{images: ., corrupt: 5}"),
              HasSubstr("pipeline.yaml:1:24: corrupt is a share, from 0 to 1"));
  EXPECT_THAT(problem("{images: ., otherwise: exlude}"), HasSubstr("did you mean 'exclude'?"));
  EXPECT_THAT(problem("{images: ., table: x}"), HasSubstr("a check is of a table or of images"));
}

}  // namespace
}  // namespace tidemill::checks
