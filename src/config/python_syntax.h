// As much of Python's syntax as a driver's calls of mlflow.run() need: logical lines, and expressions as
// trees. What it does not know becomes kOther and keeps its text, so that a file is never refused for what
// surrounds the calls.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/yaml.h"

namespace tidemill::config {

struct PythonToken {
  enum class Kind { kName, kNumber, kText, kFormat, kOperator };  // kFormat: f"..."
  Kind kind = Kind::kOperator;
  std::string text;    // of strings: what they hold, but for kFormat with its braces
  std::string source;  // as written
  Place place;

  bool is(std::string_view op) const { return kind == Kind::kOperator && text == op; }
  bool is_name(std::string_view name) const { return kind == Kind::kName && text == name; }
};

// A line, joined with those that continue it; comments are gone.
struct PythonLine {
  size_t indent = 0;
  std::vector<PythonToken> tokens;  // never empty
};
// kInvalid at a place: a string or a bracket that is not closed, more than 200 open brackets, or more than
// 100 000 tokens.
Result<std::vector<PythonLine>> python_lines(std::string_view text, const std::string& file_name);

struct PythonKeyword;
struct PythonExpression {
  enum class Kind {
    kText,       // text
    kNumber,     // text as written; also True, False and None
    kName,       // text
    kAttribute,  // items[0].text
    kCall,       // items[0](items[1..], keywords); **x is a keyword "**"
    kSubscript,  // items[0][items[1]]
    kJoin,       // items[0] text items[1], of +, / and or
    kFormat,     // items one after another
    kList,       // also tuples
    kDict,       // items: key, value, key, value; of **x the key is kOther, "**"
    kOther       // text as written
  };
  Kind kind = Kind::kOther;
  std::string text;
  std::vector<PythonExpression> items;
  std::vector<PythonKeyword> keywords;
  std::string source;  // as written, with single spaces
  Place place;
};
struct PythonKeyword {
  std::string name;
  PythonExpression value;
};
// The whole of tokens[begin, end).
PythonExpression python_expression(const std::vector<PythonToken>& tokens, size_t begin, size_t end);

}  // namespace tidemill::config
