// What HTTP/1.1 messages are made of, for server and client.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tidemill {

// Field lines in order; names compare without regard to case.
class Headers {
 public:
  std::string_view get(std::string_view name) const;  // first value, or ""
  bool has(std::string_view name) const;
  void set(std::string_view name, std::string value);  // replaces
  void add(std::string_view name, std::string value);
  auto begin() const { return fields_.begin(); }
  auto end() const { return fields_.end(); }

 private:
  std::vector<std::pair<std::string, std::string>> fields_;
};

// The parts of a query string, decoded, in order; a key may repeat.
using Query = std::vector<std::pair<std::string, std::string>>;
Query parse_query(std::string_view query);

struct Url {
  std::string scheme, host, port;  // port as digits, the scheme's own when absent
  std::string target;              // path and query, "/" at least
  std::string user, password;      // decoded; "" when absent
};
bool parse_url(std::string_view text, Url& out);  // http and https only

// Whom an https client believes.
struct TlsTrust {
  std::filesystem::path certificates =
      {};                // PEM file or folder; empty: the system's, or SSL_CERT_FILE / SSL_CERT_DIR
  bool anybody = false;  // no check at all, against eavesdroppers only
};

// Whether an If-None-Match field names the entity tag, weakly (RFC 9110, 13.1.2): a list, or * for any.
bool names_tag(std::string_view if_none_match, std::string_view tag);

std::string_view reason_phrase(int status);
// From the file name's extension; application/octet-stream when unknown.
std::string_view content_type_of(std::string_view file_name);

}  // namespace tidemill
