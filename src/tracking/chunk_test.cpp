#include "tracking/chunk.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

namespace tidemill::tracking {
namespace {

// All points through as many chunks as they need, each stored and loaded again every few points.
std::vector<Point> through_chunks(const std::vector<Point>& points, size_t* bytes = nullptr) {
  std::vector<Point> out;
  Chunk chunk;
  auto seal = [&] {
    if (bytes) *bytes += chunk.bytes().size();
    EXPECT_LE(chunk.bytes().size(), Chunk::kMaxBytes);
    EXPECT_TRUE(decode_chunk(chunk.bytes(), out));
  };
  for (size_t i = 0; i < points.size(); ++i) {
    if (i % 7 == 3) chunk = Chunk::load(std::string(chunk.bytes())).value();
    if (chunk.append(points[i])) continue;
    seal();
    chunk = Chunk();
    EXPECT_TRUE(chunk.append(points[i]));
  }
  seal();
  return out;
}

void expect_same(const std::vector<Point>& in, const std::vector<Point>& out) {
  ASSERT_EQ(in.size(), out.size());
  for (size_t i = 0; i < in.size(); ++i) ASSERT_TRUE(same_point(in[i], out[i])) << "point " << i;
}

std::vector<Point> training_curve(size_t count) {
  std::mt19937_64 random(1);
  std::vector<Point> points;
  int64_t timestamp = 1'700'000'000'000;
  for (size_t i = 0; i < count; ++i) {
    timestamp += 20 + static_cast<int64_t>(random() % 7);
    float loss =
        2.3F / (1 + 0.01F * static_cast<float>(i)) + 0.05F * static_cast<float>(random() % 1000) / 1000;
    points.push_back({timestamp, static_cast<int64_t>(i), loss});
  }
  return points;
}

TEST(Chunk, a_training_curve_comes_back_in_less_than_eight_bytes_a_point) {
  auto points = training_curve(20'000);
  size_t bytes = 0;
  expect_same(points, through_chunks(points, &bytes));
  EXPECT_LT(static_cast<double>(bytes) / static_cast<double>(points.size()), 8);
}

TEST(Chunk, extreme_numbers_survive) {
  constexpr int64_t kMin = std::numeric_limits<int64_t>::min(), kMax = std::numeric_limits<int64_t>::max();
  std::vector<Point> points;
  for (int64_t timestamp : {int64_t{0}, kMax, kMin, int64_t{1}, int64_t{-1}, kMax})
    for (int64_t step : {kMin, kMax, int64_t{0}})
      for (double value : {0.0, -0.0, 1.0, std::nan(""), std::numeric_limits<double>::max(),
                           std::numeric_limits<double>::denorm_min(), -std::numeric_limits<double>::max()})
        points.push_back({timestamp, step, value});
  expect_same(points, through_chunks(points));
}

TEST(Chunk, random_bits_survive) {
  std::mt19937_64 random(7);
  std::vector<Point> points;
  for (int i = 0; i < 20'000; ++i) {
    unsigned shift = static_cast<unsigned>(random() % 64);
    points.push_back({static_cast<int64_t>(random() >> shift), static_cast<int64_t>(random() >> shift),
                      std::bit_cast<double>(random() << shift)});
  }
  expect_same(points, through_chunks(points));
}

TEST(Chunk, a_cut_chunk_is_refused_at_every_length) {
  Chunk chunk;
  for (const Point& point : training_curve(50)) ASSERT_TRUE(chunk.append(point));
  std::string whole(chunk.bytes());
  for (size_t length = 0; length < whole.size(); ++length) {
    std::vector<Point> out;
    auto cut = decode_chunk(std::string_view(whole).substr(0, length), out);
    ASSERT_FALSE(cut) << length;
    EXPECT_EQ(cut.error().code, Code::kInternal);
    EXPECT_FALSE(Chunk::load(whole.substr(0, length)));
  }
}

TEST(Chunk, another_format_is_refused) {
  std::string bytes(Chunk().bytes());
  bytes[0] = 9;
  EXPECT_FALSE(Chunk::load(bytes));
}

TEST(Chunk, latest_is_by_step_then_time_then_value) {
  EXPECT_TRUE(later({1, 2, 0}, {9, 1, 9}));
  EXPECT_TRUE(later({2, 1, 0}, {1, 1, 9}));
  EXPECT_TRUE(later({1, 1, 2}, {1, 1, 1}));
  EXPECT_FALSE(later({1, 1, 1}, {1, 1, 1}));
  EXPECT_FALSE(later({1, 1, std::nan("")}, {1, 1, 0}));
}

}  // namespace
}  // namespace tidemill::tracking
