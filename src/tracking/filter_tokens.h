// The words of the search language. Private to filter.cpp and its test.
#pragma once

#include <string_view>
#include <vector>

namespace tidemill::tracking {

enum class TokenKind { kName, kString, kNumber, kOperator, kOpen, kClose, kComma, kOther };

struct Token {
  TokenKind kind;
  std::string_view text;  // as written, with its quotes; a part of the text given
};

// kName: word, `back-quoted`, "double-quoted", or parts of these joined by a dot without space. Never fails:
// what is nothing becomes kOther.
std::vector<Token> tokenize(std::string_view text);

}  // namespace tidemill::tracking
