// search_bench: how long one client waits for searches and histories, beside MLflow's own server.
// Both run as their users start them, on SQLite. A small experiment has 1000 runs with ten metrics,
// parameters and tags each; the large one and the metric of a million points are in Tidemill's store alone:
// MLflow would need hours to take them. Times are medians of interleaved requests over one connection, from
// sending to the last byte. The rival comes from scripts/python-tools.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <thread>

#include "arguments.h"
#include "base/json.h"
#include "base/text.h"
#include "base/time.h"
#include "net/http_client.h"
#include "server_process.h"
#include "tracking/store.h"

namespace tidemill::bench {
namespace {

constexpr int kSmallRuns = 1000;
constexpr int kLongRuns = 20;
constexpr int kRounds = 21, kRivalRounds = 5;
constexpr int64_t kStart = 1'700'000'000'000;

struct Contents {
  std::string small, large;            // experiments
  std::string run;                     // of the metric with ten thousand points
  std::vector<std::string> long_runs;  // of those with a million
};

tracking::Batch batch_of(std::mt19937_64& random) {
  tracking::Batch batch;
  for (int k = 0; k < 10; ++k) {
    batch.metrics.push_back(
        {fmt::format("metric_{}", k), static_cast<double>(random() % 1'000'000) / 1000, kStart, k});
    batch.params.emplace_back(fmt::format("param_{}", k), std::to_string(random() % 10));
    if (k > 0) batch.tags.emplace_back(fmt::format("tag_{}", k), std::to_string(random() % 10));
  }
  return batch;
}

tracking::Batch points_of(int64_t first, int64_t count) {
  tracking::Batch batch;
  for (int64_t i = first; i < first + count; ++i)
    batch.metrics.push_back({"loss", 1 + std::sin(static_cast<double>(i) / 1000), kStart + 100 * i, i});
  return batch;
}

Json to_json(const tracking::Batch& batch, std::string_view run_id) {
  Json json{
      {"run_id", run_id}, {"metrics", Json::array()}, {"params", Json::array()}, {"tags", Json::array()}};
  for (const auto& [key, value, timestamp, step] : batch.metrics)
    json["metrics"].push_back({{"key", key}, {"value", value}, {"timestamp", timestamp}, {"step", step}});
  for (const auto& [key, value] : batch.params) json["params"].push_back({{"key", key}, {"value", value}});
  for (const auto& [key, value] : batch.tags) json["tags"].push_back({{"key", key}, {"value", value}});
  return json;
}

class Client {
 public:
  static Result<Client> create(uint16_t port) {
    return Client(TRY(HttpClient::create(fmt::format("http://127.0.0.1:{}", port))));
  }
  Result<std::string> post(std::string_view call, std::string body) {
    ClientRequest request{
        .method = "POST", .target = fmt::format("/ajax-api/2.0/mlflow/{}", call), .body = std::move(body)};
    request.headers.add("Content-Type", "application/json");
    return send(std::move(request));
  }
  // Of the web page's own calls.
  Result<std::string> ask(std::string_view call, const Json& body) {
    ClientRequest request{
        .method = "POST", .target = fmt::format("/ajax-api/tidemill/{}", call), .body = body.dump()};
    request.headers.add("Content-Type", "application/json");
    return send(std::move(request));
  }
  Result<std::string> get(std::string_view call) {
    return send({.target = fmt::format("/ajax-api/2.0/mlflow/{}", call)});
  }

