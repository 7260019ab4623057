// PNG (ISO/IEC 15948) for what this example needs, 8-bit RGB without interlace, several times faster than
// through libpng: whole buffers, no row callbacks, no
// allocation per image, and a code for deflate that suits photographs.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/result.h"

namespace tidemill::cifar10 {

struct PngView {
  uint32_t width = 0, height = 0;
  std::span<const uint8_t> rgb;  // rows from the top, 3 bytes a pixel; lives until the decoder's next call
};

// Reuses its buffers from image to image. Not thread-safe: one for each thread.
class PngDecoder {
 public:
  // Images of more pixels are refused before memory is taken.
  explicit PngDecoder(uint64_t max_pixels = 1 << 20);
  ~PngDecoder();
  PngDecoder(PngDecoder&&) noexcept;

  // kInvalid with the byte offset for anything damaged (checksums are verified) or of another pixel format.
  Result<PngView> decode(std::span<const uint8_t> png);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// As PngDecoder, for writing: fixed size, the same bytes for the same pixels every time.
class PngEncoder {
 public:
  PngEncoder(uint32_t width, uint32_t height);
  ~PngEncoder();
  PngEncoder(PngEncoder&&) noexcept;

  // rgb: width * height * 3 bytes, rows from the top. The result lives until the next call.
  std::span<const uint8_t> encode(std::span<const uint8_t> rgb);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace tidemill::cifar10
