// SHA256_Init and its like: the newer interface looks its providers up, which takes a short program longer
// than all that it hashes.
#define OPENSSL_SUPPRESS_DEPRECATED
#include "base/hash.h"

#include <fcntl.h>

#include <array>
#include <cstdlib>
#include <span>
#include <vector>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

#include "base/files.h"

namespace tidemill {

namespace {
// Data sets have tens of thousands of files: several times faster than formatting each byte.
std::string lower_hex(std::span<const unsigned char> bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out(bytes.size() * 2, '0');
  for (size_t i = 0; i < bytes.size(); ++i) {
    out[2 * i] = kDigits[bytes[i] >> 4];
    out[2 * i + 1] = kDigits[bytes[i] & 15];
  }
  return out;
}
}  // namespace

struct Sha256::Context {
  SHA256_CTX sha;
};

Sha256::Sha256() : context_(std::make_unique<Context>()) { SHA256_Init(&context_->sha); }
Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

void Sha256::update(std::string_view bytes) { SHA256_Update(&context_->sha, bytes.data(), bytes.size()); }

std::string Sha256::hex() {
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest{};
  SHA256_Final(digest.data(), &context_->sha);
  return lower_hex(digest);
}

std::string sha256_hex(std::string_view bytes) {
  Sha256 sha;
  sha.update(bytes);
  return sha.hex();
}

std::string hmac_sha256(std::string_view key, std::string_view bytes) {
  std::string digest(32, '\0');
  auto* out = reinterpret_cast<unsigned char*>(digest.data());
  const auto* in = reinterpret_cast<const unsigned char*>(bytes.data());
  if (!HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), in, bytes.size(), out, nullptr))
    std::abort();
  return digest;
}

std::string to_hex(std::string_view bytes) {
  return lower_hex({reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size()});
}

bool equal_secrets(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

std::string md5_hex(std::string_view bytes) {
  std::array<unsigned char, 16> digest{};
  if (EVP_Digest(bytes.data(), bytes.size(), digest.data(), nullptr, EVP_md5(), nullptr) != 1) std::abort();
  return lower_hex(digest);
}

Result<std::string> sha256_file(const std::filesystem::path& path) {
  Fd file = TRY(open_file(path, O_RDONLY));
  std::vector<char> buffer(1 << 18);
  Sha256 sha;
  for (;;) {
    size_t got = TRY_IN(path.string(), read_some(file, buffer));
    if (got == 0) return sha.hex();
    sha.update({buffer.data(), got});
  }
}

}  // namespace tidemill
