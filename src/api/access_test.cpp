// Who may call what, over HTTP: every route, by people who may and by people who may not.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/endpoint.h"
#include "api/routes.h"
#include "api/sender.h"
#include "auth/roles.h"
#include "auth/test_users.h"
#include "auth/users.h"
#include "base/base64.h"
#include "base/json.h"
#include "base/text.h"
#include "net/http_client.h"
#include "test_database.h"
#include "tracking/logged_models.h"
#include "tracking/registry.h"

namespace tidemill::api {
namespace {

using auth::Kind;
using auth::Permission;
using testing::HasSubstr;

using test::kPassword;

class AccessTest : public testing::Test {
 protected:
  AccessTest() {
    auth::Users users(store_);
    test::add_user(store_, "root", test::Admin::kYes);
    for (const char* name : {"ada", "eve"}) test::add_user(store_, name);
    // Tokens spare the tests the time that a password takes.
    for (const char* name : {"root", "ada", "eve"})
      tokens_[name] = users.create_token(name, "test", {}).value();
    experiment_ = store_.create_experiment("secret").value();
    run_ = store_.create_run({.experiment_id = experiment_, .name = "", .user = "", .tags = {}})->info.id;
    model_ = tracking::LoggedModels(store_).create({.experiment_id = experiment_}).value().id;
    EXPECT_TRUE(
        tracking::Registry(store_).create_model({.name = "secret-model", .description = "", .tags = {}}));
    EXPECT_TRUE(auth::Roles(store_).grant("ada", {Kind::kExperiment, experiment_}, Permission::kManage));
    EXPECT_TRUE(auth::Roles(store_).grant("ada", {Kind::kModel, "secret-model"}, Permission::kManage));
  }
  void start(Permission default_permission = Permission::kNone) {
    EndpointOptions options;
    options.artifacts_destination = (dir_.path() / "files").string();
    options.default_permission = default_permission;
    endpoint_.emplace(Endpoint::start(store_, std::move(options)).value());
    client_.emplace(HttpClient::create(endpoint_->url()).value());
  }

  ClientResponse send(const std::string& user, ClientRequest request) {
    if (!user.empty()) request.headers.add("Authorization", "Bearer " + tokens_.at(user));
    if (!request.body.empty()) request.headers.add("Content-Type", "application/json");
    auto response = client_->send(request);
    EXPECT_TRUE(response) << response.error().message;
    return response ? std::move(*response) : ClientResponse{};
  }
  ClientResponse call(const std::string& user, const std::string& method, const std::string& name,
                      const Json& params) {
    ClientRequest request{.method = method,
                          .target = name.starts_with('/') ? name : "/api/2.0/mlflow/" + name};
    if (method == "GET") {
      std::string separator = "?";
      for (const auto& [key, value] : params.items()) {
        request.target +=
            separator + key + "=" +
            url_encode(value.is_array() ? value[0].get<std::string>() : value.get<std::string>());
        separator = "&";
      }
    } else {
      request.body = dump_json(params);
    }
    return send(user, std::move(request));
  }
  // Parameters that name the things of ada, by all the names that calls have for them.
  Json params() const {
    return {{"experiment_id", experiment_},
            {"experiment_name", "secret"},
            {"experiment_ids", {experiment_}},
            {"run_id", run_},
            {"run_ids", {run_}},
            {"model_id", model_},
            {"name", "secret-model"},
            {"version", "1"},
            {"key", "k"},
            {"value", "1"},
            {"timestamp", "1"},
            {"username", "ada"},
            {"password", "a new long password"},
            {"resource_type", "experiment"},
            {"resource_id", experiment_},
            {"permission", "MANAGE"},
            {"is_admin", "true"},
            {"role_id", "1"},
            {"role_permission_id", "1"},
            {"workspace", "default"},
            {"resource_pattern", "*"},
            {"max_results", "10"},
            {"new_name", "taken-over"},
            {"alias", "a"},
            {"stage", "Staging"},
            {"source", "s3://bucket/x"},
            {"metric_key", "k"},
            {"keys", {"k"}},
            {"path", "f"},
            {"artifact_file_path", "f"},
            {"status", "LOGGED_MODEL_READY"}};
  }
  // For a route that takes lists of runs by this name.
  Json params_of(std::string_view route) const {
    Json all = params();
    if (route == "metrics/get-history-bulk") all["run_id"] = Json::array({run_});
    if (route == "/ajax-api/tidemill/series") all.erase("run_id");
    return all;
  }
  std::string address(std::string_view route) const {
    std::string name(route);
    if (size_t star = name.find('*'); star != std::string::npos) name.replace(star, 1, model_);
    if (size_t star = name.find('*'); star != std::string::npos) name.replace(star, 1, "k");
    return name;
  }

