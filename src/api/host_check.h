// Who may talk to the endpoint through a browser: protection from DNS rebinding and from other sites'
// scripts.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "net/http.h"

namespace tidemill::api {

// A name that an attacker controls can be made to resolve to this machine, an IP address cannot. So these
// hosts are good: IP addresses, localhost, and what `allowed` names ("*" for any part: "*.example.org"), with
// or without a port.
bool host_is_allowed(std::string_view host, const std::vector<std::string>& allowed);

// Requests that a page of another origin makes a browser send: "Origin" is neither this server nor in
// `allowed`
// ("https://app.example.org", "*" for any part).
bool is_cross_origin(const Headers& headers, const std::vector<std::string>& allowed);

}  // namespace tidemill::api
