#include "config/python_syntax.h"

#include <cctype>
#include <optional>

#include "base/text.h"

namespace tidemill::config {
namespace {

using Kind = PythonExpression::Kind;

constexpr size_t kMaxTokens = 100'000, kMaxOpen = 200;

bool is_word(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' ||
         static_cast<unsigned char>(c) >= 0x80;
}

class Lexer {
 public:
  Lexer(std::string_view text, const std::string& file_name) : text_(text), file_(file_name) {}

  Result<std::vector<PythonLine>> lines() {
    while (at_ < text_.size()) TRY(step());
    if (open_ > 0) return fail_at(here(), "a bracket is not closed");
    end_line();
    return std::move(lines_);
  }

 private:
  Place here() const { return {file_, line_number_, static_cast<int>(at_ - line_start_) + 1}; }
  char peek(size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }

  Result<> step() {
    char c = peek();
    if (c == '\n') {
      if (open_ == 0) end_line();
      next_line();
    } else if (c == '\\' && (peek(1) == '\n' || (peek(1) == '\r' && peek(2) == '\n'))) {
      at_ += peek(1) == '\r' ? 2 : 1;
      next_line();
    } else if (c == '#') {
      while (at_ < text_.size() && peek() != '\n') ++at_;
    } else if (c == ' ' || c == '\t' || c == '\r' || c == '\f') {
      ++at_;
    } else if (c == ';' && open_ == 0) {
      size_t indent = current_.indent;
      ++at_;
      end_line();
      current_.indent = indent;
      continued_ = true;
    } else {
      if (current_.tokens.empty() && !continued_) current_.indent = at_ - line_start_;
      if (++count_ > kMaxTokens) return fail_at(here(), "the file is too long to be read as a driver");
      TRY(token());
    }
    return {};
  }

  void next_line() {
    ++at_;
    ++line_number_;
    line_start_ = at_;
  }

  void end_line() {
    if (!current_.tokens.empty()) lines_.push_back(std::move(current_));
    current_ = {};
    continued_ = false;
  }

  Result<> token() {
    Place place = here();
    size_t begin = at_;
    if (is_word(peek())) {
      while (is_word(peek()) || (std::isdigit(static_cast<unsigned char>(text_[begin])) && peek() == '.'))
        ++at_;
      std::string word(text_.substr(begin, at_ - begin));
      if ((peek() == '"' || peek() == '\'') && word.size() <= 2 &&
          word.find_first_not_of("rRbBuUfF") == std::string::npos)
        return string(to_lower(word), begin, place);
      bool digit = std::isdigit(static_cast<unsigned char>(word[0])) != 0;
      add(digit ? PythonToken::Kind::kNumber : PythonToken::Kind::kName, word, begin, place);
      return {};
    }
    if (peek() == '"' || peek() == '\'') return string("", begin, place);
    char c = peek();
    if (c == '(' || c == '[' || c == '{') {
      if (++open_ > kMaxOpen) return fail_at(place, "more than {} open brackets", kMaxOpen);
    }
    if ((c == ')' || c == ']' || c == '}') && open_ > 0) --open_;
    for (std::string_view two :
         {"==", "!=", "<=", ">=", "//", "**", "->", ":=", "+=", "-=", "*=", "/=", "%=", "|="})
      if (text_.substr(at_, 2) == two) {
        at_ += 2;
        add(PythonToken::Kind::kOperator, std::string(two), begin, place);
        return {};
      }
    ++at_;
    add(PythonToken::Kind::kOperator, std::string(1, c), begin, place);
    return {};
  }

  void add(PythonToken::Kind kind, std::string text, size_t begin, const Place& place) {
    current_.tokens.push_back({kind, std::move(text), std::string(text_.substr(begin, at_ - begin)), place});
  }

