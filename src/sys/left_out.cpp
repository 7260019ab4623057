#include "sys/left_out.h"

#include <unistd.h>

#include <charconv>
#include <vector>

namespace tidemill {
namespace {

constexpr size_t kMostNotice = 128;

// Of the text at this place in the file.
std::optional<LeftOut> parse(std::string_view text, int64_t place) {
  const std::string_view begin = kLeftOutBegins, end = kLeftOutEnds;
  if (!text.starts_with(begin)) return std::nullopt;
  const size_t number = begin.size() + 1;  // behind a blank
  int64_t bytes = 0;
  if (text.size() <= number) return std::nullopt;
  auto [rest, error] = std::from_chars(text.data() + number, text.data() + text.size(), bytes);
  const auto length = static_cast<size_t>(rest - text.data());
  if (error != std::errc() || bytes <= 0 || !text.substr(length).starts_with(end)) return std::nullopt;
  return LeftOut{place, static_cast<int64_t>(length + end.size()), bytes};
}

}  // namespace

int64_t LeftOut::place_of(int64_t offset) const {
  if (offset <= at) return offset;
  return offset < at + bytes ? at : offset - bytes + size;
}

int64_t LeftOut::offset_of(int64_t place) const {
  if (place <= at) return place;
  return place < at + size ? at : place - size + bytes;
}

std::optional<LeftOut> left_out_at(const Fd& file, int64_t place) {
  char text[kMostNotice];
  const ssize_t got = pread(file.get(), text, sizeof text, place);
  return got <= 0 ? std::nullopt : parse({text, static_cast<size_t>(got)}, place);
}

std::optional<LeftOut> find_left_out(const Fd& file) {
  std::vector<char> buffer(1 << 20);
  for (int64_t from = 0;;) {
    const ssize_t got = pread(file.get(), buffer.data(), buffer.size(), from);
    if (got <= 0) return std::nullopt;
    const std::string_view text(buffer.data(), static_cast<size_t>(got));
    for (size_t at = 0; (at = text.find(kLeftOutBegins, at)) != std::string_view::npos; ++at)
      if (auto found = left_out_at(file, from + static_cast<int64_t>(at))) return found;
    if (text.size() <= kMostNotice) return std::nullopt;
    from += static_cast<int64_t>(text.size() - kMostNotice);  // one may begin at the end of this piece
    if (static_cast<size_t>(got) < buffer.size()) return std::nullopt;
  }
}

}  // namespace tidemill
