#include "config/problems.h"

#include <algorithm>
#include <charconv>
#include <tuple>

namespace tidemill::config {
namespace {

// The number between two colons at `begin`, and where the text goes on.
std::optional<int> number_at(std::string_view text, size_t begin, size_t& end) {
  end = text.find(':', begin);
  if (end == std::string_view::npos) return std::nullopt;
  int value = 0;
  auto [stop, error] = std::from_chars(text.data() + begin, text.data() + end, value);
  if (error != std::errc() || stop != text.data() + end || begin == end) return std::nullopt;
  return value;
}

}  // namespace

bool Problems::keep(Result<> result) {
  if (!result) add(std::move(result).error());
  return result.has_value();
}

std::vector<Error> Problems::list() const {
  struct Entry {
    Place place;
    Error error;
  };
  std::vector<Entry> entries;
  for (const auto& error : errors_)
    entries.push_back({split_place(error.message).place.value_or(Place{}), error});
  std::stable_sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::tie(*a.place.file, a.place.line, a.place.column) <
           std::tie(*b.place.file, b.place.line, b.place.column);
  });
  std::vector<Error> sorted;
  for (auto& entry : entries)
    if (sorted.empty() || sorted.back().message != entry.error.message)
      sorted.push_back(std::move(entry.error));
  return sorted;
}

Result<> Problems::first() const {
  auto all = list();
  if (all.empty()) return {};
  if (all.size() > 1)
    all[0].message += fmt::format("\n({} more; `tidemill check` shows all)", all.size() - 1);
  return tl::unexpected<Error>(std::move(all[0]));
}

Placed split_place(const std::string& message) {
  // A file's name may hold colons itself: the first two numbers between colons are the place.
  for (size_t colon = message.find(':'); colon != std::string::npos; colon = message.find(':', colon + 1)) {
    size_t end = 0;
    auto line = number_at(message, colon + 1, end);
    auto column = line ? number_at(message, end + 1, end) : std::nullopt;
    if (column && message.compare(end, 2, ": ") == 0)
      return {Place{message.substr(0, colon), *line, *column}, message.substr(end + 2)};
  }
  return {std::nullopt, message};
}

}  // namespace tidemill::config