  Result<> string(const std::string& prefix, size_t begin, const Place& place) {
    char quote = peek();
    bool triple = peek(1) == quote && peek(2) == quote;
    at_ += triple ? 3 : 1;
    std::string held;
    for (;;) {
      char c = peek();
      if (at_ >= text_.size() || (c == '\n' && !triple)) return fail_at(place, "a string is not closed");
      if (c == quote && (!triple || (peek(1) == quote && peek(2) == quote))) break;
      if (c == '\\' && prefix.find('r') == std::string::npos) {
        ++at_;
        escape(held);
      } else {
        held += c;
        if (c == '\n')
          next_line();
        else
          ++at_;
      }
    }
    at_ += triple ? 3 : 1;
    add(prefix.find('f') == std::string::npos ? PythonToken::Kind::kText : PythonToken::Kind::kFormat,
        std::move(held), begin, place);
    return {};
  }

  void escape(std::string& held) {
    constexpr std::string_view kNamed = "ntr", kMeant = "\n\t\r";
    char c = peek();
    if (at_ >= text_.size()) return;
    if (c == '\n') return next_line();
    size_t named = kNamed.find(c);
    if (named != std::string::npos) {
      held += kMeant[named];
    } else if (c == '\\' || c == '\'' || c == '"') {
      held += c;
    } else {
      held += '\\';
      held += c;
    }
    ++at_;
  }

  std::string_view text_;
  std::string file_;
  size_t at_ = 0, line_start_ = 0, open_ = 0, count_ = 0;
  int line_number_ = 1;
  bool continued_ = false;  // behind a semicolon
  PythonLine current_;
  std::vector<PythonLine> lines_;
};

// For messages: cut where it gets long.
std::string source_of(const std::vector<PythonToken>& tokens, size_t begin, size_t end) {
  constexpr size_t kLongest = 100;
  std::string source;
  for (size_t i = begin; i < end; ++i) {
    const std::string& word = tokens[i].source;
    if (!source.empty() && is_word(source.back()) && is_word(word[0])) source += ' ';
    source += word;
    if (source.size() > kLongest) return fmt::format("{}...", source.substr(0, kLongest));
  }
  return source;
}

class Parser {
 public:
  Parser(const std::vector<PythonToken>& tokens, size_t begin, size_t end, int depth)
      : tokens_(tokens), at_(begin), end_(end), depth_(depth) {}

  // nullopt when it is not understood to its end.
  std::optional<PythonExpression> whole() {
    auto expression = sum();
    if (!expression || at_ != end_) return std::nullopt;
    return expression;
  }

 private:
  static constexpr int kMaxDepth = 100;

  bool next_is(std::string_view op) const { return at_ < end_ && tokens_[at_].is(op); }
  PythonExpression make(Kind kind, std::string text, size_t begin) const {
    PythonExpression made{.kind = kind, .text = std::move(text), .place = tokens_[begin].place};
    made.source = source_of(tokens_, begin, at_);
    return made;
  }

  std::optional<PythonExpression> sum() {
    if (depth_ >= kMaxDepth) return std::nullopt;
    ++depth_;
    auto value = alternatives();
    --depth_;
    return value;
  }

  std::optional<PythonExpression> alternatives() {
    size_t begin = at_;
    auto left = joined();
    for (int links = 0; left && at_ < end_ && tokens_[at_].is_name("or"); ++links) {
      if (links > kMaxDepth) return std::nullopt;
      ++at_;
      auto right = joined();
      if (!right) return std::nullopt;
      auto both = make(Kind::kJoin, "or", begin);
      both.items = {std::move(*left), std::move(*right)};
      left = std::move(both);
    }
    return left;
  }

  std::optional<PythonExpression> joined() {
    size_t begin = at_;
    auto left = postfix();
    for (int links = 0; left && (next_is("+") || next_is("/")); ++links) {
      if (links > kMaxDepth) return std::nullopt;
      std::string op = tokens_[at_++].text;
      auto right = postfix();
      if (!right) return std::nullopt;
      auto both = make(Kind::kJoin, op, begin);
      both.items = {std::move(*left), std::move(*right)};
      left = std::move(both);
    }
    return left;
  }

