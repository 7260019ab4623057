// Where S3 is and who we are there, as AWS's own programs and MLflow find it out.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/files.h"
#include "base/result.h"
#include "net/aws_signature.h"

namespace tidemill::artifacts {

struct AwsConfig {
  AwsKeys keys;
  std::string region = "us-east-1";
  std::string endpoint;  // "": AWS itself
  TlsTrust trust;
};

// The value of an environment variable, "" when it is not set.
using Environment = std::function<std::string(const char*)>;
Environment process_environment();

// MLFLOW_S3_ENDPOINT_URL, MLFLOW_S3_IGNORE_TLS, AWS_ACCESS_KEY_ID and its like; else the profile (AWS_PROFILE
// or "default") in ~/.aws/credentials and ~/.aws/config. kInvalid when there are no keys: says where they are
// looked for.
Result<AwsConfig> read_aws_config(const Environment& environment);

// The value of a key in a section of an INI file; "" when it is not there.
std::string ini_value(std::string_view text, std::string_view section, std::string_view key);

}  // namespace tidemill::artifacts
