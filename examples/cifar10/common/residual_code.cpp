#include "common/residual_code.h"

#include <libdeflate.h>

#include <algorithm>
#include <cstring>
#include <queue>

namespace tidemill::cifar10 {
namespace {

constexpr size_t kEndOfBlock = 256;
// RFC 1951, 3.2.7: the order in which the lengths of the code for code lengths are written.
constexpr std::array<uint8_t, 19> kLengthOrder = {16, 17, 18, 0, 8,  7, 9,  6, 10, 5,
                                                  11, 4,  12, 3, 13, 2, 14, 1, 15};
constexpr uint8_t kRepeat = 16;  // the length before, 3 to 6 times more

// One code for each: a residual of size n + 1 is decay / 1024 times as frequent as one of size n. The mean
// size that a code is best for is about decay / (1024 - decay); the last one takes all as equally frequent.
constexpr std::array<uint32_t, 12> kDecays = {256, 512, 683, 768, 832, 872, 904, 930, 952, 972, 992, 1024};

// Huffman's lengths of the symbols whose weight is not 0, none above `most`: while one is, the weights are
// brought closer together, as bzip2 does.
std::vector<uint8_t> huffman_lengths(std::vector<uint64_t> weights, int most) {
  struct Node {
    uint64_t weight;
    size_t index;  // makes the order of equals, and so the code, the same everywhere
    bool operator>(const Node& other) const {
      return std::tie(weight, index) > std::tie(other.weight, other.index);
    }
  };
  for (;;) {
    std::priority_queue<Node, std::vector<Node>, std::greater<>> open;
    std::vector<size_t> parent(weights.size() * 2);
    for (size_t i = 0; i < weights.size(); ++i)
      if (weights[i]) open.push({weights[i], i});
    size_t next = weights.size();
    while (open.size() > 1) {
      const Node left = open.top();
      open.pop();
      const Node right = open.top();
      open.pop();
      parent[left.index] = parent[right.index] = next;
      open.push({left.weight + right.weight, next++});
    }
    std::vector<uint8_t> depth(next);
    for (size_t node = next - 1; node-- > 0;)
      if (node >= weights.size() || weights[node])
        depth[node] = static_cast<uint8_t>(depth[parent[node]] + 1);
    depth.resize(weights.size());
    if (*std::max_element(depth.begin(), depth.end()) <= most) return depth;
    for (uint64_t& weight : weights) weight = weight ? weight / 2 + 1 : 0;
  }
}

// RFC 1951, 3.2.2: the words that follow from the lengths, first bit lowest.
std::vector<uint16_t> canonical_words(const std::vector<uint8_t>& lengths) {
  std::vector<uint16_t> words(lengths.size());
  uint16_t next = 0;
  for (int length = 1; length <= 15; ++length, next = static_cast<uint16_t>(next << 1))
    for (size_t symbol = 0; symbol < lengths.size(); ++symbol) {
      if (lengths[symbol] != length) continue;
      for (int bit = 0; bit < length; ++bit)
        words[symbol] = static_cast<uint16_t>(words[symbol] | (next >> bit & 1) << (length - 1 - bit));
      ++next;
    }
  return words;
}

class Bits {
 public:
  void put(uint64_t value, int count) {
    bits_ |= value << filled_;
    for (filled_ += count; filled_ >= 8; filled_ -= 8, bits_ >>= 8)
      bytes_.push_back(static_cast<uint8_t>(bits_));
  }
  const std::vector<uint8_t>& bytes() const { return bytes_; }
  uint64_t rest() const { return bits_; }
  int rest_bits() const { return filled_; }

