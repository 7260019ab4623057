// The tracking endpoint through HTTP, with the bodies and texts that MLflow's own server and clients
// exchange.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/endpoint.h"
#include "base/json.h"
#include "base/text.h"
#include "net/http_client.h"
#include "test_database.h"
#include "tracking/store.h"

namespace tidemill {
namespace {

using ::testing::HasSubstr;

class ApiTest : public ::testing::Test {
 protected:
  ApiTest() {
    api::EndpointOptions options;
    options.artifacts_destination = (dir_.path() / "files").string();
    options.allowed_hosts = {"mlflow.example.org", "*.trusted.org:5000"};
    endpoint_.emplace(std::move(*api::Endpoint::start(store_, options)));
    client_.emplace(std::move(*HttpClient::create(endpoint_->url())));
  }

  ClientResponse send(ClientRequest request) {
    auto response = client_->send(request);
    EXPECT_TRUE(response) << response.error().message;
    return response ? std::move(*response) : ClientResponse{};
  }
  // The reply's JSON with "status" added when it is not 200.
  Json post(const std::string& call, std::string body) { return send_json("POST", call, std::move(body)); }
  Json get(const std::string& call_and_query) {
    return reply(send({.target = "/api/2.0/mlflow/" + call_and_query}));
  }
  Json send_json(const std::string& method, const std::string& call, std::string body) {
    ClientRequest request{.method = method, .target = "/api/2.0/mlflow/" + call, .body = std::move(body)};
    request.headers.add("Content-Type", "application/json");
    return reply(send(request));
  }
  static Json reply(const ClientResponse& response) {
    EXPECT_EQ(response.headers.get("Content-Type"), "application/json") << response.body;
    Json body = parse_json(response.body).value_or(Json::object());
    if (response.status != 200) body["status"] = response.status;
    return body;
  }
  void expect_error(const Json& answer, int status, std::string_view code, std::string_view message) {
    EXPECT_EQ(json_int(answer, "status"), status) << answer;
    EXPECT_EQ(json_string(answer, "error_code"), code);
    EXPECT_EQ(json_string(answer, "message"), message);
  }
  void expect_invalid(const Json& answer, std::string_view message) {
    expect_error(answer, 400, "INVALID_PARAMETER_VALUE", message);
  }
  std::string make_run() {
    std::string experiment = json_string(
        post("experiments/create", fmt::format(R"({{"name": "e{}"}})", ++made_)), "experiment_id");
    return json_string(
        post("runs/create", fmt::format(R"({{"experiment_id": "{}"}})", experiment))["run"]["info"],
        "run_id");
  }

