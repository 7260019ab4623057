// A text without the secrets in it, which comes in pieces.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace tidemill {

// Replaces each secret by three stars. feed() and finish() allocate nothing: a forked child of a program with
// threads may call them.
class Mask {
 public:
  static constexpr size_t kMostBytes = 16 << 10;  // of a piece

  explicit Mask(std::vector<std::string> secrets);

  // What can be told of the text so far: a piece that may be the beginning of a secret is kept back. Valid
  // until the next call.
  std::string_view feed(std::string_view piece);
  // The rest.
  std::string_view finish();

 private:
  enum class More { kMayCome, kNo };
  std::string_view replace(More more);

  std::vector<std::string> secrets_;  // the longest first
  std::string kept_, told_;
};

// All of a text.
std::string masked(std::string_view text, const std::vector<std::string>& secrets);

}  // namespace tidemill
