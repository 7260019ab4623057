// Who sends a request, as its Authorization header says.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "auth/login.h"
#include "net/http_server.h"

namespace tidemill::api {

// "Basic <base64 of name:secret>" (RFC 7617) or "Bearer <token>" (RFC 6750); nullopt for everything else.
std::optional<auth::Credentials> read_authorization(std::string_view header);
// Where failed logins are counted together: an IPv4 address, or the network (/64) of an IPv6 address, of a
// peer "127.0.0.1:40312" or "[::1]:40312".
std::string origin_of(std::string_view peer);

struct Sender {
  std::shared_ptr<const auth::Access> access;  // nullptr: not let in
  HttpResponse refusal;                        // then: 401, 429 or an error
};
Sender identify(auth::Login& login, const HttpRequest& request, auth::Login::Fresh fresh);

}  // namespace tidemill::api
