// Base64 (RFC 4648): the alphabets with '+' and '/', and with '-' and '_' for URLs.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace tidemill {

std::string base64_encode(std::string_view bytes);
// Without padding.
std::string base64url_encode(std::string_view bytes);
// Of the first alphabet, with padding; nullopt for anything else.
std::optional<std::string> base64_decode(std::string_view text);

}  // namespace tidemill