  TempDir dir_ = TempDir::create().value();
  tracking::Store store_ = tracking::Store::open({.uri = test::new_database(dir_.path() / "t.db"),
                                                  .default_artifact_root = "mlflow-artifacts:"})
                               .value();
  std::optional<api::Endpoint> endpoint_;
  std::optional<HttpClient> client_;
  int made_ = 0;
};

constexpr std::string_view kDocs = "See the API docs for more information about request parameters.";

TEST_F(ApiTest, ExperimentsHaveMlflowsShape) {
  Json created =
      post("experiments/create", R"({"name": "g3", "tags": [{"key": "k", "value": "v"}], "unknown": 1})");
  std::string id = json_string(created, "experiment_id");
  Json experiment = get("experiments/get?experiment_id=" + id)["experiment"];
  EXPECT_EQ(experiment["name"], "g3");
  EXPECT_EQ(experiment["artifact_location"], "mlflow-artifacts:/" + id);
  EXPECT_EQ(experiment["lifecycle_stage"], "active");
  EXPECT_EQ(experiment["tags"], Json::parse(R"([{"key": "k", "value": "v"}])"));
  EXPECT_TRUE(experiment["creation_time"].is_number_integer());
  EXPECT_EQ(get("experiments/get-by-name?experiment_name=g3")["experiment"], experiment);
  std::string tag = fmt::format(R"({{"experiment_id": "{}", "key": "k"}})", id);
  EXPECT_EQ(post("experiments/delete-experiment-tag", tag), Json::object());
  EXPECT_EQ(json_int(post("experiments/delete-experiment-tag", tag), "status"), 404);
  EXPECT_EQ(post("experiments/update", fmt::format(R"({{"experiment_id": "{}", "new_name": "g4"}})", id)),
            Json::object());
  EXPECT_EQ(get("experiments/search?max_results=1&filter=name%20LIKE%20%27g%25%27")["experiments"][0]["name"],
            "g4");
  EXPECT_EQ(post("experiments/delete", fmt::format(R"({{"experiment_id": "{}"}})", id)), Json::object());
  expect_invalid(
      post("runs/create", fmt::format(R"({{"experiment_id": "{}"}})", id)),
      fmt::format("The experiment {} must be in the 'active' state. Current state is deleted.", id));
  EXPECT_EQ(post("experiments/restore", fmt::format(R"({{"experiment_id": "{}"}})", id)), Json::object());
}

TEST_F(ApiTest, ExperimentErrorsAreMlflows) {
  expect_invalid(post("experiments/create", R"({"name": ""})"),
                 fmt::format("Missing value for required parameter 'name'. {}", kDocs));
  expect_invalid(post("experiments/create", "{}"),
                 fmt::format("Missing value for required parameter 'name'. {}", kDocs));
  expect_invalid(
      post("experiments/create", R"({"name": 5})"),
      fmt::format("Invalid value 5 for parameter 'name' supplied:  Hint: Value was of type 'int'. {}",
                  kDocs));
  expect_invalid(post("experiments/create", fmt::format(R"({{"name": "{}"}})", std::string(501, 'a'))),
                 "'name' exceeds the maximum length of 500 characters");
  expect_invalid(post("experiments/create", R"({"name": "h", "artifact_location": "runs:/x"})"),
                 "Artifact location cannot be a runs:/ URI. Given: 'runs:/x'");
  post("experiments/create", R"({"name": "twice"})");
  Json again = post("experiments/create", R"({"name": "twice"})");
  EXPECT_EQ(again["error_code"], "RESOURCE_ALREADY_EXISTS");
  EXPECT_THAT(json_string(again, "message"), HasSubstr("Experiment(name=twice) already exists."));
  expect_invalid(get("experiments/get?experiment_id=abc"),
                 "Invalid experiment ID 'abc'. Experiment ID must be a valid integer.");
  expect_error(get("experiments/get?experiment_id=999999"), 404, "RESOURCE_DOES_NOT_EXIST",
               "No Experiment with id=999999 exists");
  expect_invalid(post("experiments/search", "{}"),
                 "Invalid value 0 for parameter 'max_results' supplied. It must be a positive integer");
  expect_invalid(post("experiments/search", R"({"max_results": 50001})"),
                 "Invalid value 50001 for parameter 'max_results' supplied. It must be at most 50000");
}

TEST_F(ApiTest, RunsHaveMlflowsShape) {
  std::string experiment = json_string(post("experiments/create", R"({"name": "e"})"), "experiment_id");
  Json run =
      post("runs/create", fmt::format(R"({{"experiment_id": "{}", "user_id": "u", "start_time": 1700000000000,
      "tags": [{{"key": "mlflow.user", "value": "u"}}], "run_name": "nm"}})",
                                      experiment))["run"];
  std::string id = json_string(run["info"], "run_id");
  Json expected = Json::parse(
      fmt::format(R"({{"run_uuid": "{0}", "experiment_id": "{1}", "run_name": "nm", "user_id": "u",
      "status": "RUNNING", "start_time": 1700000000000, "artifact_uri": "mlflow-artifacts:/{1}/{0}/artifacts",
      "lifecycle_stage": "active", "run_id": "{0}"}})",
                  id, experiment));
  EXPECT_EQ(run["info"], expected);
  EXPECT_EQ(run["inputs"], Json::object());
  EXPECT_FALSE(run.contains("outputs"));
  post("runs/log-metric",
       fmt::format(R"({{"run_id": "{}", "key": "m", "value": "1.5", "timestamp": "2"}})", id));
  post("runs/log-metric",
       fmt::format(R"({{"run_uuid": "{}", "key": "n", "value": "NaN", "timestamp": 3, "step": -1}})", id));
  post("runs/log-parameter", fmt::format(R"({{"run_id": "{}", "key": "pe"}})", id));
  Json whole = get("runs/get?run_uuid=" + id)["run"];
  EXPECT_EQ(whole["data"]["metrics"][0],
            Json::parse(R"({"key": "m", "value": 1.5, "timestamp": 2, "step": 0})"));
  EXPECT_EQ(whole["data"]["metrics"][1],
            Json::parse(R"({"key": "n", "value": "NaN", "timestamp": 3, "step": -1})"));
  EXPECT_EQ(whole["data"]["params"], Json::parse(R"([{"key": "pe", "value": ""}])"));
  EXPECT_EQ(whole["outputs"], Json::object());
  Json updated =
      post("runs/update",
           fmt::format(R"({{"run_id": "{}", "status": "FINISHED", "end_time": 1700000001000}})", id));
  EXPECT_EQ(updated["run_info"]["status"], "FINISHED");
  EXPECT_EQ(updated["run_info"]["end_time"], 1700000001000);
  EXPECT_EQ(
      post("runs/update", fmt::format(R"({{"run_id": "{}", "status": "BOGUS"}})", id))["run_info"]["status"],
      "FINISHED");
  Json found =
      post("runs/search",
           fmt::format(R"({{"experiment_ids": ["{}"], "filter": "metrics.m = 1.5", "max_results": 1}})",
                       experiment));
  EXPECT_EQ(found["runs"][0]["info"]["run_id"], id);
  EXPECT_FALSE(found.contains("next_page_token"));
  EXPECT_EQ(post("runs/search", "{}"), Json::object());
}

