#include "serving/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "serving/test_model.h"

namespace tidemill::serving {
namespace {

using testing::HasSubstr;

class OptionsTest : public testing::Test {
 protected:
  Result<CommandLine> parse(std::vector<std::string> arguments,
                            std::map<std::string, std::string> environment = {}) {
    return parse_command_line(arguments, [&](const char* name) -> std::optional<std::string> {
      auto it = environment.find(name);
      return it == environment.end() ? std::nullopt : std::optional(it->second);
    });
  }
  std::string error(std::vector<std::string> arguments, std::map<std::string, std::string> environment = {}) {
    auto line = parse(std::move(arguments), std::move(environment));
    return line ? "" : line.error().message;
  }
  ModelFile file_{"model"};
  std::string model_ = file_.path().string();
};

TEST_F(OptionsTest, the_old_servers_defaults) {
  Options options = parse({"--model_path", model_}).value().options;
  EXPECT_EQ(options.model_name, "default");
  EXPECT_EQ(options.model_version, "1");
  EXPECT_EQ(options.address, "0.0.0.0");
  EXPECT_EQ(options.http_port, 8001);
  EXPECT_EQ(options.grpc_port, 50051);
  EXPECT_EQ(options.max_request_bytes, 25u << 20);
}

TEST_F(OptionsTest, values_come_after_a_space_or_an_equals_sign_and_names_may_be_cut_short) {
  Options options = parse({"--model_path=" + model_, "--http_port", "9001", "--grpc=9002", "--model_n=x=y"})
                        .value()
                        .options;
  EXPECT_EQ(options.http_port, 9001);
  EXPECT_EQ(options.grpc_port, 9002);
  EXPECT_EQ(options.model_name, "x=y");
}

TEST_F(OptionsTest, a_flag_wins_over_the_environment) {
  std::map<std::string, std::string> environment = {{"HTTP_PORT", "1"},
                                                    {"GRPC_PORT", "2"},
                                                    {"LOGLEVEL", "DEBUG"},
                                                    {"NUM_HTTP_THREADS", "4"},
                                                    {"MODEL_PATH", model_}};
  Options options = parse({"--http_port", "9001"}, environment).value().options;
  EXPECT_EQ(options.http_port, 9001);
  EXPECT_EQ(options.grpc_port, 2);
  EXPECT_EQ(options.log_level, LogLevel::kDebug);
  EXPECT_EQ(options.num_http_threads, 4);
  EXPECT_EQ(options.model_path, model_);
}

TEST_F(OptionsTest, mistakes_are_named) {
  EXPECT_THAT(error({}), HasSubstr("'--model_path' is required"));
  EXPECT_THAT(error({"--model_path", "/no/such"}),
              HasSubstr("model_path must be the location of a valid file"));
  EXPECT_THAT(error({"--htp_port", "1"}), HasSubstr("did you mean 'http_port'?"));
  EXPECT_THAT(error({"--model", "x"}), HasSubstr("ambiguous"));
  EXPECT_THAT(error({"--http_port", "70000"}), HasSubstr("from 0 to 65535, not '70000'"));
  EXPECT_THAT(error({"--http_port"}), HasSubstr("needs a value"));
  EXPECT_THAT(error({"model.onnx"}), HasSubstr("unexpected argument 'model.onnx'"));
  EXPECT_THAT(error({"--num_http_threads", "0"}), HasSubstr("num_http_threads must be greater than 0"));
  EXPECT_THAT(error({"--log_level", "Info"}),
              HasSubstr("log_level must be one of verbose, info, warning, error, or fatal"));
  EXPECT_THAT(error({}, {{"HTTP_PORT", "x"}}), HasSubstr("environment variable HTTP_PORT"));
}

TEST_F(OptionsTest, help_is_for_people) {
  EXPECT_EQ(parse({"--grpc_port", "1", "-h"}).value().ask, Ask::kHelp);
  EXPECT_THAT(usage(), HasSubstr("examples:"));
  EXPECT_THAT(usage(), HasSubstr("--num_http_threads"));
}

}  // namespace
}  // namespace tidemill::serving
