// Small text functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tidemill {

std::vector<std::string> split(std::string_view text, char separator);
std::string join(const std::vector<std::string>& parts, std::string_view separator);
std::string_view trim(std::string_view text);
std::string to_lower(std::string_view text);
bool is_utf8(std::string_view text);

// The candidate nearest to a mistyped word (Levenshtein distance of at most a third of its length, or two),
// or "".
std::string nearest(std::string_view word, const std::vector<std::string>& candidates);
// " (did you mean 'train'?)" or "".
std::string did_you_mean(std::string_view word, const std::vector<std::string>& candidates);

// "1.4 MB" (powers of 1000).
std::string human_bytes(uint64_t bytes);
// "850 ms", "12.3 s", "4 min 05 s", "2 h 10 min".
std::string human_duration(double seconds);
// 60000 -> "60 000".
std::string human_count(uint64_t count);

// POSIX shell quoting as Python's shlex.quote does it.
std::string shell_quote(std::string_view word);

// Percent-decoding of a URL path or query part; '+' is a space only in queries.
std::string url_decode(std::string_view text, bool plus_is_space = false);
// Percent-encoding of everything but unreserved characters (RFC 3986, section 2.3) and those in keep.
std::string url_encode(std::string_view text, std::string_view keep = "");
// A text without user and password, or token, of the http and https URLs in it.
std::string without_credentials(std::string_view text);

}  // namespace tidemill
