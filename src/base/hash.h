// SHA-256 (FIPS 180-4), incremental and in one go, HMAC of it (RFC 2104), and MD5 (RFC 1321); as lower-case
// hex unless said otherwise.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace tidemill {

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;

  void update(std::string_view bytes);
  std::string hex();  // ends the computation; call once

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

std::string sha256_hex(std::string_view bytes);
// 32 bytes as they are.
std::string hmac_sha256(std::string_view key, std::string_view bytes);
std::string to_hex(std::string_view bytes);
// Takes the same time wherever two texts of the same length differ.
bool equal_secrets(std::string_view a, std::string_view b);
// For checksums that others published; not for anything that must withstand an attacker.
std::string md5_hex(std::string_view bytes);
Result<std::string> sha256_file(const std::filesystem::path& path);

}  // namespace tidemill
