// The web page's own calls, through HTTP.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "api/endpoint.h"
#include "base/json.h"
#include "net/http_client.h"
#include "test_database.h"
#include "tracking/store.h"

namespace tidemill {
namespace {

using testing::HasSubstr;

class PageCallsTest : public testing::Test {
 protected:
  std::string add_run(const tracking::Batch& batch) {
    std::string id = store_.create_run({}).value().info.id;
    EXPECT_TRUE(store_.log_batch(id, batch));
    return id;
  }
  Json post(const std::string& call, const Json& body, int status = 200) {
    ClientRequest request{.method = "POST", .target = "/ajax-api/tidemill/" + call, .body = dump_json(body)};
    request.headers.add("Content-Type", "application/json");
    auto response = client_.send(request);
    EXPECT_TRUE(response) << response.error().message;
    EXPECT_EQ(response->status, status) << response->body;
    return parse_json(response->body).value_or(Json());
  }

  TempDir dir_ = TempDir::create().value();
  tracking::Store store_ =
      tracking::Store::open({.uri = test::new_database(dir_.path() / "t.db"), .default_artifact_root = "a"})
          .value();
  api::Endpoint endpoint_ = api::Endpoint::start(store_, {}).value();
  HttpClient client_ = HttpClient::create(endpoint_.url()).value();
};

TEST_F(PageCallsTest, a_window_of_runs_comes_as_columns) {
  add_run({.metrics = {{"loss", 0.5, 1, 0}, {"loss", std::nan(""), 2, 1}},
           .params = {{"lr", "0.1"}},
           .tags = {}});
  std::string second = add_run({.metrics = {{"loss", 0.25, 1, 0}}, .params = {{"q/x", "ä\""}}, .tags = {}});
  Json window = post(
      "runs",
      {{"experiment_ids", {"0"}},
       {"filter", "min(metrics.loss) < 1"},
       {"order_by", {"min(metrics.loss)"}},
       {"columns", {"metrics.loss", "min(metrics.loss)", "params.lr", "params.q/x", "attributes.end_time"}}});
  EXPECT_EQ(window["total"], 2);
  EXPECT_EQ(window["offset"], 0);
  EXPECT_EQ(window["run_ids"][0], second);
  const char* columns = R"json([
      {"name": "metrics.loss", "values": [0.25, "NaN"]},
      {"name": "min(metrics.loss)", "values": [0.25, 0.5]},
      {"name": "params.lr", "values": [null, "0.1"]},
      {"name": "params.q/x", "values": ["ä\"", null]},
      {"name": "attributes.end_time", "values": [null, null]}])json";
  EXPECT_EQ(window["columns"], Json::parse(columns));
  Json next = post("runs", {{"experiment_ids", {"0"}}, {"offset", 1}, {"limit", 5}, {"count", false}});
  EXPECT_EQ(next["run_ids"].size(), 1u);
  EXPECT_FALSE(next.contains("total"));
}

TEST_F(PageCallsTest, lines_of_a_chart_come_as_columns) {
  std::string run =
      add_run({.metrics = {{"a", 1, 10, 0}, {"a", 3, 20, 1}, {"a", std::nan(""), 30, 8}, {"b", 2, 10, 4}},
               .params = {},
               .tags = {}});
  Json lines = post("series", {{"run_ids", {run}}, {"keys", {"a", "b"}}, {"points", 2}});
  for (Json& line : lines["series"]) {
    EXPECT_EQ(line["run_id"], run);
    line.erase("run_id");
  }
  Json expected = Json::parse(R"({"series": [
      {"key": "a", "count": 3, "x": [1, 8], "min": [1.0, null], "max": [3.0, null], "last": [3.0, null]},
      {"key": "b", "count": 1, "x": [4], "last": [2.0]}],
      "missing_runs": []})");
  EXPECT_EQ(lines, expected);
  Json zoom = post("series", {{"run_ids", {run}}, {"keys", {"a"}}, {"x", "time"}, {"from", 15}, {"to", 25}});
  EXPECT_EQ(zoom["series"][0]["x"], Json::parse("[20]"));
}

TEST_F(PageCallsTest, a_run_that_is_gone_leaves_the_lines_of_the_others) {
  std::string run = add_run({.metrics = {{"a", 1, 10, 0}}, .params = {}, .tags = {}});
  Json lines = post("series", {{"run_ids", {"gone", run}}, {"keys", {"a"}}});
  EXPECT_EQ(lines["missing_runs"], Json::parse(R"(["gone"])"));
  ASSERT_EQ(lines["series"].size(), 1u);
  EXPECT_EQ(lines["series"][0]["run_id"], run);
}

TEST_F(PageCallsTest, wrong_requests_are_refused_with_the_reason) {
  auto message = [&](const std::string& call, const Json& body, int status = 400) {
    return json_string(post(call, body, status), "message");
  };
  EXPECT_THAT(message("runs", {{"experiment_ids", {"0"}}, {"limit", 10'001}}),
              HasSubstr("at most 10000 runs"));
  EXPECT_THAT(message("runs", {{"experiment_ids", {"0"}}, {"offset", -1}}),
              HasSubstr("Invalid value -1 for parameter 'offset'"));
  EXPECT_THAT(message("runs", {{"experiment_ids", {"0"}}, {"filter", "avg(metrics.m) > 1"}}),
              HasSubstr("Unknown function 'avg'"));
  EXPECT_THAT(message("series", {{"run_ids", {"x"}}}), HasSubstr("required parameter 'keys'"));
  EXPECT_THAT(message("series", {{"run_ids", {"x"}}, {"keys", {"k"}}, {"x", "y"}}),
              HasSubstr("it is 'step', 'time' or 'relative'"));
  auto get = client_.send({.target = "/ajax-api/tidemill/runs"});
  EXPECT_EQ(get->status, 405);
}

}  // namespace
}  // namespace tidemill
