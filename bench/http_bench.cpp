// tracking_bench: how many requests and points a second the tracking endpoint takes, beside MLflow's own
// server.
//   tracking_bench [seconds per measurement, default 3]
// Every request is answered after its data is on disk (both servers: SQLite). MLflow is started from the
// Python in TIDEMILL_PYTHON (default ~/.cache/tidemill/venv/bin/python); without it only Tidemill is
// measured.
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <thread>

#include "api/endpoint.h"
#include "base/json.h"
#include "base/text.h"
#include "base/time.h"
#include "net/http_client.h"
#include "net/http_server.h"
#include "sys/process.h"
#include "tracking/store.h"

namespace tidemill {
namespace {

struct Figures {
  double per_second = 0;
  double median_ms = 0, p99_ms = 0;
};

Result<Json> post(HttpClient& client, std::string_view call, std::string body) {
  ClientRequest request{
      .method = "POST", .target = fmt::format("/api/2.0/mlflow/{}", call), .body = std::move(body)};
  request.headers.add("Content-Type", "application/json");
  ClientResponse response = TRY(client.send(request));
  if (response.status != 200)
    return fail(Code::kInternal, "{} answered {}: {}", call, response.status, response.body);
  return parse_json(response.body);
}

Result<std::vector<std::string>> make_runs(HttpClient& client, int count) {
  std::string name = fmt::format("bench-{}", now_ms());
  Json experiment = TRY(post(client, "experiments/create", fmt::format(R"({{"name":"{}"}})", name)));
  std::vector<std::string> ids;
  for (int i = 0; i < count; ++i) {
    std::string body =
        fmt::format(R"({{"experiment_id":"{}","start_time":1}})", json_string(experiment, "experiment_id"));
    ids.push_back(json_string(TRY(post(client, "runs/create", std::move(body)))["run"]["info"], "run_id"));
  }
  return ids;
}

std::string metric_body(const std::string& run, int64_t step) {
  return fmt::format(
      R"({{"run_id":"{0}","run_uuid":"{0}","key":"loss","value":{1},"timestamp":{2},"step":{3}}})", run,
      1.0 / static_cast<double>(step + 1), 1700000000000 + step, step);
}

std::string batch_body(const std::string& run, int64_t batch) {
  constexpr int kPoints = 500;
  std::string body = fmt::format(R"({{"run_id":"{}","metrics":[)", run);
  for (int i = 0; i < kPoints; ++i) {
    int64_t step = batch * kPoints + i;
    fmt::format_to(std::back_inserter(body), R"({}{{"key":"m{}","value":{},"timestamp":{},"step":{}}})",
                   i ? "," : "", i % 5, 1.0 / static_cast<double>(step + 1), 1700000000000 + step, step);
  }
  return body + R"(],"params":[],"tags":[]})";
}

using Body = std::string (*)(const std::string& run, int64_t number);

Result<Figures> measure(const std::string& url, int connections, double seconds, std::string_view call,
                        Body make_body) {
  HttpClient client = TRY(HttpClient::create(url));
  std::vector<std::string> runs = TRY(make_runs(client, connections));
  std::vector<std::vector<double>> times(runs.size());
  std::atomic<bool> failed{false};
  std::mutex mutex;
  Error first_error;
  std::vector<std::thread> threads;
  Stopwatch total;
  for (size_t t = 0; t < runs.size(); ++t)
    threads.emplace_back([&, t] {
      for (int64_t number = 0; total.seconds() < seconds && !failed; ++number) {
        std::string body = make_body(runs[t], number);
        Stopwatch one;
        if (auto answer = post(client, call, std::move(body)); !answer && !failed.exchange(true)) {
          std::lock_guard lock(mutex);
          first_error = answer.error();
        }
        times[t].push_back(one.seconds() * 1000);
      }
    });
  for (auto& thread : threads) thread.join();
  double elapsed = total.seconds();
  if (failed) return tl::unexpected<Error>(std::move(first_error).in("under load"));
  std::vector<double> all;
  for (const auto& some : times) all.insert(all.end(), some.begin(), some.end());
  std::sort(all.begin(), all.end());
  return Figures{static_cast<double>(all.size()) / elapsed, all[all.size() / 2], all[all.size() * 99 / 100]};
}

struct Measured {
  Figures metric, batch;
};

Result<Measured> measure_server(const std::string& url, double seconds) {
  Measured measured;
  measured.metric = TRY(measure(url, 8, seconds, "runs/log-metric", metric_body));
  measured.batch = TRY(measure(url, 4, seconds, "runs/log-batch", batch_body));
  return measured;
}

Result<Measured> measure_tidemill(const fs::path& folder, double seconds) {
  auto store = TRY(
      tracking::Store::open({.file = folder / "tidemill.db", .default_artifact_root = "mlflow-artifacts:"}));
  auto endpoint = TRY(api::Endpoint::start(store, {}));
  return measure_server(endpoint.url(), seconds);
}

// A port that was free a moment ago.
Result<uint16_t> free_port() {
  auto server = TRY(HttpServer::start({}, [](HttpRequest, const Respond&) {}));
  return server.port();
}

std::string last_lines(const fs::path& file) {
  std::string text = read_file(file).value_or("");
  return text.substr(text.size() - std::min<size_t>(text.size(), 500));
}

Result<Measured> measure_mlflow(const fs::path& folder, double seconds) {
  const char* chosen = std::getenv("TIDEMILL_PYTHON");
  const char* home = std::getenv("HOME");
  fs::path python =
      chosen ? fs::path(chosen) : fs::path(home ? home : "/root") / ".cache/tidemill/venv/bin/python";
  if (!fs::exists(python)) return fail(Code::kNotFound, "no Python at {}", python.string());
  uint16_t port = TRY(free_port());
  ProcessOptions options;
  options.argv = {python.string(),
                  "-m",
                  "mlflow",
                  "server",
                  "--port",
                  std::to_string(port),
                  "--backend-store-uri",
                  "sqlite:///" + (folder / "mlflow.db").string(),
                  "--default-artifact-root",
                  (folder / "artifacts").string()};
  options.working_dir = folder;
  options.extra_env = {{"MLFLOW_DISABLE_TELEMETRY", "true"}};
  options.output_file = folder / "mlflow.log";
  Process server = TRY(Process::start(options));
  std::string url = fmt::format("http://127.0.0.1:{}", port);
  HttpClient client = TRY(HttpClient::create(url));
  // Its workers come up one after another, and are restarted when they are slow to: wait for a calm moment.
  int answered = 0;
  for (Stopwatch waited; answered < 40;) {
    answered = post(client, "experiments/search", R"({"max_results":1})") ? answered + 1 : 0;
    if (answered > 0) continue;
    if (waited.seconds() > 120 || server.wait_for(std::chrono::milliseconds(200)))
      return fail(Code::kUnavailable, "mlflow server did not start within {:.0f} s: {}", waited.seconds(),
                  last_lines(options.output_file));
  }
  auto measured = measure_server(url, seconds);
  server.stop(std::chrono::seconds(10));
  return measured;
}

void print_row(const char* what, const Figures& figures, int points) {
  std::printf("  %-34s %9.0f req/s %11.0f points/s   median %7.2f ms   p99 %7.2f ms\n", what,
              figures.per_second, figures.per_second * points, figures.median_ms, figures.p99_ms);
}

void print_server(const char* name, const Measured& measured) {
  std::printf("%s\n", name);
  print_row("log-metric, 8 connections", measured.metric, 1);
  print_row("log-batch of 500, 4 connections", measured.batch, 500);
}

Result<> run(double seconds) {
  TempDir folder = TRY(TempDir::create(fs::current_path(), "tracking-bench-"));
  Measured ours = TRY(measure_tidemill(folder.path(), seconds));
  print_server("tidemill", ours);
  auto rival = measure_mlflow(folder.path(), seconds);
  if (!rival) {
    std::printf("mlflow was not measured: %s\n", rival.error().message.c_str());
    return {};
  }
  print_server("mlflow server", *rival);
  std::printf("ratio: log-metric %.1f x, log-batch %.1f x\n",
              ours.metric.per_second / rival->metric.per_second,
              ours.batch.per_second / rival->batch.per_second);
  return {};
}

}  // namespace
}  // namespace tidemill

int main(int argc, char** argv) {
  double seconds = argc > 1 ? std::atof(argv[1]) : 3;
  if (auto done = tidemill::run(seconds > 0 ? seconds : 3); !done) {
    std::fprintf(stderr, "%s\n", done.error().message.c_str());
    return 1;
  }
  return 0;
}