 private:
  std::vector<uint8_t> bytes_;
  uint64_t bits_ = 0;
  int filled_ = 0;
};

struct LengthToken {
  uint8_t symbol;      // a length, or kRepeat
  uint8_t repeat = 0;  // how often, for kRepeat
};

std::vector<LengthToken> tokens_of(const std::vector<uint8_t>& lengths) {
  std::vector<LengthToken> tokens;
  for (size_t i = 0; i < lengths.size();) {
    size_t run = 1;
    while (i + run < lengths.size() && lengths[i + run] == lengths[i]) ++run;
    tokens.push_back({lengths[i]});
    i += run--;
    for (; run >= 3; run -= std::min<size_t>(run, 6))
      tokens.push_back({kRepeat, static_cast<uint8_t>(std::min<size_t>(run, 6))});
    for (; run > 0; --run) tokens.push_back({lengths[i - 1]});
  }
  return tokens;
}

// zlib's header, then a block's: the last one, dynamic codes, the code lengths of literals and of the one
// distance, which is never used.
Bits describe(std::vector<uint8_t> lengths) {
  Bits out;
  out.put(0x78, 8);
  out.put(0x01, 8);
  out.put(1, 1);
  out.put(2, 2);
  out.put(lengths.size() - 257, 5);
  out.put(0, 5);
  out.put(kLengthOrder.size() - 4, 4);
  lengths.push_back(1);
  const std::vector<LengthToken> tokens = tokens_of(lengths);
  std::vector<uint64_t> frequency(kLengthOrder.size());
  for (const LengthToken& token : tokens) ++frequency[token.symbol];
  const std::vector<uint8_t> token_lengths = huffman_lengths(frequency, 7);
  const std::vector<uint16_t> words = canonical_words(token_lengths);
  for (uint8_t symbol : kLengthOrder) out.put(token_lengths[symbol], 3);
  for (const LengthToken& token : tokens) {
    out.put(words[token.symbol], token_lengths[token.symbol]);
    if (token.symbol == kRepeat) out.put(token.repeat - 3U, 2);
  }
  return out;
}

}  // namespace

ResidualCode::ResidualCode() {
  codes_.reserve(kDecays.size());
  for (uint32_t decay : kDecays) codes_.push_back(make(decay));
}

ResidualCode::Code ResidualCode::make(uint32_t decay) {
  std::vector<uint64_t> weights(kSymbols);
  uint64_t weight = 1 << 16;
  for (size_t size = 0; size <= 128; ++size, weight = weight * decay / 1024)
    weights[size] = weights[(256 - size) % 256] = weight + 1;
  weights[kEndOfBlock] = 1;
  const std::vector<uint8_t> lengths = huffman_lengths(weights, kMostBits);
  const std::vector<uint16_t> words = canonical_words(lengths);
  Code code;
  for (size_t symbol = 0; symbol < kSymbols; ++symbol) code.words[symbol] = {words[symbol], lengths[symbol]};
  const Bits header = describe(lengths);
  code.header = header.bytes();
  code.rest = header.rest();
  code.rest_bits = header.rest_bits();
  return code;
}

const ResidualCode::Code& ResidualCode::choose(size_t count, uint64_t total_size) const {
  // The first whose own mean is not below this one's; between two means the lower code loses little.
  size_t at = 0;
  while (at + 1 < kDecays.size() && total_size * (1024 - kDecays[at]) > count * kDecays[at]) ++at;
  return codes_[at];
}

size_t ResidualCode::compress(std::span<const uint8_t> residuals, uint64_t total_size, uint8_t* out) const {
  const Code& code = choose(residuals.size(), total_size);
  uint8_t* to = std::copy(code.header.begin(), code.header.end(), out);
  uint64_t bits = code.rest;
  int filled = code.rest_bits;
  auto put = [&](size_t symbol) {
    const Word word = code.words[symbol];
    bits |= uint64_t{word.bits} << filled;
    filled += word.length;
  };
  auto flush = [&] {  // leaves fewer than 8 bits
    std::memcpy(to, &bits, sizeof bits);
    to += filled / 8;
    bits >>= filled & ~7;
    filled &= 7;
  };
  size_t i = 0;
  for (; i + 4 <= residuals.size(); i += 4) {
    for (size_t k = 0; k < 4; ++k) put(residuals[i + k]);
    flush();
  }
  for (; i < residuals.size(); ++i) put(residuals[i]), flush();
  put(kEndOfBlock);
  filled += 7;  // a last incomplete byte is a whole one
  flush();
  const uint32_t sum = libdeflate_adler32(1, residuals.data(), residuals.size());
  for (int shift = 24; shift >= 0; shift -= 8) *to++ = static_cast<uint8_t>(sum >> shift);
  return static_cast<size_t>(to - out);
}

}  // namespace tidemill::cifar10
