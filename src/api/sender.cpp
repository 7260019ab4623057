#include "api/sender.h"

#include <arpa/inet.h>

#include <algorithm>

#include "api/replies.h"
#include "base/base64.h"
#include "base/text.h"

namespace tidemill::api {
namespace {

// What follows the scheme, which is written in upper or lower case.
std::optional<std::string_view> behind_scheme(std::string_view header, std::string_view scheme) {
  if (header.size() <= scheme.size() || header[scheme.size()] != ' ') return std::nullopt;
  if (to_lower(header.substr(0, scheme.size())) != scheme) return std::nullopt;
  return trim(header.substr(scheme.size()));
}

HttpResponse not_logged_in() {
  HttpResponse response = HttpResponse::text(
      401,
      "You are not authenticated: set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or "
      "MLFLOW_TRACKING_TOKEN.\n");
  response.headers.add("WWW-Authenticate", "Basic realm=\"mlflow\", charset=\"UTF-8\"");
  return response;
}

HttpResponse too_many_failures(std::chrono::milliseconds wait) {
  HttpResponse response =
      HttpResponse::text(429, "Too many logins have failed. Wait before you try again.\n");
  response.headers.add("Retry-After", std::to_string(std::chrono::ceil<std::chrono::seconds>(wait).count()));
  return response;
}

}  // namespace

std::optional<auth::Credentials> read_authorization(std::string_view header) {
  if (auto token = behind_scheme(header, "bearer")) return auth::Credentials{"", std::string(*token)};
  auto encoded = behind_scheme(header, "basic");
  auto pair = encoded ? base64_decode(*encoded) : std::nullopt;
  size_t colon = pair ? pair->find(':') : std::string::npos;
  if (colon == std::string::npos || colon == 0) return std::nullopt;
  std::string name = pair->substr(0, colon);
  // No user has such a name, and databases will not look for it.
  if (!is_utf8(name) || name.find('\0') != std::string::npos) return std::nullopt;
  return auth::Credentials{std::move(name), pair->substr(colon + 1)};
}

std::string origin_of(std::string_view peer) {
  std::string host(peer.substr(0, peer.rfind(':')));
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  in6_addr address{};
  if (inet_pton(AF_INET6, host.c_str(), &address) != 1) return host;
  char text[INET6_ADDRSTRLEN] = "";
  if (IN6_IS_ADDR_V4MAPPED(&address)) {
    inet_ntop(AF_INET, address.s6_addr + 12, text, sizeof text);
  } else {
    std::fill_n(address.s6_addr + 8, 8, uint8_t{0});
    inet_ntop(AF_INET6, &address, text, sizeof text);
  }
  return text;
}

Sender identify(auth::Login& login, const HttpRequest& request, auth::Login::Fresh fresh) {
  auto credentials = read_authorization(request.headers.get("Authorization"));
  if (!credentials) return {nullptr, not_logged_in()};
  auto admission = login.admit(*credentials, origin_of(request.peer), fresh);
  if (!admission) return {nullptr, error_reply(admission.error())};
  switch (admission->kind) {
    case auth::Admission::Kind::kWelcome:
      return {admission->access, {}};
    case auth::Admission::Kind::kTooMany:
      return {nullptr, too_many_failures(admission->wait)};
    case auth::Admission::Kind::kUnknown:
      break;
  }
  return {nullptr, not_logged_in()};
}

}  // namespace tidemill::api