TEST_F(ApiTest, LoggingErrorsAreMlflows) {
  std::string id = make_run();
  auto log = [&](std::string_view call, std::string_view rest) {
    return post(fmt::format("runs/{}", call), fmt::format(R"({{"run_id": "{}", {}}})", id, rest));
  };
  expect_invalid(log("log-metric", R"("key": "m", "value": 1.5)"),
                 fmt::format("Missing value for required parameter 'timestamp'. {}", kDocs));
  expect_invalid(
      log("log-metric", R"("key": "m", "value": "abc", "timestamp": 2)"),
      fmt::format("Invalid value \"abc\" for parameter 'value' supplied:  Hint: Value was of type 'str'. {}",
                  kDocs));
  expect_invalid(log("log-metric", R"("key": "a*b", "value": 1, "timestamp": 2)"),
                 "Invalid value \"a*b\" for parameter 'name' supplied: Names may only contain alphanumerics, "
                 "underscores (_), dashes "
                 "(-), periods (.), spaces ( ), colon(:) and slashes (/).");
  log("log-parameter", R"("key": "p", "value": "1")");
  EXPECT_EQ(log("log-parameter", R"("key": "p", "value": "1")"), Json::object());
  expect_invalid(log("log-parameter", R"("key": "p", "value": "2")"),
                 fmt::format("Changing param values is not allowed. Param with key='p' was already logged "
                             "with value='1' for run "
                             "ID='{}'. Attempted logging new value '2'.",
                             id));
  expect_invalid(log("log-batch", R"("metrics": [{"value": 2, "timestamp": 1}])"),
                 fmt::format("Missing value for required parameter 'metrics[0].key'. {}", kDocs));
  expect_invalid(
      log("log-batch", R"("metrics": {"a":1})"),
      fmt::format(
          "Invalid value {{\"a\":1}} for parameter 'metrics' supplied:  Hint: Value was of type 'dict'. {}",
          kDocs));
  expect_invalid(log("log-batch", R"("params": [{"key": "d", "value": "1"}, {"key": "d", "value": "1"}])"),
                 "Duplicate parameter keys have been submitted: ['d']. Please ensure the request contains "
                 "only one param value per "
                 "param key.");
  EXPECT_EQ(log("log-batch", R"("metrics": [], "unknown": {})"), Json::object());
  expect_error(
      post("runs/log-metric",
           R"({"run_id": "ffffffffffffffffffffffffffffffff", "key": "m", "value": 1, "timestamp": 2})"),
      404, "RESOURCE_DOES_NOT_EXIST", "Run with id=ffffffffffffffffffffffffffffffff not found");
  expect_invalid(get("metrics/get-history?run_id=" + id),
                 fmt::format("Missing value for required parameter 'metric_key'. {}", kDocs));
}

TEST_F(ApiTest, BatchesOfEveryShapeAreStoredAlike) {
  std::string id = make_run();
  // Escapes, spaces, strings as numbers, null, reordered and unknown members: all mean the same as the plain
  // form.
  EXPECT_EQ(
      post(
          "runs/log-batch",
          fmt::format(
              R"({{"run_id":"{}","metrics":[{{"key":"a","value":0.5,"timestamp":1,"step":1}},)"
              R"({{"key":"a","value":-2e3,"timestamp":2,"step":2}}],"params":[{{"key":"p","value":"v"}}],"tags":[{{"key":"t","value":"w"}}]}})",
              id)),
      Json::object());
  EXPECT_EQ(
      post("runs/log-batch",
           fmt::format(
               R"( {{ "metrics" : [ {{ "step" : "3", "value" : "7", "dataset_name": null, "timestamp" : 3.0,
      "key" : "\u0061" }} ], "other": [1, {{"x": []}}], "params": null, "tags": [{{"value": "\"q\" \\ \u00fc", "key": "u"}}], "run_uuid" : "{}" }} )",
               id)),
      Json::object());
  Json history = get(fmt::format("metrics/get-history?run_id={}&metric_key=a", id))["metrics"];
  EXPECT_EQ(
      history,
      Json::parse(
          R"([{"key":"a","value":0.5,"timestamp":1,"step":1},{"key":"a","value":-2000.0,"timestamp":2,"step":2},
      {"key":"a","value":7.0,"timestamp":3,"step":3}])"));
  tracking::Run run = store_.run(id).value();
  EXPECT_EQ(run.param("p"), "v");
  EXPECT_EQ(run.tag("t"), "w");
  EXPECT_EQ(run.tag("u"), "\"q\" \\ ü");
  Json first = get(fmt::format("metrics/get-history?run_id={}&metric_key=a&max_results=2", id));
  EXPECT_EQ(first["metrics"].size(), 2u);
  Json second = get(fmt::format("metrics/get-history?run_id={}&metric_key=a&max_results=2&page_token={}", id,
                                url_encode(json_string(first, "next_page_token"))));
  EXPECT_EQ(second["metrics"].size(), 1u);
}