 private:
  explicit Client(HttpClient http) : http_(std::move(http)) {}
  Result<std::string> send(ClientRequest request) {
    ClientResponse response = TRY(http_.send(request));
    if (response.status == 200) return std::move(response.body);
    return fail(Code::kInternal, "{} answered {}: {}", request.target, response.status, response.body);
  }
  HttpClient http_;
};

// The small experiment, over REST. Workers of MLflow's come up one after another: a failed call is repeated.
Result<Contents> fill(Client& client) {
  auto call = [&](std::string_view name, const Json& body) -> Result<Json> {
    for (int patience = 50;; --patience) {
      auto answer = client.post(name, body.dump());
      if (answer) return parse_json(*answer);
      if (patience == 0) return tl::unexpected<Error>(answer.error());
      std::this_thread::sleep_for(std::chrono::milliseconds(200));
    }
  };
  Contents contents;
  contents.small = json_string(TRY(call("experiments/create", {{"name", fmt::format("small {}", now_ms())}})),
                               "experiment_id");
  std::mt19937_64 random(3);
  for (int i = 0; i < kSmallRuns; ++i) {
    Json made = TRY(call("runs/create", {{"experiment_id", contents.small}, {"start_time", kStart + i}}));
    contents.run = json_string(made["run"]["info"], "run_id");
    TRY(call("runs/log-batch", to_json(batch_of(random), contents.run)));
  }
  for (int64_t at = 0; at < 10'000; at += 1000)
    TRY(call("runs/log-batch", to_json(points_of(at, 1000), contents.run)));
  return contents;
}

Result<> log_points(tracking::Store& store, const std::string& run, int64_t points) {
  constexpr int64_t kBatch = 1000;
  for (int64_t at = 0; at < points; at += kBatch)
    TRY(store.log_batch(run, points_of(at, std::min(kBatch, points - at))));
  return {};
}

// The large experiment and the long metric, straight into the store's file.
Result<> fill_large(const fs::path& file, int runs, int64_t points, Contents& contents) {
  const Stopwatch watch;
  auto store = TRY(tracking::Store::open({.uri = file, .default_artifact_root = "mlflow-artifacts:"}));
  contents.large = TRY(store.ensure_experiment("large"));
  constexpr int kThreads = 16;  // they share their commits
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t)
    threads.emplace_back([&, t] {
      std::mt19937_64 random(static_cast<uint64_t>(t));
      for (int i = t; i < runs; i += kThreads) {
        tracking::CreateRun create;
        create.experiment_id = contents.large;
        create.start_time = kStart + i;
        auto run = store.create_run(create);
        if (!run || !store.log_batch(run->info.id, batch_of(random)) ||
            !log_points(store, run->info.id, points))
          std::exit(1);
        (void)store.update_run({.run_id = run->info.id,
                                .status = tracking::RunStatus::kFinished,
                                .end_time = kStart + i + 1,
                                .name = {}});
      }
    });
  for (std::thread& thread : threads) thread.join();
  threads.clear();
  for (int i = 0; i < kLongRuns; ++i) {
    contents.long_runs.push_back(TRY(store.create_run({})).info.id);
    threads.emplace_back([&store, id = contents.long_runs.back()] {
      if (!log_points(store, id, 1'000'000)) std::exit(1);
    });
  }
  for (std::thread& thread : threads) thread.join();
  fmt::print("a store of {} runs and {} points: {}, made in {}\n",
             human_count(static_cast<uint64_t>(runs + kLongRuns)),
             human_count(static_cast<uint64_t>(runs * (points + 10) + kLongRuns * 1'000'000)),
             human_bytes(fs::file_size(file)), human_duration(watch.seconds()));
  return {};
}

double median(std::vector<double> times) {
  std::nth_element(times.begin(), times.begin() + static_cast<ptrdiff_t>(times.size() / 2), times.end());
  return times[times.size() / 2];
}

struct Side {
  Client client;
  Contents contents;
};
using Request = std::function<Result<std::string>(Side&)>;

Result<> measure(std::string_view what, Side& ours, Side* rival, const Request& request) {
  auto time = [&](Side& side, std::vector<double>& times) -> Result<> {
    Stopwatch watch;
    TRY(request(side));
    times.push_back(watch.seconds() * 1000);
    return {};
  };
  std::vector<double> our_times, rival_times;
  TRY(request(ours));
  for (int round = 0; round < kRounds; ++round) {
    TRY(time(ours, our_times));
    if (rival && round < kRivalRounds) TRY(time(*rival, rival_times));
  }
  double mine = median(our_times);
  if (!rival)
    fmt::print("{:58}{:9.2f} ms\n", what, mine);
  else
    fmt::print("{:58}{:9.2f} ms{:11.1f} ms{:8.0f}x\n", what, mine, median(rival_times),
               median(rival_times) / mine);
  std::fflush(stdout);
  return {};
}

Request search(std::string Contents::* experiment, std::string filter, std::string order, int max_results) {
  return [=](Side& side) {
    Json body{
        {"experiment_ids", {side.contents.*experiment}}, {"filter", filter}, {"max_results", max_results}};
    if (!order.empty()) body["order_by"] = {order};
    return side.client.post("runs/search", body.dump());
  };
}

Request history(std::string rest) {
  return [=](Side& side) {
    bool sampled = rest.starts_with("-");
    return side.client.get(fmt::format("metrics/get-history{}metric_key=loss&{}={}", rest,
                                       sampled ? "run_ids" : "run_id", side.contents.run));
  };
}

Result<std::string> long_history(Side& side) {
  return side.client.get("metrics/get-history-bulk-interval?max_results=1000&metric_key=loss&run_ids=" +
                         side.contents.long_runs.front());
}

// What a table shows of so many runs: ten columns of metrics, five of parameters, the state.
Request window(std::string Contents::* experiment, int offset, int limit, Json order = Json::array()) {
  return [=](Side& side) {
    Json columns = {"attributes.run_name", "attributes.status", "attributes.start_time"};
    for (int k = 0; k < 10; ++k) columns.push_back(fmt::format("metrics.metric_{}", k));
    for (int k = 0; k < 5; ++k) columns.push_back(fmt::format("params.param_{}", k));
    return side.client.ask("runs", {{"experiment_ids", {side.contents.*experiment}},
                                    {"order_by", order},
                                    {"offset", offset},
                                    {"limit", limit},
                                    {"columns", columns}});
  };
}

Request lines(int points) {
  return [=](Side& side) {
    return side.client.ask("series",
                           {{"run_ids", side.contents.long_runs}, {"keys", {"loss"}}, {"points", points}});
  };
}

Result<> measure_all(Side& ours, Side* rival, int large_runs) {
  const std::string filter = "metrics.metric_3 > 200 AND params.param_1 != '4'";
  const std::string order = "metrics.metric_3 DESC";
  fmt::print("{:58}{:>12}{}\n", "", "Tidemill", rival ? "        MLflow   ratio" : "");
  TRY(measure("search: all 1000 runs with their data", ours, rival, search(&Contents::small, "", "", 1000)));
  TRY(measure("search: filter and order by a metric, best 100 of 1000", ours, rival,
              search(&Contents::small, filter, order, 100)));
  TRY(measure("search: newest 100 of 1000 by a parameter", ours, rival,
              search(&Contents::small, "params.param_2 = '3'", "", 100)));
  TRY(measure("history: all 10 000 points of a metric", ours, rival, history("?max_results=25000&")));
  TRY(measure("history: 10 000 points sampled to 1000", ours, rival,
              history("-bulk-interval?max_results=1000&")));
  TRY(measure("history: 1 000 000 points sampled to 1000", ours, nullptr, long_history));
  TRY(measure(fmt::format("chart: {} lines of 1 000 000 points, 500 stretches each", kLongRuns), ours,
              nullptr, lines(500)));
  TRY(measure("table: 18 columns of 1000 runs of 1000", ours, nullptr, window(&Contents::small, 0, 1000)));
  TRY(measure("table: the 100 behind 50 000, and the number of all", ours, nullptr,
              window(&Contents::large, 50'000, 100)));
  TRY(measure("table: the best 100 by the highest of a metric", ours, nullptr,
              window(&Contents::large, 0, 100, {"max(metrics.metric_3) DESC"})));
  TRY(measure(
      fmt::format("search: the same best 100 of {} runs", human_count(static_cast<uint64_t>(large_runs))),
      ours, nullptr, search(&Contents::large, filter, order, 100)));
  TRY(measure("search: its newest 100", ours, nullptr, search(&Contents::large, "", "", 100)));
  return measure("search: its newest 100 by a parameter and a pattern", ours, nullptr,
                 search(&Contents::large, "params.param_2 = '3' AND tags.tag_4 LIKE '7%'", "", 100));
}

Result<> run(int large_runs, int64_t points, bool alone) {
  TempDir folder = TRY(TempDir::create(fs::current_path()));
  Contents large;
  TRY(make_dirs(folder.path() / "tidemill"));
  TRY(fill_large(folder.path() / "tidemill" / "t.db", large_runs, points, large));
  ServerProcess tidemill = TRY(ServerProcess::start(
      "Tidemill", {TIDEMILL, "server", "--store", "t.db", "--port", "{port}"}, folder.path() / "tidemill"));
  Side ours{TRY(Client::create(tidemill.port())), {}};
  ours.contents = TRY(fill(ours.client));
  ours.contents.large = large.large;
  ours.contents.long_runs = large.long_runs;
  std::optional<ServerProcess> mlflow;
  std::optional<Side> rival;
  fs::path program = fs::path(std::getenv("HOME")) / ".cache/tidemill/venv/bin/mlflow";
  if (!alone && fs::exists(program)) {
    mlflow.emplace(
        TRY(ServerProcess::start("MLflow",
                                 {program.string(), "server", "--backend-store-uri", "sqlite:///m.db",
                                  "--artifacts-destination", "a", "--port", "{port}", "--workers", "1"},
                                 folder.path() / "mlflow")));
    rival.emplace(Side{TRY(Client::create(mlflow->port())), {}});
    rival->contents = TRY(fill(rival->client));
  }
  auto measured = measure_all(ours, rival ? &*rival : nullptr, large_runs);
  tidemill.stop();
  if (mlflow) mlflow->stop();
  return measured;
}

}  // namespace
}  // namespace tidemill::bench

int main(int argc, char** argv) {
  using namespace tidemill::bench;
  int runs = 100'000, points = 0;
  bool alone = false;
  read_arguments(
      argc, argv,
      {.measures = "How long one client waits for searches and histories, beside MLflow's own server.",
       .arguments = {{"RUNS", &runs, "Runs of the large experiment, which is in Tidemill's store alone"},
                     {"POINTS", &points, "Points of one more metric in each of these runs"},
                     {"--alone", &alone, "Leave MLflow out"}},
       .examples = {"search_bench", "search_bench 100000 3000 --alone"}});
  auto done = run(runs, points, alone);
  if (!done) fmt::print(stderr, "search_bench: {}\n", done.error().message);
  return done ? 0 : 1;
}