  std::optional<PythonExpression> postfix() {
    size_t begin = at_;
    auto value = atom();
    for (int links = 0; value && at_ < end_; ++links) {
      if (links > kMaxDepth) return std::nullopt;
      std::optional<PythonExpression> outer;
      if (next_is(".") && at_ + 1 < end_ && tokens_[at_ + 1].kind == PythonToken::Kind::kName) {
        at_ += 2;
        outer = make(Kind::kAttribute, tokens_[at_ - 1].text, begin);
        outer->items = {std::move(*value)};
      } else if (next_is("(")) {
        outer = call(std::move(*value), begin);
      } else if (next_is("[")) {
        ++at_;
        auto index = sum();
        if (!index || !next_is("]")) return std::nullopt;
        ++at_;
        outer = make(Kind::kSubscript, "", begin);
        outer->items = {std::move(*value), std::move(*index)};
      } else {
        break;
      }
      value = std::move(outer);
    }
    return value;
  }

  std::optional<PythonExpression> call(PythonExpression callee, size_t begin) {
    std::vector<PythonExpression> items = {std::move(callee)};
    std::vector<PythonKeyword> keywords;
    ++at_;
    while (!next_is(")")) {
      std::string keyword;
      if (at_ + 1 < end_ && tokens_[at_].kind == PythonToken::Kind::kName && tokens_[at_ + 1].is("=")) {
        keyword = tokens_[at_].text;
        at_ += 2;
      } else if (next_is("**")) {
        keyword = "**";
        ++at_;
      }
      PythonExpression value = argument();
      if (keyword.empty())
        items.push_back(std::move(value));
      else
        keywords.push_back({std::move(keyword), std::move(value)});
      if (next_is(","))
        ++at_;
      else if (!next_is(")"))
        return std::nullopt;
    }
    ++at_;
    auto made = make(Kind::kCall, "", begin);
    made.items = std::move(items);
    made.keywords = std::move(keywords);
    return made;
  }

  // An element of a list; what is not understood does not spoil those beside it.
  PythonExpression argument() {
    size_t begin = at_;
    auto value = sum();
    if (value && at_ < end_ && (next_is(",") || next_is(")") || next_is("]") || next_is("}") || next_is(":")))
      return *value;
    at_ = begin;
    for (int open = 0; at_ < end_; ++at_) {
      const PythonToken& token = tokens_[at_];
      if (open == 0 && (token.is(",") || token.is(")") || token.is("]") || token.is("}"))) break;
      if (token.is("(") || token.is("[") || token.is("{")) ++open;
      if (token.is(")") || token.is("]") || token.is("}")) --open;
    }
    return make(Kind::kOther, "", begin < at_ || begin == 0 ? begin : begin - 1);
  }

  std::optional<PythonExpression> atom() {
    if (at_ >= end_) return std::nullopt;
    size_t begin = at_;
    const PythonToken& token = tokens_[at_];
    switch (token.kind) {
      case PythonToken::Kind::kText:
      case PythonToken::Kind::kFormat:
        return strings();
      case PythonToken::Kind::kNumber:
        ++at_;
        return make(Kind::kNumber, token.text, begin);
      case PythonToken::Kind::kName: {
        ++at_;
        bool constant = token.text == "True" || token.text == "False" || token.text == "None";
        for (const char* word : {"lambda", "not", "await", "yield"})
          if (token.text == word) return std::nullopt;
        return make(constant ? Kind::kNumber : Kind::kName, token.text, begin);
      }
      case PythonToken::Kind::kOperator:
        break;
    }
    if (token.is("-") && at_ + 1 < end_ && tokens_[at_ + 1].kind == PythonToken::Kind::kNumber) {
      at_ += 2;
      return make(Kind::kNumber, "-" + tokens_[at_ - 1].text, begin);
    }
    if (token.is("(") || token.is("[")) return list(token.is("(") ? ")" : "]");
    if (token.is("{")) return dict();
    return std::nullopt;
  }