TEST_F(ApiTest, BodiesThatAreNotObjectsCountAsEmpty) {
  const std::string missing = fmt::format("Missing value for required parameter 'name'. {}", kDocs);
  for (std::string body : {"", "[1]", "null"}) expect_invalid(post("experiments/create", body), missing);
  for (const auto& [body, byte] : {std::pair<std::string, int>{"{bad json", 2},
                                   {"{\"name\": \"x\"} trailing", 17},
                                   {"{\"name\": NaN}", 10}})
    expect_invalid(post("experiments/create", body),
                   fmt::format("{} (the body is not valid JSON at byte {})", missing, byte));
  EXPECT_TRUE(post("experiments/create", R"("{\"name\": \"encoded twice\"}")").contains("experiment_id"));
  ClientResponse no_type =
      send({.method = "POST", .target = "/api/2.0/mlflow/experiments/create", .body = "{}"});
  EXPECT_EQ(no_type.status, 400);
  EXPECT_THAT(no_type.body, HasSubstr("Content-Type must be one of ['application/json']."));
}

TEST_F(ApiTest, AModelThatIsNoJsonIsShown) {
  std::string id = make_run();
  expect_invalid(post("runs/log-model", fmt::format(R"({{"run_id": "{}", "model_json": "no{{json"}})", id)),
                 "Malformed model info. \n no{json \n is not a valid JSON.");
}

TEST_F(ApiTest, AddressesAndMethodsAreToldApart) {
  EXPECT_EQ(send({.target = "/api/2.0/mlflow/zzz"}).status, 404);
  EXPECT_EQ(send({.target = "/api/2.0/preview/mlflow/runs/get"}).status, 404);
  EXPECT_EQ(send({.target = "/nowhere"}).status, 404);
  ClientResponse front = send({.target = "/"});
  EXPECT_EQ(front.status, 200);
  EXPECT_THAT(front.body, HasSubstr("MLFLOW_TRACKING_URI"));
  EXPECT_EQ(send({.method = "POST", .target = "/"}).status, 404);
  EXPECT_EQ(send({.target = "/api/2.0/mlflow/runs/create"}).status, 405);
  EXPECT_EQ(send({.target = "/ajax-api/2.0/mlflow/experiments/get?experiment_id=0"}).status, 200);
  ClientResponse head = send({.method = "HEAD", .target = "/api/2.0/mlflow/experiments/get?experiment_id=0"});
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.body, "");
  EXPECT_EQ(send({.method = "HEAD", .target = "/api/2.0/mlflow/runs/create"}).status, 405);
  EXPECT_EQ(send({.target = "/health"}).body, "OK");
  EXPECT_EQ(send({.target = "/version"}).body, TIDEMILL_VERSION);
  EXPECT_EQ(reply(send({.target = "/api/3.0/mlflow/server-info"})),
            Json::parse(R"({"store_type": "SqlStore", "workspaces_enabled": false,
                             "multipart_uploads_enabled": false, "multipart_downloads_enabled": false})"));
}

TEST_F(ApiTest, WhatIsReadAgainUnchangedIsNotSentAgain) {
  std::string id = make_run();
  int changes = 0;
  auto change = [&] {
    ++changes;
    post("runs/log-metric",
         fmt::format(R"({{"run_id": "{0}", "key": "m", "value": {1}, "timestamp": {1}}})", id, changes));
    post("experiments/set-experiment-tag",
         fmt::format(R"({{"experiment_id": "0", "key": "t", "value": "{}"}})", changes));
  };
  change();
  for (const std::string& call : {"runs/get?run_id=" + id, "metrics/get-history?metric_key=m&run_id=" + id,
                                  std::string("experiments/get?experiment_id=0")}) {
    ClientRequest request{.target = "/api/2.0/mlflow/" + call};
    std::string tag(send(request).headers.get("ETag"));
    ASSERT_FALSE(tag.empty()) << call;
    request.headers.add("If-None-Match", "\"other\", W/" + tag);
    ClientResponse again = send(request);
    EXPECT_EQ(again.status, 304) << call;
    EXPECT_EQ(again.body, "");
    EXPECT_EQ(again.headers.get("ETag"), tag);
    change();
    EXPECT_EQ(send(request).status, 200) << call << " has changed";
  }
  ClientRequest none{.target = "/api/2.0/mlflow/runs/get?run_id=none"};
  none.headers.add("If-None-Match", "*");
  EXPECT_EQ(send(none).status, 404);
}

TEST_F(ApiTest, HistoriesOfManyRunsHaveMlflowsShape) {
  std::string a = make_run(), b = make_run();
  for (int step = 0; step < 4; ++step)
    for (const std::string& id : {a, b})
      post("runs/log-metric",
           fmt::format(R"({{"run_id": "{}", "key": "m", "value": {}, "timestamp": {}, "step": {}}})", id,
                       step * 0.5, 100 + step, step));
  Json all = get(fmt::format("metrics/get-history-bulk?run_id={}&run_id={}&metric_key=m", a, b))["metrics"];
  ASSERT_EQ(all.size(), 8u);
  EXPECT_EQ(all[1], Json::parse(fmt::format(
                        R"({{"key": "m", "value": 0.5, "timestamp": 101, "step": 1, "run_id": "{}"}})",
                        std::min(a, b))));
  EXPECT_EQ(
      get(fmt::format("metrics/get-history-bulk?run_id={}&metric_key=m&max_results=2", a))["metrics"].size(),
      2u);
  std::string sampled =
      fmt::format("metrics/get-history-bulk-interval?run_ids={}&run_ids={}&metric_key=m", b, a);
  EXPECT_EQ(get(sampled)["metrics"].size(), 8u);
  Json two = get(sampled + "&max_results=2&start_step=1&end_step=3")["metrics"];
  ASSERT_EQ(two.size(), 4u);
  EXPECT_EQ(two[0]["step"], 1);
  EXPECT_EQ(two[1]["step"], 3);
  EXPECT_EQ(two[0]["run_id"], b);
  for (const char* bad : {"&max_results=0", "&max_results=2501", "&max_results=x", "&start_step=1",
                          "&start_step=3&end_step=1", "&start_step=9223372036854775808&end_step=1"})
    EXPECT_EQ(json_int(get(sampled + bad), "status"), 400) << bad;
  EXPECT_EQ(json_int(get("metrics/get-history-bulk-interval?run_ids=none&metric_key=m"), "status"), 404);
  EXPECT_EQ(json_int(get("metrics/get-history-bulk-interval?metric_key=m"), "status"), 400);
  expect_invalid(get("metrics/get-history-bulk?metric_key=m"),
                 "GetMetricHistoryBulk request must specify at least one run_id.");
}

TEST_F(ApiTest, LoggedModelsHaveMlflowsShape) {
  std::string run = make_run();
  Json created =
      post("logged-models", fmt::format(R"({{"experiment_id": "0", "name": "lm", "source_run_id": "{}",
      "params": [{{"key": "p", "value": "1"}}], "tags": [{{"key": "t", "value": "1"}}]}})",
                                        run))["model"];
  std::string id = json_string(created["info"], "model_id");
  int64_t now = json_int(created["info"], "creation_timestamp_ms");
  EXPECT_EQ(created,
            Json::parse(fmt::format(R"({{"info": {{"model_id": "{0}", "experiment_id": "0", "name": "lm",
      "creation_timestamp_ms": {1}, "last_updated_timestamp_ms": {1},
      "artifact_uri": "mlflow-artifacts:/0/models/{0}/artifacts", "status": "LOGGED_MODEL_PENDING",
      "model_type": "", "source_run_id": "{2}", "tags": [{{"key": "t", "value": "1"}}]}},
      "data": {{"params": [{{"key": "p", "value": "1"}}]}}}})",
                                    id, now, run)));
  EXPECT_EQ(get("logged-models/" + id)["model"], created);
  EXPECT_EQ(send_json("PATCH", "logged-models/" + id,
                      fmt::format(R"({{"model_id": "{}", "status": "LOGGED_MODEL_READY"}})",
                                  id))["model"]["info"]["status"],
            "LOGGED_MODEL_READY");
  EXPECT_EQ(
      send_json("PATCH", "logged-models/" + id + "/tags", R"({"tags": [{"key": "a/b", "value": "1"}]})"),
      Json::object());
  EXPECT_EQ(send_json("DELETE", "logged-models/" + id + "/tags/a%2Fb", "{}"), Json::object());
  expect_error(send_json("DELETE", "logged-models/" + id + "/tags/a%2Fb", "{}"), 404,
               "RESOURCE_DOES_NOT_EXIST",
               fmt::format("No tag with key 'a/b' found for model with ID '{}'.", id));
  EXPECT_EQ(post("logged-models/" + id + "/params", R"({"params": [{"key": "q", "value": "2"}]})"),
            Json::object());
  EXPECT_EQ(post("logged-models/search",
                 R"({"experiment_ids": ["0"], "filter": "name = 'lm'", "max_results": 5})")["models"][0]
                                                                                           ["data"]["params"]
                                                                                               .size(),
            2u);
  post("runs/log-batch",
       fmt::format(R"({{"run_id": "{}", "metrics": [{{"key": "m", "value": 1.5, "timestamp": 2,
      "step": 3, "model_id": "{}", "dataset_name": "d", "dataset_digest": "x"}}]}})",
                   run, id));
  EXPECT_EQ(
      get("logged-models/" + id)["model"]["data"]["metrics"][0],
      Json::parse(fmt::format(R"({{"key": "m", "value": 1.5, "timestamp": 2, "step": 3, "dataset_name": "d",
      "dataset_digest": "x", "model_id": "{}", "run_id": "{}"}})",
                              id, run)));
  std::string uri = "/api/2.0/mlflow-artifacts/artifacts/0/models/" + id + "/artifacts/a/b.txt";
  send({.method = "PUT", .target = uri, .body = "hello"});
  EXPECT_EQ(get("logged-models/" + id + "/artifacts/directories?artifact_directory_path=a")["files"],
            Json::parse(R"([{"path": "a/b.txt", "is_dir": false, "file_size": 5}])"));
  std::string files = "/ajax-api/2.0/mlflow/logged-models/" + id + "/artifacts/files";
  EXPECT_EQ(send({.target = files + "?artifact_file_path=a/b.txt"}).body, "hello");
  EXPECT_EQ(send({.target = files + "?artifact_file_path=../../x"}).status, 400);
  EXPECT_EQ(send({.target = files}).status, 400);
  EXPECT_EQ(send_json("DELETE", "logged-models/" + id, "{}"), Json::object());
  expect_error(get("logged-models/" + id), 404, "RESOURCE_DOES_NOT_EXIST",
               fmt::format("Logged model with ID '{}' not found.", id));
  EXPECT_EQ(get("logged-models/" + id + "?allow_deleted=true")["model"]["info"]["name"], "lm");
}

