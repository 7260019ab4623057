#include "nn/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/hash.h"

namespace tidemill::nn {
namespace {

using testing::HasSubstr;

Checkpoint sample() {
  Checkpoint c;
  c.state.step = uint64_t{1} << 60;
  c.state.seed = 18446744073709551615ULL;
  c.state.tensors = {
      {"features.0.weight", {2, 3}, {1, -2.5F, 3e-38F, std::nextafter(1.0F, 2.0F), -0.0F, 1e38F}},
      {"features.1.num_batches_tracked", {}, {7}},
      {"empty", {0, 4}, {}}};
  c.settings = {{"model_type", "vgg11"}, {"schedule", "one-cycle"}};
  return c;
}

void expect_same(const Checkpoint& a, const Checkpoint& b) {
  EXPECT_EQ(a.state.step, b.state.step);
  EXPECT_EQ(a.state.seed, b.state.seed);
  EXPECT_EQ(a.settings, b.settings);
  ASSERT_EQ(a.state.tensors.size(), b.state.tensors.size());
  for (size_t i = 0; i < a.state.tensors.size(); ++i) {
    EXPECT_EQ(a.state.tensors[i].name, b.state.tensors[i].name);
    EXPECT_EQ(a.state.tensors[i].shape, b.state.tensors[i].shape);
    EXPECT_EQ(a.state.tensors[i].values, b.state.tensors[i].values);
  }
}

// With a right checksum, so that what lies behind it is reached.
std::string sealed(std::string body) { return body + sha256_hex(body); }

std::string with_header(std::string_view header, std::string_view values = "") {
  std::string body = "TMCKPT1\n";
  for (int i = 0; i < 8; ++i) body += static_cast<char>(header.size() >> (8 * i));
  return sealed(body.append(header).append(values));
}

TEST(Checkpoint, ComesBackFromDiskToTheBit) {
  const TempDir dir = TempDir::create().value();
  ASSERT_TRUE(write_checkpoint(sample(), dir.path() / "c"));
  const auto read = read_checkpoint(dir.path() / "c");
  ASSERT_TRUE(read) << read.error().message;
  expect_same(sample(), *read);
}

TEST(Checkpoint, EveryCutAndEveryFlippedByteIsRefused) {
  const std::string good = to_bytes(sample());
  for (size_t size = 0; size < good.size(); ++size)
    EXPECT_FALSE(parse_checkpoint(good.substr(0, size))) << size;
  for (size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 1);
    EXPECT_FALSE(parse_checkpoint(bad)) << i;
  }
}

TEST(Checkpoint, DamageIsNamedWithFileAndByte) {
  const TempDir dir = TempDir::create().value();
  std::string bytes = to_bytes(sample());
  bytes[bytes.size() - 70] ^= 4;
  ASSERT_TRUE(write_file_atomic(dir.path() / "broken.ckpt", bytes));
  const auto read = read_checkpoint(dir.path() / "broken.ckpt");
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, Code::kInvalid);
  EXPECT_THAT(read.error().message, HasSubstr("broken.ckpt"));
  EXPECT_THAT(read.error().message, HasSubstr("checksum"));
  EXPECT_THAT(read.error().message, HasSubstr("byte"));
}

TEST(Checkpoint, AShapeLargerThanTheFileIsRefusedWithoutAllocating) {
  const std::string start = R"({"step":1,"seed":1,"settings":{},"tensors":[{"name":"a","shape":)";
  for (const char* shape :
       {"[4611686018427387904,4]", "[1000000000000]", "[-1]", "[2,2,2,2,2,2,2,2,2]", "[3]"})
    EXPECT_FALSE(parse_checkpoint(with_header(start + shape + "}]}", "12345678"))) << shape;
  EXPECT_TRUE(parse_checkpoint(with_header(start + "[2]}]}", "12345678")));
  EXPECT_FALSE(parse_checkpoint(with_header(start + "[1]}]}", "12345678")));  // bytes left over
}

TEST(Checkpoint, AHeaderOfWrongTypesIsRefused) {
  for (const char* header : {"", "[]", "{}", R"({"step":"x","seed":1,"settings":{},"tensors":[]})",
                             R"({"step":1,"seed":1,"settings":[],"tensors":{}})",
                             R"({"step":1,"seed":1,"settings":{},"tensors":[1]})"}) {
    const auto parsed = parse_checkpoint(with_header(header));
    ASSERT_FALSE(parsed) << header;
    EXPECT_EQ(parsed.error().code, Code::kInvalid);
  }
}

TEST(Checkpoint, AMissingFileIsNotFound) {
  const auto read = read_checkpoint("/nonexistent/checkpoint");
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, Code::kNotFound);
}

}  // namespace
}  // namespace tidemill::nn