  // Strings that stand beside each other are one.
  std::optional<PythonExpression> strings() {
    size_t begin = at_;
    std::vector<PythonExpression> parts;
    bool format = false;
    for (; at_ < end_; ++at_) {
      const PythonToken& token = tokens_[at_];
      if (token.kind == PythonToken::Kind::kFormat) {
        format = true;
        if (!format_parts(token, parts)) return std::nullopt;
      } else if (token.kind == PythonToken::Kind::kText) {
        parts.push_back(
            {.kind = Kind::kText, .text = token.text, .source = token.source, .place = token.place});
      } else {
        break;
      }
    }
    if (format) {
      auto made = make(Kind::kFormat, "", begin);
      made.items = std::move(parts);
      return made;
    }
    std::string text;
    for (const auto& part : parts) text += part.text;
    return make(Kind::kText, text, begin);
  }

  bool format_parts(const PythonToken& token, std::vector<PythonExpression>& parts) const {
    const std::string& text = token.text;
    std::string held;
    for (size_t i = 0; i < text.size(); ++i) {
      if (text[i] != '{' && text[i] != '}') {
        held += text[i];
      } else if (i + 1 < text.size() && text[i + 1] == text[i]) {
        held += text[i++];
      } else {
        size_t end = text.find('}', i);
        if (text[i] == '}' || end == std::string::npos) return false;
        parts.push_back(
            {.kind = Kind::kText, .text = std::exchange(held, ""), .source = "", .place = token.place});
        parts.push_back(inner(text.substr(i + 1, end - i - 1), token));
        i = end;
      }
    }
    parts.push_back({.kind = Kind::kText, .text = held, .source = "", .place = token.place});
    return true;
  }

  PythonExpression inner(const std::string& text, const PythonToken& token) const {
    PythonExpression other{.kind = Kind::kOther, .source = text, .place = token.place};
    auto lines = python_lines(text, *token.place.file);
    if (!lines || lines->size() != 1) return other;
    const auto& tokens = lines->front().tokens;
    auto parsed = Parser(tokens, 0, tokens.size(), depth_).whole();
    if (!parsed) return other;
    parsed->place = token.place;
    return *parsed;
  }

  std::optional<PythonExpression> list(std::string_view close) {
    size_t begin = at_++;
    std::vector<PythonExpression> items;
    bool comma = false;
    while (at_ < end_ && !next_is(close)) {
      items.push_back(argument());
      if (next_is(","))
        comma = true, ++at_;
      else if (!next_is(close))
        return std::nullopt;
    }
    if (at_ >= end_) return std::nullopt;
    ++at_;
    if (close == ")" && items.size() == 1 && !comma) return items[0];
    auto made = make(Kind::kList, "", begin);
    made.items = std::move(items);
    return made;
  }

  std::optional<PythonExpression> dict() {
    size_t begin = at_++;
    std::vector<PythonExpression> items;
    while (at_ < end_ && !next_is("}")) {
      const bool spreads = next_is("**");
      auto key = spreads ? make(Kind::kOther, "**", at_) : sum();
      if (!key || (!spreads && !next_is(":"))) return std::nullopt;
      ++at_;  // behind the colon, or the stars
      items.push_back(std::move(*key));
      items.push_back(argument());
      if (next_is(","))
        ++at_;
      else if (!next_is("}"))
        return std::nullopt;
    }
    if (at_ >= end_) return std::nullopt;
    ++at_;
    auto made = make(Kind::kDict, "", begin);
    made.items = std::move(items);
    return made;
  }

  const std::vector<PythonToken>& tokens_;
  size_t at_, end_;
  int depth_;
};

}  // namespace

Result<std::vector<PythonLine>> python_lines(std::string_view text, const std::string& file_name) {
  return Lexer(text, file_name).lines();
}

PythonExpression python_expression(const std::vector<PythonToken>& tokens, size_t begin, size_t end) {
  if (auto parsed = Parser(tokens, begin, end, 0).whole()) return *parsed;
  PythonExpression other{.kind = PythonExpression::Kind::kOther};
  if (begin < end) other.place = tokens[begin].place;
  other.source = source_of(tokens, begin, end);
  return other;
}

}  // namespace tidemill::config