TEST_F(ApiTest, HostileLoggedModelsAreRefused) {
  EXPECT_EQ(json_int(post("logged-models", "{}"), "status"), 400);
  for (const char* body :
       {R"({"experiment_id": 1})", R"({"experiment_id": "0", "name": []})",
        R"({"experiment_id": "0", "params": {}})", R"({"experiment_id": "0", "tags": [1]})",
        R"({"experiment_id": "0", "tags": [{"value": "x"}]})", R"({"experiment_id": "x'; --"})",
        R"({"experiment_id": "0", "name": "a/b"})", R"({"experiment_id": "9223372036854775808"})"})
    EXPECT_EQ(json_int(post("logged-models", body), "status"), 400) << body;
  std::string id =
      json_string(post("logged-models", R"({"experiment_id": "0"})")["model"]["info"], "model_id");
  for (const char* status : {R"("NO_SUCH")", "9", "null", "[]", "1e99"})
    EXPECT_EQ(json_int(send_json("PATCH", "logged-models/" + id, fmt::format(R"({{"status": {}}})", status)),
                       "status"),
              400)
        << status;
  for (const char* body :
       {R"({})", R"({"experiment_ids": "0"})",
        R"({"experiment_ids": ["0"], "max_results": 9223372036854775808})",
        R"({"experiment_ids": ["0"], "max_results": -1})", R"({"experiment_ids": ["0"], "order_by": [{}]})",
        R"({"experiment_ids": ["0"], "order_by": [{"field_name": "name; DROP TABLE runs"}]})",
        R"({"experiment_ids": ["0"], "order_by": ["name"]})",
        R"({"experiment_ids": ["0"], "datasets": [{}]})", R"({"experiment_ids": ["0"], "page_token": "zz"})",
        R"({"experiment_ids": ["0"], "filter": 7})"})
    EXPECT_EQ(json_int(post("logged-models/search", body), "status"), 400) << body;
  for (const char* address :
       {"logged-models/", "logged-models//tags", "logged-models/m-1/nope", "logged-models/m-1/tags/"})
    EXPECT_THAT(send({.target = std::string("/api/2.0/mlflow/") + address}).status,
                testing::AnyOf(404, 405, 400))
        << address;
}

