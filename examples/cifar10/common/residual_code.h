// Deflate (RFC 1951) for the filtered rows of photographs, where looking for repeated strings finds next to
// nothing: literals only, under one of a few Huffman codes made beforehand for residuals whose size falls off
// geometrically. On CIFAR-10 the files are as small as libdeflate's fastest level makes them, in a fraction
// of its time.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace tidemill::cifar10 {

class ResidualCode {
 public:
  ResidualCode();

  // The most bytes that so many residuals can take.
  static size_t bound(size_t count) { return count * kMostBits / 8 + kMostHeader; }

  // Writes a zlib stream (RFC 1950) to out, which has bound() bytes, and returns its size. total_size: the
  // sum of the residuals read as signed bytes without their signs; it chooses the code, any value is valid.
  size_t compress(std::span<const uint8_t> residuals, uint64_t total_size, uint8_t* out) const;

 private:
  static constexpr int kMostBits = 14;        // of one code word, so that four fit an accumulator of 64 bits
  static constexpr size_t kMostHeader = 512;  // zlib's frame and the description of the code
  static constexpr size_t kSymbols = 257;     // 256 bytes and the end of the block

  struct Word {
    uint16_t bits = 0;  // first bit lowest
    uint16_t length = 0;
  };
  struct Code {
    std::array<Word, kSymbols> words;
    // The block's beginning: whole bytes, then bits that are left over.
    std::vector<uint8_t> header;
    uint64_t rest = 0;
    int rest_bits = 0;
  };
  static Code make(uint32_t decay);
  const Code& choose(size_t count, uint64_t total_size) const;

  std::vector<Code> codes_;
};

}  // namespace tidemill::cifar10
