// `tidemill server` as it is started and stopped.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.h"
#include "net/http_client.h"
#include "sys/process.h"

namespace tidemill {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::Not;

class ServerCommand : public testing::Test {
 protected:
  // Starts it on a free port and returns the URL that it prints; "" when it ended.
  std::string start(std::vector<std::string> words, std::map<std::string, std::string> environment = {}) {
    ProcessOptions options;
    options.argv = {TIDEMILL_BINARY_DIR "/bin/tidemill"};
    options.argv.insert(options.argv.end(), words.begin(), words.end());
    std::error_code ignored;
    fs::remove(output_, ignored);  // of an earlier start
    environment.emplace("TIDEMILL_STORE", (dir_.path() / "t.db").string());
    options.extra_env = std::move(environment);
    options.output_file = output_;
    process_.emplace(Process::start(options).value());
    for (;;) {
      std::string text = read_file(output_).value_or("");
      size_t at = text.find("server at "), end = text.find(',', at);
      if (end != std::string::npos) return text.substr(at + 10, end - at - 10);
      if (process_->wait_for(5ms)) return "";
    }
  }
  std::string output() const { return read_file(output_).value_or(""); }

  TempDir dir_ = TempDir::create().value();
  fs::path output_ = dir_.path() / "output";
  std::optional<Process> process_;
};

TEST_F(ServerCommand, EnvironmentVariablesOfMlflowAreRead) {
  std::string url =
      start({"ui"}, {{"MLFLOW_PORT", "0"}, {"MLFLOW_STATIC_PREFIX", "/ml"}, {"MLFLOW_WORKERS", "4"}});
  ASSERT_NE(url, "") << output();
  EXPECT_THAT(url, HasSubstr("/ml"));
  auto client = HttpClient::create(url).value();
  EXPECT_EQ(client.send({.target = "/api/2.0/mlflow/experiments/get?experiment_id=0"})->status, 200);
}

// Clients on other machines cannot read a folder of this one.
TEST_F(ServerCommand, WhatARunHasWrittenIntoTheServersFolderIsToldByAnUriThroughTheServer) {
  ASSERT_TRUE(write_file_atomic(dir_.path() / "pipeline.yaml",
                                "name: p\nsteps: {a: {command: 'echo 7 > $TIDEMILL_OUTPUT_DIR/x'}}\n",
                                Durable::no));
  ProcessOptions pipeline{.argv = {TIDEMILL_BINARY_DIR "/bin/tidemill", "run", dir_.path()},
                          .extra_env = {{"TIDEMILL_STORE", (dir_.path() / "t.db").string()}},
                          .output_file = output_};
  Process process = Process::start(pipeline).value();
  ASSERT_TRUE(process.wait().ok()) << output();
  auto client = HttpClient::create(start({"server", "--port", "0"})).value();
  auto get = [&](const std::string& target) { return client.send({.target = "/api/2.0" + target})->body; };
  auto post = [&](const std::string& call, const Json& body) {
    ClientRequest request{.method = "POST", .target = "/api/2.0/mlflow/" + call, .body = dump_json(body)};
    request.headers.add("Content-Type", "application/json");
    return parse_json(client.send(request)->body).value();
  };
  const Json search{{"experiment_ids", {"1"}}, {"filter", "tags.`tidemill.step` = 'a'"}};
  const Json run = post("runs/search", search).at("runs").at(0).at("info");
  const std::string id = run.at("run_id"), uri = "mlflow-artifacts:/1/" + id + "/artifacts";
  EXPECT_EQ(run.at("artifact_uri"), uri);
  EXPECT_THAT(get("/mlflow/runs/get?run_id=" + id), HasSubstr(uri));
  EXPECT_THAT(get("/mlflow/artifacts/list?run_id=" + id), HasSubstr(uri));
  EXPECT_EQ(get("/mlflow-artifacts/artifacts/1/" + id + "/artifacts/x"), "7\n");
  post("registered-models/create", {{"name", "m"}});
  EXPECT_TRUE(post("model-versions/create", {{"name", "m"}, {"source", uri}, {"run_id", id}})
                  .contains("model_version"));
  EXPECT_THAT(get("/mlflow/model-versions/get-download-uri?name=m&version=1"), HasSubstr(uri));
}

TEST_F(ServerCommand, FlagsOfMlflowsOwnServersAreTakenUnlessTheyAskForTls) {
  ASSERT_NE(start({"server", "--port", "0", "--gunicorn-opts", "--timeout 180", "--dev", "-w", "8"},
                  {{"MLFLOW_UVICORN_OPTS", "--limit-concurrency 8"}}),
            "")
      << output();
  EXPECT_THAT(output(), HasSubstr("--gunicorn-opts has no effect"));
  EXPECT_THAT(output(), HasSubstr("--uvicorn-opts has no effect"));
  EXPECT_EQ(start({"server", "--port", "0", "--uvicorn-opts", "--ssl-keyfile k.pem --ssl-certfile c.pem"}),
            "");
  EXPECT_THAT(output(), HasSubstr("--uvicorn-opts asks for TLS: give --ssl-cert"));
}

TEST_F(ServerCommand, SwitchesOfMlflowsEnvironmentAreRead) {
  std::string url = start({"server"}, {{"MLFLOW_PORT", "0"},
                                       {"MLFLOW_SERVE_ARTIFACTS", "false"},
                                       {"MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE", "true"},
                                       {"MLFLOW_SERVER_X_FRAME_OPTIONS", "deny"},
                                       {"MLFLOW_EXPOSE_PROMETHEUS", "anywhere"}});
  ASSERT_NE(url, "") << output();
  auto client = HttpClient::create(url).value();
  EXPECT_EQ(client.send({.target = "/api/2.0/mlflow-artifacts/artifacts"})->status, 503);
  ClientRequest foreign{.target = "/metrics", .host = "evil.example"};
  foreign.headers.add("Origin", "http://elsewhere.example");
  auto answer = client.send(foreign);
  EXPECT_EQ(answer->status, 200);
  EXPECT_EQ(answer->headers.get("Access-Control-Allow-Origin"), "http://elsewhere.example");
  EXPECT_FALSE(answer->headers.has("X-Frame-Options"));
  EXPECT_THAT(output(), HasSubstr("any web page that you visit"));
}

TEST_F(ServerCommand, StopsGracefullyOnSigterm) {
  ASSERT_NE(start({"server", "--port", "0"}), "") << output();
  Exit exit = process_->stop(20s);
  EXPECT_EQ(exit.signal, 0);
}

TEST_F(ServerCommand, AnAddressThatOthersReachNeedsConsent) {
  EXPECT_EQ(start({"server", "--port", "0", "--host", "0.0.0.0"}), "");
  EXPECT_THAT(output(), HasSubstr("--no-auth"));
  EXPECT_NE(start({"server", "--port", "0", "--host", "0.0.0.0", "--no-auth"}), "") << output();
  EXPECT_THAT(output(), HasSubstr("everybody who reaches"));
}

TEST_F(ServerCommand, TheFirstAdministratorLogsInWithThePasswordThatIsShownOnce) {
  std::string url = start({"server", "--port", "0", "--auth"});
  ASSERT_NE(url, "") << output();
  constexpr std::string_view kBefore = "with the password ";
  std::string text = output();
  size_t at = text.find(kBefore);
  ASSERT_NE(at, std::string::npos) << text;
  at += kBefore.size();
  std::string password = text.substr(at, text.find('\n', at) - at);
  auto status = [](const std::string& base) {
    return HttpClient::create(base)->send({.target = "/api/2.0/mlflow/users/current"})->status;
  };
  EXPECT_EQ(status(url), 401);
  auto list = run_command(ProcessOptions{.argv = {TIDEMILL_BINARY_DIR "/bin/tidemill", "runs", "list"},
                                         .extra_env = {{"MLFLOW_TRACKING_URI", url}}},
                          20s);
  EXPECT_FALSE(list->exit.ok());
  EXPECT_THAT(list->errors, HasSubstr("MLFLOW_TRACKING_USERNAME"));
  EXPECT_EQ(status("http://admin:" + password + "@" + url.substr(7)), 200);
  process_->stop(20s);
  fs::remove(output_);
  ASSERT_NE(start({"server", "--port", "0", "--auth"}), "") << output();
  EXPECT_THAT(output(), Not(HasSubstr("password")));
}

TEST_F(ServerCommand, TheFirstPasswordMayComeFromTheEnvironmentAndMustBeGood) {
  EXPECT_EQ(start({"server", "--port", "0", "--auth"}, {{"MLFLOW_AUTH_ADMIN_PASSWORD", ""}}), "");
  EXPECT_EQ(start({"server", "--port", "0", "--auth"}, {{"MLFLOW_AUTH_ADMIN_PASSWORD", "password1234"}}), "");
  EXPECT_THAT(output(), HasSubstr("MLFLOW_AUTH_ADMIN_PASSWORD"));
  std::string url =
      start({"server", "--port", "0", "--app-name", "basic-auth"},
            {{"MLFLOW_AUTH_ADMIN_PASSWORD", "a-long-password"}, {"MLFLOW_AUTH_ADMIN_USERNAME", "root"}});
  ASSERT_NE(url, "") << output();
  EXPECT_THAT(output(), Not(HasSubstr("a-long-password")));
  auto client = HttpClient::create("http://root:a-long-password@" + url.substr(7)).value();
  EXPECT_EQ(client.send({.target = "/api/2.0/mlflow/users/list"})->status, 200);
}

TEST_F(ServerCommand, PasswordsDoNotCrossANetworkReadableUnlessMeantTo) {
  EXPECT_EQ(start({"server", "--port", "0", "--auth", "--host", "0.0.0.0"}), "");
  EXPECT_THAT(output(), HasSubstr("--ssl-cert"));
  EXPECT_NE(start({"server", "--port", "0", "--auth", "--host", "0.0.0.0", "--behind-tls-proxy"}), "")
      << output();
  process_->stop(20s);
  fs::remove(output_);
  EXPECT_EQ(start({"server", "--port", "0", "--auth", "--no-auth"}), "");
}

TEST_F(ServerCommand, FlagsThatDoNotGoTogetherAreExplained) {
  EXPECT_EQ(start({"server", "--port", "0", "--registry-store-uri", "sqlite:///other.db"}), "");
  EXPECT_THAT(output(), HasSubstr("--registry-store-uri"));
  EXPECT_EQ(start({"server", "--port", "0", "--ssl-cert", "cert.pem"}), "");
  EXPECT_THAT(output(), HasSubstr("--ssl-key"));
  EXPECT_EQ(start({"server", "--port", "0", "--ssl-cert", "cert.pem", "--ssl-key", "key.pem"}), "");
  EXPECT_THAT(output(), HasSubstr("cert.pem: No such file"));
  EXPECT_EQ(start({"server", "--port", "0", "--artifacts-only", "--no-serve-artifacts"}), "");
  EXPECT_EQ(start({"server", "--port", "0", "--static-prefix", "ml"}), "");
  EXPECT_EQ(start({"server", "--port", "0", "--host", "nohost.invalid"}), "");
  EXPECT_THAT(output(), HasSubstr("--host nohost.invalid: there is no such host"));
  EXPECT_EQ(start({"server", "--port", "0", "--artifacts-destination", "s3://"}), "");
  EXPECT_THAT(output(), HasSubstr("s3://: the bucket is missing"));
}

}  // namespace
}  // namespace tidemill