TEST_F(ApiTest, InputsAndOutputsOfRunsHaveMlflowsShape) {
  std::string id = make_run();
  Json run = get("runs/get?run_id=" + id)["run"];
  EXPECT_EQ(run["inputs"], Json::object());
  post("runs/log-inputs",
       fmt::format(R"({{"run_id": "{}", "datasets": [{{"tags": [{{"key": "mlflow.data.context",
      "value": "train"}}], "dataset": {{"name": "d", "digest": "abc", "source_type": "local", "source": "{{}}"}}}}],
      "models": [{{"model_id": "m-1"}}]}})",
                   id));
  post("runs/outputs",
       fmt::format(R"({{"run_id": "{}", "models": [{{"model_id": "m-2", "step": "7"}}]}})", id));
  run = get("runs/get?run_id=" + id)["run"];
  EXPECT_EQ(run["inputs"], Json::parse(R"({"dataset_inputs": [{"tags": [{"key": "mlflow.data.context",
      "value": "train"}], "dataset": {"name": "d", "digest": "abc", "source_type": "local", "source": "{}"}}],
      "model_inputs": [{"model_id": "m-1"}]})"));
  EXPECT_EQ(run["outputs"], Json::parse(R"({"model_outputs": [{"model_id": "m-2", "step": 7}]})"));
  std::string experiment = json_string(run["info"], "experiment_id");
  EXPECT_EQ(post("experiments/search-datasets", fmt::format(R"({{"experiment_ids": ["{}"]}})", experiment)),
            Json::parse(fmt::format(R"({{"dataset_summaries": [{{"experiment_id": "{}", "name": "d",
      "digest": "abc", "context": "train"}}]}})",
                                    experiment)));
  expect_invalid(
      post("runs/log-inputs", fmt::format(R"({{"run_id": "{}", "datasets": [{{"tags": []}}]}})", id)),
      fmt::format("Missing value for required parameter 'datasets[0].dataset.name'. {}", kDocs));
  for (const char* rest : {R"("datasets": [1])", R"("datasets": {})", R"("datasets": [{"dataset": []}])",
                           R"("models": [{}])", R"("models": [{"model_id": 5}])"})
    EXPECT_EQ(json_int(post("runs/log-inputs", fmt::format(R"({{"run_id": "{}", {}}})", id, rest)), "status"),
              400)
        << rest;
}

