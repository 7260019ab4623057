#include "artifacts/aws_config.h"

#include <cstdlib>

#include "base/text.h"

namespace tidemill::artifacts {
namespace {

constexpr uint64_t kMaxFileBytes = 1 << 20;

std::string first_of(const Environment& environment, std::initializer_list<const char*> names) {
  for (const char* name : names)
    if (std::string value = environment(name); !value.empty()) return value;
  return "";
}

std::string text_of(const Environment& environment, const char* variable, std::string_view file_name) {
  fs::path file = environment(variable);
  if (file.empty()) file = fs::path(environment("HOME")) / ".aws" / file_name;
  return read_file(file, kMaxFileBytes).value_or("");
}

bool is_true(std::string_view text) { return to_lower(text) == "true" || text == "1"; }

}  // namespace

Environment process_environment() {
  return [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value ? value : "");
  };
}

std::string ini_value(std::string_view text, std::string_view section, std::string_view key) {
  bool inside = false;
  for (const std::string& raw : split(text, '\n')) {
    std::string_view line = trim(raw);
    if (line.starts_with('[') && line.ends_with(']')) {
      inside = trim(line.substr(1, line.size() - 2)) == section;
      continue;
    }
    size_t equals = line.find('=');
    if (!inside || line.starts_with('#') || line.starts_with(';') || equals == std::string_view::npos)
      continue;
    if (trim(line.substr(0, equals)) == key) return std::string(trim(line.substr(equals + 1)));
  }
  return "";
}

Result<AwsConfig> read_aws_config(const Environment& environment) {
  AwsConfig config;
  std::string profile = first_of(environment, {"AWS_PROFILE", "AWS_DEFAULT_PROFILE"});
  if (profile.empty()) profile = "default";
  config.keys = {environment("AWS_ACCESS_KEY_ID"), environment("AWS_SECRET_ACCESS_KEY"),
                 environment("AWS_SESSION_TOKEN")};
  if (config.keys.id.empty()) {
    std::string text = text_of(environment, "AWS_SHARED_CREDENTIALS_FILE", "credentials");
    config.keys = {ini_value(text, profile, "aws_access_key_id"),
                   ini_value(text, profile, "aws_secret_access_key"),
                   ini_value(text, profile, "aws_session_token")};
  }
  if (config.keys.id.empty() || config.keys.secret.empty())
    return fail(Code::kInvalid,
                "no keys for S3: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or put them under [{}] in "
                "~/.aws/credentials",
                profile);
  std::string region = first_of(environment, {"AWS_REGION", "AWS_DEFAULT_REGION"});
  if (region.empty()) {
    std::string section = profile == "default" ? profile : "profile " + profile;
    region = ini_value(text_of(environment, "AWS_CONFIG_FILE", "config"), section, "region");
  }
  if (!region.empty()) config.region = region;
  config.endpoint =
      first_of(environment, {"MLFLOW_S3_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"});
  config.trust.anybody = is_true(environment("MLFLOW_S3_IGNORE_TLS"));
  config.trust.certificates = environment("AWS_CA_BUNDLE");
  return config;
}

}  // namespace tidemill::artifacts
