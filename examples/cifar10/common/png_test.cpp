#include "common/png.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <png.h>

#include <random>

namespace tidemill::cifar10 {
namespace {

std::vector<uint8_t> smooth_picture(uint32_t width, uint32_t height, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<uint8_t> rgb(size_t{width} * height * 3);
  for (size_t i = 0; i < rgb.size(); ++i)
    rgb[i] = static_cast<uint8_t>(i / 3 % width * 5 + i / width + random() % 9);
  return rgb;
}

// libpng as the judge, in both directions.
std::vector<uint8_t> write_with_libpng(const std::vector<uint8_t>& rgb, uint32_t width, uint32_t height,
                                       int filter) {
  std::vector<uint8_t> out;
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  png_infop info = png_create_info_struct(png);
  auto append = [](png_structp p, png_bytep data, size_t size) {
    auto* to = static_cast<std::vector<uint8_t>*>(png_get_io_ptr(p));
    to->insert(to->end(), data, data + size);
  };
  png_set_write_fn(png, &out, append, nullptr);
  png_set_IHDR(png, info, width, height, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
               PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  png_set_filter(png, 0, filter);
  png_set_compression_buffer_size(png, 1000);  // several IDAT chunks
  png_write_info(png, info);
  for (uint32_t y = 0; y < height; ++y) png_write_row(png, &rgb[size_t{y} * width * 3]);
  png_write_end(png, info);
  png_destroy_write_struct(&png, &info);
  return out;
}

std::vector<uint8_t> read_with_libpng(std::span<const uint8_t> bytes) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  if (!png_image_begin_read_from_memory(&image, bytes.data(), bytes.size())) return {};
  EXPECT_EQ(image.format, static_cast<png_uint_32>(PNG_FORMAT_RGB));
  std::vector<uint8_t> rgb(PNG_IMAGE_SIZE(image));
  if (!png_image_finish_read(&image, nullptr, rgb.data(), 0, nullptr)) return {};
  return rgb;
}

TEST(Png, WhatWeWriteIsReadBackByLibpngToTheByte) {
  for (auto [width, height] : {std::pair{32U, 32U}, {1U, 1U}, {33U, 7U}, {300U, 2U}}) {
    PngEncoder encoder(width, height);
    for (uint32_t seed = 0; seed < 50; ++seed) {
      auto rgb = smooth_picture(width, height, seed);
      ASSERT_EQ(read_with_libpng(encoder.encode(rgb)), rgb) << width << "x" << height << " seed " << seed;
    }
  }
}

// Steps from pixel to pixel of all sizes, so that each of the encoder's codes has its turn.
std::vector<uint8_t> rough_picture(uint32_t side, int step) {
  std::mt19937 random(1);
  std::vector<uint8_t> rgb(side * side * 3);
  for (size_t i = 0; i < rgb.size(); ++i) {
    const int change = static_cast<int>(random() % static_cast<uint32_t>(2 * step + 1)) - step;
    rgb[i] = static_cast<uint8_t>((i < 3 ? 128 : rgb[i - 3]) + change);
  }
  return rgb;
}

TEST(Png, AnyRoughnessIsReadBackAndASmootherPictureIsSmaller) {
  PngEncoder encoder(32, 32);
  size_t last = 0;
  for (int step : {0, 1, 2, 4, 8, 16, 32, 64}) {
    const auto rgb = rough_picture(32, step);
    const auto png = encoder.encode(rgb);
    EXPECT_EQ(read_with_libpng(png), rgb) << "steps of " << step;
    EXPECT_GT(png.size(), last) << "steps of " << step;
    last = png.size();
  }
  EXPECT_LT(last, 32 * 32 * 3 + 300);
}

TEST(Png, NoiseThatCannotBeCompressedFits) {
  std::mt19937 random(1);
  std::vector<uint8_t> rgb(32 * 32 * 3);
  for (auto& value : rgb) value = static_cast<uint8_t>(random());
  PngEncoder encoder(32, 32);
  EXPECT_EQ(read_with_libpng(encoder.encode(rgb)), rgb);
}

TEST(Png, EveryFilterThatLibpngWritesIsUndone) {
  const auto rgb = smooth_picture(40, 30, 3);
  PngDecoder decoder;
  for (int filter :
       {PNG_FILTER_NONE, PNG_FILTER_SUB, PNG_FILTER_UP, PNG_FILTER_AVG, PNG_FILTER_PAETH, PNG_ALL_FILTERS}) {
    auto view = decoder.decode(write_with_libpng(rgb, 40, 30, filter));
    ASSERT_TRUE(view) << view.error().message;
    EXPECT_EQ(view->width, 40U);
    EXPECT_EQ(view->height, 30U);
    EXPECT_EQ(std::vector<uint8_t>(view->rgb.begin(), view->rgb.end()), rgb) << "filter " << filter;
  }
}

TEST(Png, TruncatedAnywhereIsRefusedWithTheByte) {
  PngEncoder encoder(32, 32);
  auto rgb = smooth_picture(32, 32, 5);
  auto written = encoder.encode(rgb);
  std::vector<uint8_t> png(written.begin(), written.end());
  PngDecoder decoder;
  for (size_t size = 0; size < png.size(); ++size) {
    auto view = decoder.decode(std::span(png).first(size));
    ASSERT_FALSE(view) << size;
    EXPECT_EQ(view.error().code, Code::kInvalid);
    EXPECT_THAT(view.error().message, testing::StartsWith("byte "));
  }
}

TEST(Png, AnyFlippedBitIsNoticed) {
  PngEncoder encoder(8, 8);
  auto rgb = smooth_picture(8, 8, 5);
  auto written = encoder.encode(rgb);
  const std::vector<uint8_t> png(written.begin(), written.end());
  PngDecoder decoder;
  for (size_t bit = 0; bit < png.size() * 8; ++bit) {
    auto damaged = png;
    damaged[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    EXPECT_FALSE(decoder.decode(damaged)) << "bit " << bit;
  }
}

TEST(Png, AHugeImageIsRefusedBeforeMemoryIsTaken) {
  PngEncoder encoder(64, 64);
  auto rgb = smooth_picture(64, 64, 1);
  PngDecoder decoder(64 * 64 - 1);
  auto view = decoder.decode(encoder.encode(rgb));
  ASSERT_FALSE(view);
  EXPECT_THAT(view.error().message, testing::HasSubstr("64 x 64"));
}

}  // namespace
}  // namespace tidemill::cifar10
