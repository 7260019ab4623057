#include "auth/password.h"

#include <charconv>
#include <semaphore>

#include <openssl/evp.h>

#include "base/base64.h"
#include "base/hash.h"
#include "base/id.h"
#include "base/text.h"

namespace tidemill::auth {
namespace {

constexpr size_t kSaltBytes = 16, kHashBytes = 32;
constexpr int kAtATime = 2;

// 128 * r * (N + p) bytes, with some to spare.
constexpr uint64_t kMaxMemory = uint64_t{64} << 20;

Result<std::string> scrypt(std::string_view password, std::string_view salt, const PasswordCost& cost) {
  static std::counting_semaphore<kAtATime> places(kAtATime);
  places.acquire();
  std::string out(kHashBytes, '\0');
  int good =
      EVP_PBE_scrypt(password.data(), password.size(), reinterpret_cast<const unsigned char*>(salt.data()),
                     salt.size(), uint64_t{1} << cost.log, cost.block, cost.parallel, kMaxMemory,
                     reinterpret_cast<unsigned char*>(out.data()), out.size());
  places.release();
  if (good == 1) return out;
  return fail(Code::kUnavailable, "a password cannot be hashed: too little memory");
}

// The number behind name and '=' in "ln=15,r=8,p=1".
std::optional<uint64_t> parameter(std::string_view list, std::string_view name) {
  for (const std::string& part : split(list, ',')) {
    if (!std::string_view(part).starts_with(name) || part.size() <= name.size() || part[name.size()] != '=')
      continue;
    uint64_t value = 0;
    const char* end = part.data() + part.size();
    auto [stop, error] = std::from_chars(part.data() + name.size() + 1, end, value);
    if (error == std::errc() && stop == end) return value;
  }
  return std::nullopt;
}

struct Hash {
  PasswordCost cost;
  std::string salt, hash;
};

std::optional<Hash> parse(std::string_view text) {
  std::vector<std::string> parts = split(text, '$');
  if (parts.size() != 5 || !parts[0].empty() || parts[1] != "scrypt") return std::nullopt;
  auto log = parameter(parts[2], "ln"), block = parameter(parts[2], "r"), parallel = parameter(parts[2], "p");
  auto salt = base64_decode(parts[3]), hash = base64_decode(parts[4]);
  if (!log || !block || !parallel || !salt || !hash || *log > 20 || *block > 32 || *parallel > 16)
    return std::nullopt;
  return Hash{{*log, *block, *parallel}, std::move(*salt), std::move(*hash)};
}

size_t count_chars(std::string_view text) {
  return static_cast<size_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

}  // namespace

Result<> check_password(std::string_view password) {
  if (count_chars(password) < kMinPasswordChars)
    return fail(Code::kInvalid, "Password must be at least {} characters.", kMinPasswordChars);
  if (password.size() > kMaxPasswordBytes)
    return fail(Code::kInvalid, "Password must be at most {} bytes.", kMaxPasswordBytes);
  if (password == "password1234")  // what older MLflow servers came with
    return fail(Code::kInvalid, "Password must not be one that everybody knows.");
  return {};
}

Result<std::string> hash_password(std::string_view password, const PasswordCost& cost) {
  std::string salt = random_bytes(kSaltBytes);
  std::string hash = TRY(scrypt(password, salt, cost));
  return fmt::format("$scrypt$ln={},r={},p={}${}${}", cost.log, cost.block, cost.parallel,
                     base64_encode(salt), base64_encode(hash));
}

bool password_matches(std::string_view password, std::string_view hash) {
  std::optional<Hash> kept = parse(hash);
  if (!kept || password.size() > kMaxPasswordBytes) return false;
  auto computed = scrypt(password, kept->salt, kept->cost);
  return computed && equal_secrets(*computed, kept->hash);
}

void match_nobody(std::string_view password) {
  if (password.size() <= kMaxPasswordBytes)
    static_cast<void>(scrypt(password, std::string(kSaltBytes, 's'), {}));
}

}  // namespace tidemill::auth
