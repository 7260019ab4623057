#include "tracking/filter_tokens.h"

#include <cctype>

namespace tidemill::tracking {
namespace {

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_word(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) || static_cast<unsigned char>(c) >= 0x80 ||
         std::string_view("_.-/:@$").find(c) != std::string_view::npos;
}
bool is_quote(char c) { return c == '`' || c == '"' || c == '\''; }
bool is_operator(char c) { return std::string_view("<>=!~").find(c) != std::string_view::npos; }

class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  std::vector<Token> all() {
    std::vector<Token> tokens;
    while (true) {
      while (at_ < text_.size() && is_space(text_[at_])) ++at_;
      if (at_ == text_.size()) return tokens;
      size_t start = at_;
      TokenKind kind = next();
      tokens.push_back({kind, text_.substr(start, at_ - start)});
    }
  }

 private:
  char peek(size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }

  TokenKind next() {
    char c = peek();
    if (c == '\'') return quoted('\'') ? TokenKind::kString : TokenKind::kOther;
    if (c == '(' || c == ')' || c == ',') {
      ++at_;
      return c == '(' ? TokenKind::kOpen : c == ')' ? TokenKind::kClose : TokenKind::kComma;
    }
    if (is_digit(c) || ((c == '-' || c == '.') && (is_digit(peek(1)) || peek(1) == '.'))) return number();
    if (is_operator(c)) {
      while (is_operator(peek())) ++at_;
      return TokenKind::kOperator;
    }
    if (c == '`' || c == '"' || is_word(c)) return name();
    ++at_;
    return TokenKind::kOther;
  }

  // Moves behind the closing quote; doubled quotes stand for one. False: never closed, at the end now.
  bool quoted(char quote) {
    for (++at_; at_ < text_.size(); ++at_) {
      if (text_[at_] != quote) continue;
      if (peek(1) == quote) {
        ++at_;
        continue;
      }
      ++at_;
      return true;
    }
    return false;
  }

  TokenKind number() {
    size_t start = at_;
    if (peek() == '-') ++at_;
    while (is_digit(peek())) ++at_;
    if (peek() == '.') ++at_;
    while (is_digit(peek())) ++at_;
    if ((peek() == 'e' || peek() == 'E') &&
        (is_digit(peek(1)) || ((peek(1) == '-' || peek(1) == '+') && is_digit(peek(2))))) {
      at_ += 2;
      while (is_digit(peek())) ++at_;
    }
    bool has_digit = text_.substr(start, at_ - start).find_first_of("0123456789") != std::string_view::npos;
    if (has_digit && !is_word(peek())) return TokenKind::kNumber;
    while (is_word(peek())) ++at_;
    return TokenKind::kName;
  }

  TokenKind name() {
    while (true) {
      char c = peek();
      if (is_quote(c)) {
        if (!quoted(c)) return TokenKind::kOther;
        if (peek() != '.') return TokenKind::kName;
        ++at_;
      } else if (is_word(c) && c != '\0') {
        while (is_word(peek())) ++at_;
        bool part_follows = text_[at_ - 1] == '.' && is_quote(peek());
        if (!part_follows) return TokenKind::kName;
      } else {
        return TokenKind::kName;
      }
    }
  }

  std::string_view text_;
  size_t at_ = 0;
};

}  // namespace

std::vector<Token> tokenize(std::string_view text) { return Scanner(text).all(); }

}  // namespace tidemill::tracking
