#include "engine/secrets.h"

#include <cstdlib>

#include "base/text.h"

namespace tidemill::engine {
namespace {

constexpr size_t kFewestChars = 4, kMostBytes = 64 << 10;

}  // namespace

Result<std::string> read_secret(const config::Secret& secret, const fs::path& folder) {
  std::string value;
  if (secret.file.empty()) {
    const char* found = std::getenv(secret.variable.c_str());
    if (found == nullptr)
      return config::fail_at(secret.place, "secret '{}': the variable {} is not set", secret.name,
                             secret.variable);
    value = found;
  } else {
    value = TRY_IN(fmt::format("{}: secret '{}'", secret.place.to_string(), secret.name),
                   read_file(folder / secret.file, kMostBytes));
    while (value.ends_with('\n') || value.ends_with('\r')) value.pop_back();
    if (value.find('\0') != std::string::npos)
      return config::fail_at(secret.place, "secret '{}' holds a NUL byte, which no variable can",
                             secret.name);
  }
  if (value.size() < kFewestChars)
    return config::fail_at(secret.place,
                           "secret '{}' is shorter than {} characters, too short to be masked in logs",
                           secret.name, kFewestChars);
  return value;
}

std::vector<std::string> texts_to_mask(const std::vector<config::Secret>& secrets, const fs::path& folder) {
  constexpr size_t kFewestCharsOfLine = 8;  // a brace of a key in JSON is no secret
  std::vector<std::string> texts;
  for (const auto& secret : secrets) {
    auto value = read_secret(secret, folder);
    if (!value) continue;
    if (value->find('\n') != std::string::npos)
      for (const auto& line : split(*value, '\n'))
        if (std::string_view text = trim(line); text.size() >= kFewestCharsOfLine) texts.emplace_back(text);
    texts.push_back(std::move(*value));
  }
  return texts;
}

}  // namespace tidemill::engine