TEST_F(ApiTest, ArtifactsGoThroughTheProxy) {
  std::string id = make_run();
  std::string uri = json_string(get("runs/get?run_id=" + id)["run"]["info"], "artifact_uri");
  std::string target = "/api/2.0/mlflow-artifacts/artifacts/" + uri.substr(sizeof("mlflow-artifacts:/") - 1);
  EXPECT_EQ(get("artifacts/list?run_id=" + id), Json({{"root_uri", uri}}));
  EXPECT_EQ(reply(send({.method = "PUT", .target = target + "/a/b.txt", .body = "hello"})), Json::object());
  EXPECT_EQ(reply(send({.method = "PUT", .target = target + "/empty"})), Json::object());
  Json listed = get("artifacts/list?run_id=" + id);
  EXPECT_EQ(
      listed["files"],
      Json::parse(R"([{"path": "a", "is_dir": true}, {"path": "empty", "is_dir": false, "file_size": 0}])"));
  EXPECT_EQ(get("artifacts/list?path=a&run_id=" + id)["files"],
            Json::parse(R"([{"path": "a/b.txt", "is_dir": false, "file_size": 5}])"));
  std::string in_proxy = "/api/2.0/mlflow-artifacts/artifacts?path=" +
                         target.substr(sizeof("/api/2.0/mlflow-artifacts/artifacts/") - 1);
  EXPECT_EQ(reply(send({.target = in_proxy + "/a"}))["files"],
            Json::parse(R"([{"path": "b.txt", "is_dir": false, "file_size": 5}])"));
  EXPECT_EQ(reply(send({.target = "/api/2.0/mlflow-artifacts/artifacts?path=nope/zz"})), Json::object());
  ClientResponse file = send({.target = target + "/a/b.txt"});
  EXPECT_EQ(file.body, "hello");
  EXPECT_THAT(std::string(file.headers.get("Content-Disposition")), HasSubstr("attachment"));
  EXPECT_EQ(std::ranges::count(file.headers, "X-Content-Type-Options",
                               [](const auto& field) { return field.first; }),
            1);
  ClientRequest part{.target = target + "/a/b.txt"};
  part.headers.add("Range", "bytes=1-2");
  EXPECT_EQ(send(part).body, "el");
  EXPECT_EQ(send({.target = "/get-artifact?path=a/b.txt&run_uuid=" + id}).body, "hello");
  EXPECT_EQ(reply(send({.method = "DELETE", .target = target + "/a"})), Json::object());
  EXPECT_EQ(reply(send({.target = target + "/a/b.txt"}))["error_code"], "RESOURCE_DOES_NOT_EXIST");
  EXPECT_EQ(send({.method = "POST", .target = "/api/2.0/mlflow-artifacts/mpu/create/x"}).status, 501);
}

TEST_F(ApiTest, ArtifactPathsCannotLeadOut) {
  ASSERT_TRUE(write_file_atomic(dir_.path() / "secret", "s", Durable::no));
  std::string id = make_run();
  expect_invalid(get("artifacts/list?path=../x&run_id=" + id), "Invalid path");
  for (const char* path : {"a/%2e%2e/%2e%2e/secret", "../secret", "%252e%252e/secret", "/etc/passwd",
                           "%2fetc%2fpasswd", "a%00b", "..%5csecret"}) {
    std::string target = fmt::format("/api/2.0/mlflow-artifacts/artifacts/{}", path);
    for (const char* method : {"GET", "PUT", "DELETE"})
      EXPECT_EQ(send({.method = method, .target = target, .body = *method == 'P' ? "x" : ""}).status, 400)
          << method << " " << path;
  }
  EXPECT_EQ(read_file(dir_.path() / "secret").value(), "s");
  EXPECT_TRUE(fs::is_empty(dir_.path() / "files/.incoming")) << "refused uploads were left behind";
}

TEST_F(ApiTest, RunsInLocalFoldersAreListed) {
  fs::path folder = dir_.path() / "local";
  std::string body = Json{{"name", "local"}, {"artifact_location", folder.string()}}.dump();
  std::string experiment = json_string(post("experiments/create", body), "experiment_id");
  Json info = post("runs/create", fmt::format(R"({{"experiment_id": "{}"}})", experiment))["run"]["info"];
  ASSERT_EQ(info["artifact_uri"],
            fmt::format("{}/{}/artifacts", folder.string(), json_string(info, "run_id")));
  fs::create_directories(json_string(info, "artifact_uri"));
  ASSERT_TRUE(write_file_atomic(fs::path(json_string(info, "artifact_uri")) / "x", "1", Durable::no));
  EXPECT_EQ(get("artifacts/list?run_id=" + json_string(info, "run_id"))["files"][0]["path"], "x");
}

