// The words of the search language. Private to filter.cpp and its test.
#pragma once

#include <string_view>
#include <vector>

namespace tidemill::tracking {

enum class TokenKind { kName, kString, kNumber, kOperator, kList, kOther };

struct Token {
  TokenKind kind;
  std::string_view text;  // as written, quotes and parentheses included
};

// kName: word, `back-quoted`, "double-quoted", or parts of these joined by a dot without space. kList: from
// "(" to its ")". Never fails: what is nothing becomes kOther.
std::vector<Token> tokenize(std::string_view text);

}  // namespace tidemill::tracking
