#include "exchange/metric_file.h"

#include <fcntl.h>

#include "base/files.h"
#include "base/text.h"

namespace tidemill::exchange {
namespace {

constexpr size_t kBufferBytes = 1 << 18, kMostLineBytes = 4096;

class Lines {
 public:
  Lines(const std::string& file, MetricOwner owner, const std::function<Result<>(MetricLine)>& each)
      : file_(file), owner_(owner), each_(each) {}

  // Takes whole lines off the front of text; the rest stays.
  Result<> take(std::string& text) {
    size_t begin = 0;
    for (size_t end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1)
      TRY(line(std::string_view(text).substr(begin, end - begin)));
    text.erase(0, begin);
    if (text.size() <= kMostLineBytes) return {};
    text.clear();  // the rest of this line will be no point either, and is counted as another one
    return line("-");
  }

  Result<> line(std::string_view text) {
    ++number_;
    if (trim(text).empty()) return {};
    if (auto parsed = parse_metric_line(text, owner_)) return each_(std::move(*parsed));
    if (bad_++ == 0) first_bad_ = number_;
    return {};
  }

  void report(Report& report) const {
    if (bad_ == 0) return;
    std::string others = bad_ > 1 ? fmt::format("; so are {} more lines", bad_ - 1) : "";
    report.problem(fmt::format("{}:{}", file_, first_bad_),
                   fmt::format("not a point, which is 'timestamp value step'{}", others));
  }

 private:
  const std::string& file_;
  MetricOwner owner_;
  const std::function<Result<>(MetricLine)>& each_;
  uint64_t number_ = 0, bad_ = 0, first_bad_ = 0;
};

}  // namespace

Result<> read_metric_file(const std::string& file, MetricOwner owner,
                          const std::function<Result<>(MetricLine)>& each, Report& report) {
  Fd fd = TRY(open_file(file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
  Lines lines(file, owner, each);
  std::string text;
  std::string buffer(kBufferBytes, '\0');
  while (size_t got = TRY(read_some(fd, buffer))) {
    text.append(buffer, 0, got);
    TRY(lines.take(text));
  }
  if (!text.empty()) TRY(lines.line(text));
  lines.report(report);
  return {};
}

}  // namespace tidemill::exchange
