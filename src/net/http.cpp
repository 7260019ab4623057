#include "net/http.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "base/text.h"

namespace tidemill {

static bool same_name(std::string_view a, std::string_view b) {
  return a.size() == b.size() &&
         std::equal(a.begin(), a.end(), b.begin(),
                    [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

std::string_view Headers::get(std::string_view name) const {
  for (const auto& [key, value] : fields_)
    if (same_name(key, name)) return value;
  return {};
}

bool Headers::has(std::string_view name) const {
  return std::any_of(fields_.begin(), fields_.end(),
                     [&](const auto& field) { return same_name(field.first, name); });
}

void Headers::add(std::string_view name, std::string value) { fields_.emplace_back(name, std::move(value)); }

void Headers::set(std::string_view name, std::string value) {
  std::erase_if(fields_, [&](const auto& field) { return same_name(field.first, name); });
  add(name, std::move(value));
}

Query parse_query(std::string_view query) {
  Query parts;
  for (const std::string& part : split(query, '&')) {
    if (part.empty()) continue;
    size_t equals = std::min(part.find('='), part.size());
    std::string_view value = std::string_view(part).substr(std::min(equals + 1, part.size()));
    parts.emplace_back(url_decode(std::string_view(part).substr(0, equals), true), url_decode(value, true));
  }
  return parts;
}

static bool is_port(std::string_view port) {
  if (port.empty() || port.size() > 5) return false;
  if (!std::all_of(port.begin(), port.end(), [](unsigned char c) { return std::isdigit(c); })) return false;
  int number = std::stoi(std::string(port));
  return number >= 1 && number <= 65535;
}

// host, host:port, [v6] or [v6]:port
static bool split_host_port(std::string_view text, Url& out) {
  size_t host_end = 0;
  if (text.starts_with('[')) {
    size_t bracket = text.find(']');
    if (bracket == std::string_view::npos) return false;
    out.host = text.substr(1, bracket - 1);
    host_end = bracket + 1;
  } else {
    host_end = std::min(text.find(':'), text.size());
    out.host = text.substr(0, host_end);
  }
  constexpr std::string_view kNeverInHost = "@\"<>\\^`{|}%";
  if (out.host.empty() || out.host.find_first_of(kNeverInHost) != std::string::npos) return false;
  if (host_end == text.size()) return true;
  if (text[host_end] != ':' || !is_port(text.substr(host_end + 1))) return false;
  out.port = text.substr(host_end + 1);
  return true;
}

bool parse_url(std::string_view text, Url& out) {
  auto printable = [](unsigned char c) { return c > 0x20 && c != 0x7F; };
  size_t colon = text.find("://");
  if (colon == std::string_view::npos || !std::all_of(text.begin(), text.end(), printable)) return false;
  Url url;
  url.scheme = to_lower(text.substr(0, colon));
  if (url.scheme != "http" && url.scheme != "https") return false;
  url.port = url.scheme == "http" ? "80" : "443";
  text.remove_prefix(colon + 3);
  text = text.substr(0, text.find('#'));
  size_t authority_end = std::min(text.find_first_of("/?"), text.size());
  std::string_view authority = text.substr(0, authority_end);
  url.target = text.substr(authority_end);
  if (!url.target.starts_with('/')) url.target.insert(0, "/");
  if (size_t at = authority.rfind('@'); at != std::string_view::npos) {
    std::string_view user = authority.substr(0, at);
    size_t separator = std::min(user.find(':'), user.size());
    url.user = url_decode(user.substr(0, separator));
    if (separator < user.size()) url.password = url_decode(user.substr(separator + 1));
    authority.remove_prefix(at + 1);
  }
  if (!split_host_port(authority, url)) return false;
  out = std::move(url);
  return true;
}

bool names_tag(std::string_view if_none_match, std::string_view tag) {
  for (const std::string& item : split(if_none_match, ',')) {
    std::string_view one = trim(item);
    if (one == "*") return true;
    if (one.starts_with("W/")) one.remove_prefix(2);
    if (one == tag) return true;
  }
  return false;
}

std::string_view reason_phrase(int status) {
  switch (status) {
    case 100:
      return "Continue";
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 206:
      return "Partial Content";
    case 301:
      return "Moved Permanently";
    case 302:
      return "Found";
    case 304:
      return "Not Modified";
    case 307:
      return "Temporary Redirect";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 411:
      return "Length Required";
    case 413:
      return "Content Too Large";
    case 415:
      return "Unsupported Media Type";
    case 416:
      return "Range Not Satisfiable";
    case 417:
      return "Expectation Failed";
    case 422:
      return "Unprocessable Content";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 499:
      return "Client Closed Request";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    case 507:
      return "Insufficient Storage";
    default:
      return "Unknown";
  }
}

std::string_view content_type_of(std::string_view file_name) {
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 22> kTypes = {{
      {".txt", "text/plain; charset=utf-8"},
      {".log", "text/plain; charset=utf-8"},
      {".md", "text/plain; charset=utf-8"},
      {".yaml", "text/plain; charset=utf-8"},
      {".yml", "text/plain; charset=utf-8"},
      {".html", "text/html; charset=utf-8"},
      {".css", "text/css; charset=utf-8"},
      {".csv", "text/csv; charset=utf-8"},
      {".js", "text/javascript; charset=utf-8"},
      {".json", "application/json"},
      {".pdf", "application/pdf"},
      {".zip", "application/zip"},
      {".gz", "application/gzip"},
      {".tar", "application/x-tar"},
      {".png", "image/png"},
      {".jpg", "image/jpeg"},
      {".jpeg", "image/jpeg"},
      {".gif", "image/gif"},
      {".svg", "image/svg+xml"},
      {".webp", "image/webp"},
      {".ico", "image/x-icon"},
      {".wasm", "application/wasm"},
  }};
  size_t dot = file_name.rfind('.');
  if (dot == std::string_view::npos) return "application/octet-stream";
  std::string extension = to_lower(file_name.substr(dot));
  for (const auto& [known, type] : kTypes)
    if (extension == known) return type;
  return "application/octet-stream";
}

}  // namespace tidemill