TEST_F(ApiTest, AServerForOthersShowsOnlyItsOwnFolders) {
  fs::path inside = dir_.path() / "inside", outside = dir_.path() / "outside";
  api::EndpointOptions options;
  options.host = "0.0.0.0";
  options.readable_roots = {inside.string()};
  auto open = api::Endpoint::start(store_, options).value();
  HttpClient client = HttpClient::create(fmt::format("http://127.0.0.1:{}", open.port())).value();
  for (const fs::path& folder : {inside, outside}) {
    std::string experiment = store_.create_experiment(folder.string().substr(1), folder.string()).value();
    std::string run =
        store_.create_run({.experiment_id = experiment, .name = "", .user = "", .tags = {}}).value().info.id;
    auto listed = client.send({.target = "/api/2.0/mlflow/artifacts/list?run_id=" + run});
    EXPECT_EQ(listed->status, folder == inside ? 200 : 403) << listed->body;
  }
}

int status_for(HttpClient& client, std::string host, std::string method, std::string origin = "") {
  ClientRequest request{.method = std::move(method),
                        .target = "/api/2.0/mlflow/experiments/search?max_results=1"};
  request.headers.add("Content-Type", "application/json");
  if (!origin.empty()) request.headers.add("Origin", std::move(origin));
  request.host = std::move(host);
  return client.send(request)->status;
}

TEST_F(ApiTest, ForeignHostsAndOriginsAreRefused) {
  for (const char* good : {"localhost", "LOCALHOST:5000", "127.0.0.1:5000", "[::1]:5000", "192.168.1.2",
                           "mlflow.example.org", "mlflow.example.org:80", "a.trusted.org:5000"})
    EXPECT_EQ(status_for(*client_, good, "GET"), 200) << good;
  for (const char* bad : {"evil.org", "localhost.evil.org", "mlflow.example.org.evil.org",
                          "127.0.0.1.evil.org:5000", "a.trusted.org:80"})
    EXPECT_EQ(status_for(*client_, bad, "GET"), 403) << bad;
  EXPECT_EQ(status_for(*client_, "localhost:5000", "POST", "http://evil.org"), 403);
  EXPECT_EQ(status_for(*client_, "localhost:5000", "POST", "null"), 403);
  EXPECT_EQ(status_for(*client_, "localhost:5000", "POST", "http://localhost:5000"), 400)
      << "max_results is missing, but it is let in";
}

TEST_F(ApiTest, RegisteredModelsHaveMlflowsShape) {
  Json model = post("registered-models/create", R"({"name": "m"})")["registered_model"];
  EXPECT_EQ(model.size(), 3u) << model;  // no description, tags, versions
  EXPECT_TRUE(model["creation_timestamp"].is_number_integer());
  Json version = post("model-versions/create",
                      R"({"name": "m", "source": "s3://b/x", "tags": [{"key": "k", "value": "v"}]})");
  version = version["model_version"];
  version.erase("creation_timestamp");
  version.erase("last_updated_timestamp");
  EXPECT_EQ(version, Json::parse(R"({"name": "m", "version": "1", "current_stage": "None", "description": "",
    "source": "s3://b/x", "run_id": "", "status": "READY", "run_link": "", "tags": [{"key": "k", "value": "v"}]})"));
  EXPECT_EQ(post("registered-models/alias", R"({"name": "m", "alias": "a", "version": "1"})"),
            Json::object());
  model = get("registered-models/get?name=m")["registered_model"];
  EXPECT_EQ(model["aliases"], Json::parse(R"([{"alias": "a", "version": "1"}])"));
  EXPECT_EQ(model["latest_versions"][0]["aliases"], Json::array({"a"}));
  EXPECT_EQ(get("registered-models/alias?name=m&alias=a")["model_version"]["version"], "1");
  EXPECT_EQ(get("model-versions/get-download-uri?name=m&version=1")["artifact_uri"], "s3://b/x");
  EXPECT_EQ(get("registered-models/search")["registered_models"].size(), 1u);
  EXPECT_EQ(get("model-versions/search?filter=name%3D%27none%27"), Json::object());
}

TEST_F(ApiTest, RegistryErrorsAreMlflows) {
  post("registered-models/create", R"({"name": "m"})");
  expect_error(post("registered-models/create", R"({"name": "m"})"), 400, "RESOURCE_ALREADY_EXISTS",
               "Registered Model (name=m) already exists.");
  expect_error(get("registered-models/get?name=x"), 404, "RESOURCE_DOES_NOT_EXIST",
               "Registered Model with name=x not found");
  expect_invalid(get("model-versions/get?name=m&version=abc"),
                 "Parameter 'version' must be an integer, got 'abc'.");
  expect_invalid(get("registered-models/alias?name=m&alias=x"), "Registered model alias x not found.");
  expect_invalid(
      get("model-versions/search?max_results=200001"),
      fmt::format(
          "Invalid value \"200001\" for parameter 'max_results' supplied:  Hint: Value was of type 'str'. {}",
          kDocs));
  expect_invalid(
      post("model-versions/create", R"({"name": "m", "source": "s3://b", "tags": 5})"),
      fmt::format("Invalid value 5 for parameter 'tags' supplied:  Hint: Value was of type 'int'. {}",
                  kDocs));
}

}  // namespace
}  // namespace tidemill
