#include "checks/image.h"

#include <png.h>

#include <cstring>
#include <memory>
#include <vector>

namespace tidemill::checks {
namespace {

constexpr uint64_t kMostPixels = 100'000'000;

ImageFacts png_facts(std::string_view bytes) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  std::unique_ptr<png_image, decltype(&png_image_free)> release(&image, png_image_free);
  if (png_image_begin_read_from_memory(&image, bytes.data(), bytes.size()) == 0)
    return {.damage = image.message, .brightness = {}};
  if (uint64_t{image.width} * image.height > kMostPixels)
    return {.damage = "more than 100 million pixels", .brightness = {}};
  image.format = PNG_FORMAT_RGB;
  std::vector<uint8_t> pixels(PNG_IMAGE_SIZE(image));
  if (png_image_finish_read(&image, nullptr, pixels.data(), 0, nullptr) == 0)
    return {.damage = image.message, .brightness = {}};
  ImageFacts facts{.damage = "", .constant = true, .brightness = 0};
  uint64_t sum = 0;
  for (size_t i = 0; i < pixels.size(); ++i) {
    sum += pixels[i];
    facts.constant = facts.constant && pixels[i] == pixels[i % 3];
  }
  facts.brightness = static_cast<double>(sum) / static_cast<double>(pixels.size());
  return facts;
}

}  // namespace

ImageFacts image_facts(std::string_view bytes) {
  if (bytes.starts_with("\x89PNG\r\n\x1a\n")) return png_facts(bytes);
  if (!bytes.starts_with("\xFF\xD8\xFF"))
    return {.damage = bytes.empty() ? "it is empty" : "neither PNG nor JPEG", .brightness = {}};
  // Some writers pad the end.
  size_t last = bytes.find_last_not_of('\0');
  bool ended = last != std::string_view::npos && last >= 4 && bytes.substr(last - 1, 2) == "\xFF\xD9";
  return {.damage = ended ? "" : "it is cut off", .brightness = {}};
}

}  // namespace tidemill::checks
