#include "api/host_check.h"

#include <arpa/inet.h>

#include <algorithm>

#include "base/text.h"

namespace tidemill::api {
namespace {

bool matches(std::string_view text, std::string_view pattern) {
  size_t star = pattern.find('*');
  if (star == std::string_view::npos) return text == pattern;
  if (!text.starts_with(pattern.substr(0, star))) return false;
  std::string_view rest = pattern.substr(star + 1);
  for (size_t at = star; at <= text.size(); ++at)
    if (matches(text.substr(at), rest)) return true;
  return false;
}

std::string_view without_port(std::string_view host) {
  if (host.starts_with('[')) return host.substr(1, std::min(host.find(']'), host.size()) - 1);
  return host.substr(0, host.rfind(':'));
}

bool is_address(const std::string& host) {
  unsigned char unused[16];
  return inet_pton(AF_INET, host.c_str(), unused) == 1 || inet_pton(AF_INET6, host.c_str(), unused) == 1;
}

}  // namespace

bool host_is_allowed(std::string_view host, const std::vector<std::string>& allowed) {
  std::string whole = to_lower(host);
  std::string name(without_port(whole));
  if (name == "localhost" || is_address(name)) return true;
  return std::any_of(allowed.begin(), allowed.end(), [&](const std::string& pattern) {
    std::string lower = to_lower(pattern);
    return matches(name, lower) || matches(whole, lower);
  });
}

bool is_cross_origin(const Headers& headers, const std::vector<std::string>& allowed) {
  std::string origin = to_lower(headers.get("Origin"));
  if (origin.empty()) return false;
  std::string host = to_lower(headers.get("Host"));
  if (origin == "http://" + host || origin == "https://" + host) return false;
  return std::none_of(allowed.begin(), allowed.end(),
                      [&](const std::string& pattern) { return matches(origin, to_lower(pattern)); });
}

}  // namespace tidemill::api
