#include <gtest/gtest.h>

#include <map>

#include "artifacts/aws_config.h"

namespace tidemill::artifacts {
namespace {

class AwsConfigTest : public testing::Test {
 protected:
  Result<AwsConfig> read(std::map<std::string, std::string> variables) {
    variables.emplace("HOME", dir_.path().string());
    return read_aws_config([variables](const char* name) {
      auto found = variables.find(name);
      return found == variables.end() ? std::string() : found->second;
    });
  }
  void write(const char* name, std::string_view text) {
    ASSERT_TRUE(make_dirs(dir_.path() / ".aws"));
    ASSERT_TRUE(write_file_atomic(dir_.path() / ".aws" / name, text, Durable::no));
  }
  TempDir dir_ = TempDir::create().value();
};

TEST_F(AwsConfigTest, WithoutKeysItSaysWhereTheyAreLookedFor) {
  auto config = read({});
  ASSERT_FALSE(config);
  EXPECT_NE(config.error().message.find("AWS_ACCESS_KEY_ID"), std::string::npos);
  EXPECT_NE(config.error().message.find("[default]"), std::string::npos);
  EXPECT_FALSE(read({{"AWS_ACCESS_KEY_ID", "id"}}));
}

TEST_F(AwsConfigTest, TheEnvironmentComesFirst) {
  write("credentials", "[default]\naws_access_key_id = file\naws_secret_access_key = s\n");
  auto config = read({{"AWS_ACCESS_KEY_ID", "id"},
                      {"AWS_SECRET_ACCESS_KEY", "secret"},
                      {"AWS_DEFAULT_REGION", "eu-west-1"},
                      {"MLFLOW_S3_ENDPOINT_URL", "http://127.0.0.1:9000"},
                      {"AWS_ENDPOINT_URL", "http://other"},
                      {"MLFLOW_S3_IGNORE_TLS", "true"}})
                    .value();
  EXPECT_EQ(config.keys.id, "id");
  EXPECT_EQ(config.region, "eu-west-1");
  EXPECT_EQ(config.endpoint, "http://127.0.0.1:9000");
  EXPECT_TRUE(config.trust.anybody);
}

TEST_F(AwsConfigTest, ProfilesAreReadFromTheFiles) {
  write("credentials",
        "# keys\n[default]\naws_access_key_id=one\naws_secret_access_key=s1\n\n[ team ]\r\naws_access_key_id "
        "= two\r\naws_secret_access_key = s=2\r\naws_session_token = t\r\n");
  write("config", "[default]\nregion = us-west-2\n[profile team]\nregion = eu-central-1\n");
  EXPECT_EQ(read({})->keys.id, "one");
  EXPECT_EQ(read({})->region, "us-west-2");
  auto team = read({{"AWS_PROFILE", "team"}}).value();
  EXPECT_EQ(team.keys.id, "two");
  EXPECT_EQ(team.keys.secret, "s=2");
  EXPECT_EQ(team.keys.session_token, "t");
  EXPECT_EQ(team.region, "eu-central-1");
  EXPECT_FALSE(read({{"AWS_PROFILE", "nobody"}}));
}

}  // namespace
}  // namespace tidemill::artifacts