  TempDir dir_ = TempDir::create().value();
  tracking::Store store_ = tracking::Store::open({.uri = test::new_database(dir_.path() / "t.db"),
                                                  .default_artifact_root = "mlflow-artifacts:"})
                               .value();
  std::map<std::string, std::string> tokens_;
  std::string experiment_, run_, model_;
  std::optional<Endpoint> endpoint_;
  std::optional<HttpClient> client_;
};

struct OneCall {
  std::string method, route;
  Rule rule;
};
std::vector<OneCall> all_calls() {
  std::vector<OneCall> calls;
  for (const Routes* table : {&tracking_routes(), &user_routes(), &page_routes()})
    for (const auto& [name, route] : *table) {
      auto add = [&](const char* method, const auto& guarded) {
        if (guarded) calls.push_back({method, std::string(name), guarded.rule});
      };
      add("GET", route.get);
      add("POST", route.post);
      add("PATCH", route.patch);
      add("DELETE", route.remove);
      add("POST", route.log);
      add("GET", route.file);
    }
  return calls;
}

TEST_F(AccessTest, NoRouteAnswersStrangers) {
  start(Permission::kManage);
  for (const OneCall& one : all_calls()) {
    bool page = one.route.starts_with('/');
    ClientRequest request{.method = one.method,
                          .target = page ? one.route : "/api/2.0/mlflow/" + address(one.route)};
    if (one.method != "GET") request.body = dump_json(params());
    ClientResponse response = send("", std::move(request));
    EXPECT_EQ(response.status, 401) << one.method << " " << one.route;
    EXPECT_EQ(response.headers.get("WWW-Authenticate").substr(0, 5), "Basic");
  }
  for (const char* target : {"/version", "/metrics", "/", "/nowhere", "/api/2.0/mlflow-artifacts/artifacts",
                             "/api/2.0/mlflow-artifacts/artifacts/1/x"})
    EXPECT_EQ(send("", {.target = target}).status, 401) << target;
  EXPECT_EQ(send("", {.target = "/health"}).status, 200);
  EXPECT_EQ(send("", {.target = "/api/3.0/mlflow/server-info"}).status, 200);
}

TEST_F(AccessTest, NoRouteLetsOthersAtWhatTheyMayNotRead) {
  start();
  for (const OneCall& one : all_calls()) {
    if (one.route.ends_with("get-artifact")) continue;  // below
    ClientResponse response = call("eve", one.method, address(one.route), params_of(one.route));
    switch (one.rule.of()) {
      case Of::kNothing:
      case Of::kOwn:
        EXPECT_THAT(response.body, testing::Not(HasSubstr(run_))) << one.route;
        EXPECT_THAT(response.body, testing::Not(HasSubstr("secret"))) << one.route;
        EXPECT_EQ(response.status, 200) << one.route << response.body;
        break;
      case Of::kNewExperiment:
      case Of::kNewModel:
        break;  // everybody may make something new
      default:
        EXPECT_EQ(response.status, 403) << one.method << " " << one.route << " " << response.body;
    }
  }
  for (const char* page : {"/get-artifact?run_id=", "/get-artifact?run_uuid="})
    EXPECT_EQ(send("eve", {.target = page + run_ + "&path=f"}).status, 403);
  EXPECT_EQ(send("eve", {.target = "/model-versions/get-artifact?name=secret-model&version=1&path=f"}).status,
            403);
}

TEST_F(AccessTest, OwnersGetThrough) {
  start();
  for (const OneCall& one : all_calls()) {
    if (one.route.ends_with("get-artifact") || one.route.find("delete") != std::string::npos ||
        one.route.find("revoke") != std::string::npos || one.method == "DELETE")
      continue;
    Of of = one.rule.of();
    if (of == Of::kAdministration || of == Of::kWorkspace || one.route == "registered-models/rename" ||
        one.route == "/ajax-api/tidemill/events")  // its answer has no end: change_events_test
      continue;
    ClientResponse response = call("ada", one.method, address(one.route), params_of(one.route));
    EXPECT_NE(response.status, 403) << one.method << " " << one.route << " " << response.body;
    EXPECT_NE(response.status, 401) << one.method << " " << one.route;
  }
}

TEST_F(AccessTest, ReadersMayNotWrite) {
  ASSERT_TRUE(auth::Roles(store_).grant("eve", {Kind::kExperiment, experiment_}, Permission::kRead));
  ASSERT_TRUE(auth::Roles(store_).grant("eve", {Kind::kModel, "secret-model"}, Permission::kRead));
  start();
  for (const OneCall& one : all_calls()) {
    Of of = one.rule.of();
    if (one.rule.right() == auth::Right::kRead || of == Of::kNewExperiment || of == Of::kNewModel) continue;
    EXPECT_EQ(call("eve", one.method, address(one.route), params_of(one.route)).status, 403) << one.route;
  }
  EXPECT_EQ(call("eve", "GET", "runs/get", {{"run_id", run_}}).status, 200);
}

TEST_F(AccessTest, ManyWaysToSpellAnExperimentLeadToTheSameRule) {
  ASSERT_TRUE(auth::Roles(store_).grant("eve", {Kind::kExperiment, experiment_}, Permission::kDeny));
  start(Permission::kManage);
  for (const std::string& spelling :
       {"0" + experiment_, "000" + experiment_, "+" + experiment_, " " + experiment_, experiment_ + ".0"}) {
    EXPECT_NE(call("eve", "GET", "experiments/get", {{"experiment_id", spelling}}).status, 200) << spelling;
    EXPECT_NE(call("eve", "POST", "runs/create", {{"experiment_id", spelling}}).status, 200) << spelling;
    ClientResponse found = call("eve", "POST", "runs/search", {{"experiment_ids", {spelling}}});
    EXPECT_THAT(found.body, testing::Not(HasSubstr(run_))) << spelling;
  }
  EXPECT_NE(send("eve", {.method = "POST",
                         .target = "/api/2.0/mlflow/runs/create",
                         .body = fmt::format(R"({{"experiment_id": {}}})", experiment_)})
                .status,
            200);
}

TEST_F(AccessTest, ArtifactsBelongToTheirExperimentHoweverThePathIsWritten) {
  start();
  std::string file = experiment_ + "/" + run_ + "/artifacts/f";
  auto at = [](const std::string& path) { return "/api/2.0/mlflow-artifacts/artifacts/" + path; };
  ClientRequest put{.method = "PUT", .target = at(file), .body = "text"};
  EXPECT_EQ(send("eve", put).status, 403);
  ASSERT_EQ(send("ada", put).status, 200);
  EXPECT_EQ(send("ada", {.target = at(file)}).body, "text");
  std::string hidden = fmt::format("%{:02x}{}", static_cast<int>(experiment_[0]), file.substr(1));
  for (const std::string& path :
       {file, hidden, "./" + file, "/" + file, "%2e/" + file, "x/../" + file, "x/%2e%2e/" + file,
        "%252e%252e/" + file, "." + file, experiment_ + "%2f" + run_ + "%2fartifacts%2ff"}) {
    ClientResponse got = send("eve", {.target = at(path)});
    EXPECT_NE(got.status, 200) << path;
    EXPECT_THAT(got.body, testing::Not(HasSubstr("text"))) << path;
    EXPECT_NE(send("eve", {.method = "DELETE", .target = at(path)}).status, 200) << path;
  }
  for (const std::string& folder : {experiment_, "./" + experiment_, experiment_ + "/" + run_, std::string()})
    EXPECT_NE(send("eve", {.target = "/api/2.0/mlflow-artifacts/artifacts?path=" + folder}).status, 200)
        << folder;
  EXPECT_EQ(send("ada", {.target = "/api/2.0/mlflow-artifacts/artifacts?path=" + experiment_}).status, 200);
  EXPECT_EQ(send("eve", {.target = "/get-artifact?path=f&run_uuid=" + run_}).status, 403);
  EXPECT_EQ(send("ada", {.target = "/get-artifact?path=f&run_uuid=" + run_}).status, 200);
}

TEST_F(AccessTest, NobodyPointsAnExperimentAtFilesOfOthers) {
  start(Permission::kRead);
  for (std::string location : {"mlflow-artifacts:/" + experiment_, "mlflow-artifacts://host/" + experiment_,
                               std::string("/etc"), std::string("file:///etc"), std::string("relative")})
    EXPECT_EQ(
        call("eve", "POST", "experiments/create", {{"name", "mine"}, {"artifact_location", location}}).status,
        403)
        << location;
  EXPECT_EQ(
      call("eve", "POST", "experiments/create", {{"name", "mine"}, {"artifact_location", "s3://bucket/mine"}})
          .status,
      200);
  EXPECT_EQ(call("root", "POST", "experiments/create",
                 {{"name", "theirs"}, {"artifact_location", "mlflow-artifacts:/x"}})
                .status,
            200);
}

TEST_F(AccessTest, MakersManageWhatTheyMake) {
  start();
  Json made = parse_json(call("eve", "POST", "experiments/create", {{"name", "eves"}}).body).value();
  std::string id = json_string(made, "experiment_id");
  EXPECT_EQ(call("eve", "POST", "runs/create", {{"experiment_id", id}}).status, 200);
  EXPECT_EQ(call("ada", "POST", "runs/create", {{"experiment_id", id}}).status, 403);
  EXPECT_EQ(call("eve", "POST", "registered-models/create", {{"name", "eves-model"}}).status, 200);
  EXPECT_EQ(call("ada", "GET", "registered-models/get", {{"name", "eves-model"}}).status, 403);
  EXPECT_EQ(
      call(
          "eve", "POST", "users/permissions/grant",
          {{"username", "ada"}, {"resource_type", "experiment"}, {"resource_id", id}, {"permission", "EDIT"}})
          .status,
      200);
  EXPECT_EQ(call("ada", "POST", "runs/create", {{"experiment_id", id}}).status, 200);
  // A model with the name of the wildcard is one model.
  EXPECT_EQ(call("eve", "POST", "registered-models/create", {{"name", "*"}}).status, 200);
  EXPECT_EQ(call("eve", "GET", "registered-models/get", {{"name", "secret-model"}}).status, 403);
}

TEST_F(AccessTest, SearchesShowWhatMayBeReadInFullPages) {
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(store_.create_experiment(fmt::format("e{}", i)));
  ASSERT_TRUE(auth::Roles(store_).grant("eve", {Kind::kExperiment, "0"}, Permission::kRead));
  ASSERT_TRUE(auth::Roles(store_).grant("eve", {Kind::kExperiment, "3"}, Permission::kRead));
  start();
  Json page = parse_json(call("eve", "GET", "experiments/search", {{"max_results", "1"}}).body).value();
  ASSERT_EQ(page["experiments"].size(), 1u) << page;
  page = parse_json(call("eve", "GET", "experiments/search",
                         {{"max_results", "1"}, {"page_token", json_string(page, "next_page_token")}})
                        .body)
             .value();
  EXPECT_EQ(page["experiments"].size(), 1u) << page;
  EXPECT_FALSE(page.contains("next_page_token"));
  EXPECT_EQ(parse_json(call("eve", "GET", "registered-models/search", Json::object()).body).value(),
            Json::object());
  EXPECT_EQ(parse_json(call("ada", "GET", "registered-models/search", Json::object()).body)
                .value()["registered_models"]
                .size(),
            1u);
}

TEST_F(AccessTest, MetricsOfOthersModelsCannotBeLogged) {
  start();
  std::string own =
      json_string(parse_json(call("eve", "POST", "experiments/create", {{"name", "eves"}}).body).value(),
                  "experiment_id");
  Json run = parse_json(call("eve", "POST", "runs/create", {{"experiment_id", own}}).body).value();
  std::string id = json_string(run["run"]["info"], "run_id");
  Json metric = {{"run_id", id}, {"key", "k"}, {"value", 1}, {"timestamp", 1}};
  EXPECT_EQ(call("eve", "POST", "runs/log-metric", metric).status, 200);
  metric["model_id"] = model_;
  EXPECT_EQ(call("eve", "POST", "runs/log-metric", metric).status, 403);
  metric.erase("run_id");
  EXPECT_EQ(call("eve", "POST", "runs/log-batch", {{"run_id", id}, {"metrics", {metric}}}).status, 403);
  EXPECT_EQ(
      call("eve", "POST", "runs/outputs", {{"run_id", id}, {"models", {{{"model_id", model_}}}}}).status,
      403);
  EXPECT_EQ(call("eve", "POST", "logged-models", {{"experiment_id", own}, {"source_run_id", run_}}).status,
            403);
}

TEST_F(AccessTest, VersionsAreMadeOnlyOfWhatTheirMakerMayRead) {
  start();
  ASSERT_EQ(call("eve", "POST", "registered-models/create", {{"name", "mine"}}).status, 200);
  auto make = [&](Json source) {
    source["name"] = "mine";
    return call("eve", "POST", "model-versions/create", source).status;
  };
  std::string root = "mlflow-artifacts:/" + experiment_ + "/" + run_ + "/artifacts";
  EXPECT_EQ(make({{"source", root}, {"run_id", run_}}), 403);
  EXPECT_NE(make({{"source", root}}), 200);
  EXPECT_EQ(make({{"source", "runs:/" + run_ + "/m"}, {"run_id", run_}}), 403);
  EXPECT_EQ(make({{"source", "models:/" + model_}, {"model_id", model_}}), 403);
  EXPECT_EQ(make({{"source", "models:/secret-model/1"}}), 403);
}

TEST_F(AccessTest, ManagersOfTheWorkspaceCannotMakeThemselvesAdministrators) {
  auth::Roles roles(store_);
  auth::Role role = roles.create("managers", {}).value();
  ASSERT_TRUE(roles.add_grant(role.id, {Kind::kWorkspace, ""}, Permission::kManage));
  ASSERT_TRUE(roles.assign("eve", role.id));
  start();
  EXPECT_EQ(call("eve", "GET", "runs/get", {{"run_id", run_}}).status, 200);
  EXPECT_EQ(call("eve", "POST", "users/create", {{"username", "new"}, {"password", kPassword}}).status, 200);
  EXPECT_EQ(call("eve", "PATCH", "users/update-admin", {{"username", "eve"}, {"is_admin", true}}).status,
            403);
  EXPECT_EQ(
      call("eve", "PATCH", "users/update-password", {{"username", "root"}, {"password", "taken over now"}})
          .status,
      403);
  EXPECT_EQ(call("eve", "DELETE", "users/delete", {{"username", "root"}}).status, 403);
}

TEST_F(AccessTest, OwnPasswordsAreChangedOnlyWithTheOldOne) {
  start();
  auto change = [&](Json params) {
    params["username"] = "ada";
    return call("ada", "PATCH", "users/update-password", params);
  };
  EXPECT_THAT(change({{"password", "a brand new one"}}).body, HasSubstr("Current password is required"));
  EXPECT_THAT(change({{"password", "a brand new one"}, {"current_password", "wrong"}}).body,
              HasSubstr("does not match"));
  EXPECT_THAT(change({{"password", "a brand new one"}, {"current_password", tokens_["ada"]}}).body,
              HasSubstr("does not match"));
  EXPECT_EQ(change({{"password", "a brand new one"}, {"current_password", kPassword}}).status, 200);
  EXPECT_EQ(call("root", "PATCH", "users/update-password", {{"username", "ada"}, {"password", "set by root"}})
                .status,
            400);
  EXPECT_EQ(
      call("root", "PATCH", "users/update-password", {{"username", "ada"}, {"password", "set by the root"}})
          .status,
      200);
}

TEST_F(AccessTest, DamagedAuthorizationHeadersAreStrangers) {
  start();
  std::string good = base64_encode(fmt::format("ada:{}", kPassword));
  for (const std::string& header :
       {std::string("Basic"), std::string("Basic "), std::string("Basic !!!"), "Basic" + good,
        "Digest " + good, good, "Basic " + base64_encode("ada"),
        "Basic " + base64_encode(":" + std::string(kPassword)), "Basic " + good + "=", std::string("Bearer"),
        std::string("Bearer "), "Bearer " + std::string(kPassword), "Bearer Basic " + good,
        "Basic " + base64_encode(std::string("ada\0x:", 6) + std::string(kPassword)),
        "Basic " + base64_encode("ada:" + std::string(30'000, 'x'))}) {
    ClientRequest request{.target = "/api/2.0/mlflow/experiments/search?max_results=1"};
    request.headers.add("Authorization", header);
    EXPECT_EQ(client_->send(request)->status, 401) << header.substr(0, 60);
  }
  ClientRequest huge{.target = "/api/2.0/mlflow/experiments/search?max_results=1"};
  huge.headers.add("Authorization", "Basic " + std::string(10 << 20, 'A'));
  EXPECT_EQ(client_->send(huge)->status, 431);
  for (const std::string& header : {"Basic " + good, "basic  " + good, "BASIC " + good}) {
    ClientRequest request{.target = "/api/2.0/mlflow/experiments/search?max_results=1"};
    request.headers.add("Authorization", header);
    EXPECT_EQ(client_->send(request)->status, 200) << header.substr(0, 60);
  }
}

TEST_F(AccessTest, StrangersCannotFillTheDisk) {
  start(Permission::kManage);
  ClientRequest put{.method = "PUT",
                    .target = "/api/2.0/mlflow-artifacts/artifacts/1/big",
                    .body = std::string(1 << 20, 'x')};
  EXPECT_EQ(client_->send(put)->status, 401);
  EXPECT_FALSE(fs::exists(dir_.path() / "files" / "1"));
  // More than is taken into memory: whoever may not send it is told so before it is read.
  ClientRequest batch{
      .method = "POST", .target = "/api/2.0/mlflow/runs/log-batch", .body = std::string(80 << 20, ' ')};
  EXPECT_EQ(send("", batch).status, 401);
  EXPECT_EQ(send("eve", batch).status, 413);
  put.body = std::string(80 << 20, 'x');
  EXPECT_EQ(client_->send(put)->status, 401);
  ASSERT_TRUE(auth::Roles(store_).grant("eve", {Kind::kExperiment, "1"}, Permission::kDeny));
  EXPECT_EQ(send("eve", put).status, 403);
  EXPECT_EQ(send("ada", put).status, 200);
}

TEST(Origin, FailuresAreCountedByAddressOrByNetwork) {
  EXPECT_EQ(origin_of("192.0.2.7:40312"), "192.0.2.7");
  EXPECT_EQ(origin_of("[::ffff:192.0.2.7]:1"), "192.0.2.7");
  EXPECT_EQ(origin_of("[2001:db8:1:2:3:4:5:6]:1"), origin_of("[2001:db8:1:2::9]:2"));
  EXPECT_NE(origin_of("[2001:db8:1:2::9]:1"), origin_of("[2001:db8:1:3::9]:2"));
}

}  // namespace
}  // namespace tidemill::api
