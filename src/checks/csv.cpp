#include "checks/csv.h"

#include <fcntl.h>

#include <span>

namespace tidemill::checks {
namespace {

constexpr size_t kMostRowBytes = 64 << 20;

// The end of the row that begins at the front of the text, behind its line break; npos when it is not all
// there.
size_t row_end(std::string_view text) {
  bool quoted = false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '"') quoted = !quoted;
    if (text[i] == '\n' && !quoted) return i + 1;
  }
  return std::string_view::npos;
}

// A quote within an unquoted field is a character like others, doubled in a quoted one.
std::vector<std::string> fields_of(std::string_view row) {
  while (!row.empty() && (row.back() == '\n' || row.back() == '\r')) row.remove_suffix(1);
  std::vector<std::string> fields(1);
  bool quoted = false;
  for (size_t i = 0; i < row.size(); ++i) {
    if (quoted && row[i] == '"' && i + 1 < row.size() && row[i + 1] == '"') {
      fields.back() += row[i++];
    } else if (row[i] == '"' && (quoted || fields.back().empty())) {
      quoted = !quoted;
    } else if (row[i] == ',' && !quoted) {
      fields.emplace_back();
    } else {
      fields.back() += row[i];
    }
  }
  return fields;
}

}  // namespace

Result<> read_csv(const fs::path& file, const std::function<bool(const CsvRow&)>& use) {
  Fd in = TRY(open_file(file, O_RDONLY));
  std::string text;
  std::vector<char> buffer(1 << 18);
  uint64_t line = 1;
  bool ended = false, first = true;
  while (!ended) {
    size_t got = TRY(read_some(in, buffer));
    ended = got == 0;
    text.append(buffer.data(), got);
    if (ended && !text.empty() && text.back() != '\n') text += '\n';
    std::string_view rest = text;
    if (first && rest.starts_with("\xEF\xBB\xBF")) rest.remove_prefix(3);
    first = false;
    for (size_t end = row_end(rest); end != std::string_view::npos; end = row_end(rest)) {
      CsvRow row{.line = line, .text = rest.substr(0, end), .fields = {}};
      line += static_cast<uint64_t>(std::count(row.text.begin(), row.text.end(), '\n'));
      rest.remove_prefix(end);
      if (row.text == "\n" || row.text == "\r\n") continue;
      row.fields = fields_of(row.text);
      if (!use(row)) return {};
    }
    if (rest.size() > kMostRowBytes)
      return fail(Code::kInvalid, "{}:{}: a row of more than {} MiB", file.string(), line,
                  kMostRowBytes >> 20);
    if (ended && !rest.empty())
      return fail(Code::kInvalid, "{}:{}: a quote is not closed", file.string(), line);
    text.erase(0, text.size() - rest.size());
  }
  return {};
}

Result<> remove_rows(const fs::path& file, const std::set<uint64_t>& lines) {
  const fs::path fresh = fs::path(file).concat(".without-bad-rows");
  Fd out = TRY(open_file(fresh, O_WRONLY | O_CREAT | O_TRUNC));
  std::string kept;
  Result<> written;
  auto flush = [&] {
    written = write_all(out, kept);
    kept.clear();
    return written.has_value();
  };
  TRY(read_csv(file, [&](const CsvRow& row) {
    if (lines.count(row.line) == 0) kept += row.text;
    return kept.size() < (1 << 18) || flush();
  }));
  TRY(written);
  flush();
  TRY(written);
  std::error_code error;
  fs::rename(fresh, file, error);
  if (error) return fail(Code::kUnavailable, "{} cannot be replaced: {}", file.string(), error.message());
  return {};
}

}  // namespace tidemill::checks
