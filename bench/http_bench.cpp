// tracking_bench: what a tracking server costs: time to start, memory, requests and points a second, beside
// MLflow's own server and FastTrackML.
// All three run as their users start them, on SQLite in the current folder's file system, and answer a write
// when its data is on disk (FastTrackML and MLflow: SQLite's own commits). The rivals come from
// scripts/python-tools; what is not there is left out.
// Two roofs are printed: what the disk and the load generator themselves allow.
#include <fcntl.h>
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "arguments.h"
#include "base/json.h"
#include "base/time.h"
#include "http_load.h"
#include "net/http_client.h"
#include "server_process.h"

namespace tidemill::bench {
namespace {

constexpr int kBatchPoints = 500;

Result<Json> post(uint16_t port, std::string_view call, std::string body) {
  HttpClient client = TRY(HttpClient::create(fmt::format("http://127.0.0.1:{}", port)));
  ClientRequest request{
      .method = "POST", .target = fmt::format("/api/2.0/mlflow/{}", call), .body = std::move(body)};
  request.headers.add("Content-Type", "application/json");
  ClientResponse response = TRY(client.send(request));
  if (response.status != 200)
    return fail(Code::kInternal, "{} answered {}: {}", call, response.status, response.body);
  return parse_json(response.body);
}

// Workers of MLflow's come up one after another, and are restarted when they are slow to: wait for calm.
Result<> wait_for_calm(uint16_t port) {
  int calm = 0;
  for (Stopwatch watch; calm < 40;) {
    calm = post(port, "experiments/search", R"({"max_results":1})") ? calm + 1 : 0;
    if (calm > 0) continue;
    if (watch.seconds() > 60) return fail(Code::kUnavailable, "the server does not become calm");
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
  return {};
}

struct Ids {
  std::string experiment;
  std::vector<std::string> runs;
};

Result<Ids> make_runs(uint16_t port, int count) {
  Ids ids;
  Json made = TRY(post(port, "experiments/create", fmt::format(R"({{"name":"bench-{}"}})", now_ms())));
  ids.experiment = json_string(made, "experiment_id");
  for (int i = 0; i < count; ++i) {
    std::string body = fmt::format(R"({{"experiment_id":"{}","start_time":1}})", ids.experiment);
    ids.runs.push_back(json_string(TRY(post(port, "runs/create", std::move(body)))["run"]["info"], "run_id"));
  }
  return ids;
}

void append_number(std::string& out, int64_t value) {
  char digits[24];
  out.append(digits, std::to_chars(digits, digits + sizeof digits, value).ptr);
}

// A number between 0 and 1 with as many digits as a loss has.
const std::string& value_text(int64_t number) {
  static const std::vector<std::string> texts = [] {
    std::vector<std::string> made;
    for (int i = 0; i < 1009; ++i) made.push_back(fmt::format("{}", 1.0 / (i + 1.37)));
    return made;
  }();
  return texts[static_cast<size_t>(number) % texts.size()];
}

void append_point(std::string& out, std::string_view key, int64_t step) {
  out.append(R"("key":")").append(key).append(R"(","value":)").append(value_text(step));
  out += R"(,"timestamp":)";
  append_number(out, 1700000000000 + step);
  out += R"(,"step":)";
  append_number(out, step);
}

Result<LoadFigures> measure_log_metric(uint16_t port, int connections, double seconds) {
  Ids ids = TRY(make_runs(port, connections));
  return run_load({.port = port,
                   .connections = connections,
                   .seconds = seconds,
                   .target = "/api/2.0/mlflow/runs/log-metric",
                   .write_body = [&](int connection, int64_t number, std::string& body) {
                     const std::string& run = ids.runs[static_cast<size_t>(connection)];
                     body.append(R"({"run_uuid":")").append(run).append(R"(","run_id":")").append(run);
                     append_point(body += R"(",)", "loss", number);
                     body += '}';
                   }});
}

Result<LoadFigures> measure_log_batch(uint16_t port, int connections, double seconds) {
  static constexpr std::string_view kKeys[] = {"m0", "m1", "m2", "m3", "m4"};
  Ids ids = TRY(make_runs(port, connections));
  return run_load({.port = port,
                   .connections = connections,
                   .seconds = seconds,
                   .target = "/api/2.0/mlflow/runs/log-batch",
                   .write_body = [&](int connection, int64_t number, std::string& body) {
                     const std::string& run = ids.runs[static_cast<size_t>(connection)];
                     body.append(R"({"run_id":")").append(run).append(R"(","metrics":[)");
                     for (int64_t i = 0; i < kBatchPoints; ++i) {
                       append_point(body += i ? ",{" : "{", kKeys[i % 5], number * kBatchPoints + i);
                       body += '}';
                     }
                     body += R"(],"params":[],"tags":[]})";
                   }});
}

Result<LoadFigures> measure_create_run(uint16_t port, int connections, double seconds) {
  Ids ids = TRY(make_runs(port, 0));
  return run_load(
      {.port = port,
       .connections = connections,
       .seconds = seconds,
       .target = "/api/2.0/mlflow/runs/create",
       .write_body = [&](int, int64_t number, std::string& body) {
         fmt::format_to(
             std::back_inserter(body),
             R"({{"experiment_id":"{}","user_id":"bench","run_name":"run-{}","start_time":{},"tags":[]}})",
             ids.experiment, number, 1700000000000 + number);
       }});
}

Result<LoadFigures> measure_health(uint16_t port, double seconds) {
  return run_load({.port = port,
                   .connections = 8,
                   .seconds = seconds,
                   .method = "GET",
                   .target = "/health",
                   .write_body = [](int, int64_t, std::string&) {}});
}

struct Figures {
  LoadFigures load;
  double cpu_us = 0;  // of the server, for each request
};

struct Measured {
  double start_ms, idle_mib, loaded_mib;
  Figures metric, create, batch;
};

template <class Measure>
Result<Figures> measure_row(const ServerProcess& server, const char* what, int points, Measure run) {
  double cpu_before = server.cpu_seconds();
  Stopwatch watch;
  LoadFigures load = TRY(run());
  double requests = load.per_second * watch.seconds();
  Figures figures{load, (server.cpu_seconds() - cpu_before) * 1e6 / requests};
  std::printf("  %-34s %9.0f req/s %11.0f points/s   median %7.3f ms   p99 %7.2f ms   server %6.1f us CPU\n",
              what, load.per_second, load.per_second * points, load.median_ms, load.p99_ms, figures.cpu_us);
  std::fflush(stdout);
  return figures;
}

struct Settings {
  double seconds = 3;
  bool alone = false;
  std::string store = "{folder}/tidemill.db";
  std::string only;  // the name of a row's call; "" for all
};

Result<Measured> measure(ServerProcess server, const Settings& settings) {
  double seconds = settings.seconds;
  auto wanted = [&](std::string_view call) { return settings.only.empty() || settings.only == call; };
  uint16_t port = server.port();
  TRY(wait_for_calm(port));
  Measured all{};
  all.start_ms = server.start_ms();
  all.idle_mib = server.pss_mib();
  std::printf("%s\n  start to /health %.0f ms, memory idle %.1f MiB\n", server.name().c_str(), all.start_ms,
              all.idle_mib);
  if (wanted("health"))
    TRY(measure_row(server, "roof: /health, 8 connections", 0,
                    [&] { return measure_health(port, seconds); }));
  if (wanted("log-metric"))
    all.metric = TRY(measure_row(server, "log-metric, 8 connections", 1,
                                 [&] { return measure_log_metric(port, 8, seconds); }));
  if (wanted("runs/create"))
    all.create = TRY(measure_row(server, "runs/create, 8 connections", 0,
                                 [&] { return measure_create_run(port, 8, seconds); }));
  if (wanted("log-batch"))
    all.batch = TRY(measure_row(server, "log-batch of 500, 4 connections", kBatchPoints,
                                [&] { return measure_log_batch(port, 4, seconds); }));
  all.loaded_mib = server.pss_mib();
  std::printf("  memory after the load %.1f MiB\n", all.loaded_mib);
  server.stop();
  return all;
}

// What one durable write of 32 KiB costs here: no server that answers after it can have a shorter cycle.
Result<double> flush_ms(const fs::path& folder) {
  constexpr int kRounds = 200;
  std::string block(32 << 10, 'x');
  Fd file = TRY(open_file(folder / "flush", O_RDWR | O_CREAT));
  for (int i = 0; i < kRounds; ++i) TRY(write_all(file, block));
  ::fsync(file.get());
  ::lseek(file.get(), 0, SEEK_SET);
  Stopwatch watch;
  for (int i = 0; i < kRounds; ++i) {
    TRY(write_all(file, block));
    ::fdatasync(file.get());
  }
  return watch.seconds() * 1000 / kRounds;
}

fs::path venv_program(std::string_view name) {
  const char* home = std::getenv("HOME");
  return fs::path(home ? home : "/root") / ".cache/tidemill/venv/bin" / name;
}

void print_ratio(const char* rival, const Measured& ours, const Measured& theirs) {
  std::printf(
      "%s / tidemill: start %.0f x, idle memory %.0f x, log-metric %.1f x, runs/create %.1f x, log-batch "
      "%.1f x\n",
      rival, theirs.start_ms / ours.start_ms, theirs.idle_mib / ours.idle_mib,
      ours.metric.load.per_second / theirs.metric.load.per_second,
      ours.create.load.per_second / theirs.create.load.per_second,
      ours.batch.load.per_second / theirs.batch.load.per_second);
}

Result<ServerProcess> start_tidemill(const fs::path& folder, const std::string& store) {
  return ServerProcess::start("tidemill", {TIDEMILL, "server", "--port", "{port}", "--store", store},
                              folder / "tidemill");
}

// What a training job calls, the more often the more there is of it: of a hundred calls one creates a run,
// one searches, twenty log a batch, and the others a metric.
enum class Call { kCreateRun, kSearch, kLogBatch, kLogMetric };
Call call_of(int64_t number) {
  int64_t at = number % 100;
  return at == 0 ? Call::kCreateRun : at == 1 ? Call::kSearch : at < 22 ? Call::kLogBatch : Call::kLogMetric;
}

std::string_view target_of(int64_t number) {
  switch (call_of(number)) {
    case Call::kCreateRun:
      return "/api/2.0/mlflow/runs/create";
    case Call::kSearch:
      return "/api/2.0/mlflow/runs/search";
    case Call::kLogBatch:
      return "/api/2.0/mlflow/runs/log-batch";
    case Call::kLogMetric:
      return "/api/2.0/mlflow/runs/log-metric";
  }
  return "";
}

void write_call(const Ids& ids, size_t client, int64_t number, std::string& body) {
  constexpr int64_t kPoints = 50;
  const std::string& run = ids.runs[client];
  switch (call_of(number)) {
    case Call::kCreateRun:
      body += fmt::format(R"({{"experiment_id":"{}","start_time":1}})", ids.experiment);
      return;
    case Call::kSearch:
      body += fmt::format(
          R"({{"experiment_ids":["{}"],"max_results":20,"order_by":["metrics.loss ASC"],"filter":"metrics.loss < 0.5"}})",
          ids.experiment);
      return;
    case Call::kLogBatch:
      body += fmt::format(R"({{"run_id":"{}","metrics":[)", run);
      for (int64_t i = 0; i < kPoints; ++i) {
        append_point(body += i ? ",{" : "{", "accuracy", number * kPoints + i);
        body += '}';
      }
      body += "]}";
      return;
    case Call::kLogMetric:
      append_point(body += fmt::format(R"({{"run_id":"{}",)", run), "loss", number);
      body += '}';
  }
}

// 100 clients for long: rates and memory every ten seconds. Any answer but 200 ends it.
Result<> soak(double seconds, const std::string& store) {
  constexpr double kStep = 10;
  constexpr int kClients = 100;
  TempDir folder = TRY(TempDir::create(fs::current_path(), "tracking-bench-"));
  ServerProcess server = TRY(start_tidemill(folder.path(), store));
  Ids ids = TRY(make_runs(server.port(), kClients));
  std::printf("%d clients; memory at the start %.1f MiB\n", kClients, server.pss_mib());
  double requests = 0, worst_p99 = 0, longest = 0;
  for (double done = 0; done < seconds; done += kStep) {
    double length = std::min(kStep, seconds - done);
    auto first = static_cast<int64_t>(requests);  // more than any client has sent
    LoadFigures load = TRY(run_load({.port = server.port(),
                                     .connections = kClients,
                                     .seconds = length,
                                     .target = "",
                                     .target_of = [&](int64_t number) { return target_of(first + number); },
                                     .write_body =
                                         [&](int client, int64_t number, std::string& body) {
                                           write_call(ids, static_cast<size_t>(client), first + number, body);
                                         }}));
    requests += load.per_second * length;
    worst_p99 = std::max(worst_p99, load.p99_ms);
    longest = std::max(longest, load.longest_ms);
    std::printf("%6.0f s %9.0f req/s   median %7.3f ms   p99 %7.2f ms   longest %7.1f ms   memory %.1f MiB\n",
                done + length, load.per_second, load.median_ms, load.p99_ms, load.longest_ms,
                server.pss_mib());
    std::fflush(stdout);
  }
  std::printf("%.0f requests, no error; p99 of the worst ten seconds %.2f ms, longest %.1f ms\n", requests,
              worst_p99, longest);
  return {};
}

Result<> compare(const Settings& settings) {
  TempDir folder = TRY(TempDir::create(fs::current_path(), "tracking-bench-"));
  std::printf("roof: a durable write of 32 KiB takes %.3f ms\n", TRY(flush_ms(folder.path())));
  Measured tidemill = TRY(measure(TRY(start_tidemill(folder.path(), settings.store)), settings));
  struct Rival {
    const char* name;
    std::vector<std::string> argv;
  };
  const Rival rivals[] = {
      {"fasttrackml",
       {venv_program("fml"), "server", "--listen-address", "127.0.0.1:{port}", "--database-uri",
        "sqlite://{folder}/fasttrackml.db", "--default-artifact-root", "{folder}/artifacts"}},
      {"mlflow",
       {venv_program("mlflow"), "server", "--port", "{port}", "--backend-store-uri",
        "sqlite:///{folder}/mlflow.db", "--default-artifact-root", "{folder}/artifacts"}}};
  for (const Rival& rival : rivals) {
    if (settings.alone || !fs::exists(rival.argv[0])) continue;
    auto server = TRY(ServerProcess::start(rival.name, rival.argv, folder.path() / rival.name));
    print_ratio(rival.name, tidemill, TRY(measure(std::move(server), settings)));
  }
  return {};
}

}  // namespace
}  // namespace tidemill::bench

int main(int argc, char** argv) {
  using namespace tidemill::bench;
  Settings settings;
  bool soaks = false;
  const std::vector<std::string> calls = {"health", "log-metric", "runs/create", "log-batch"};
  read_arguments(
      argc, argv,
      {.measures =
           "What a tracking server costs: time to start, memory, requests and points a second. Tidemill,\n"
           "FastTrackML and MLflow's own server, one after another, each on SQLite in the current folder.",
       .arguments = {{"SECONDS", &settings.seconds, "Length of each measurement, or of --soak", 0.1},
                     {"--alone", &settings.alone, "Leave FastTrackML and MLflow out"},
                     {"--store URI", &settings.store,
                      "Tidemill's store; {folder} stands for a new folder, removed at the end"},
                     {"--only CALL", &settings.only, "Measure this call alone", 0, calls},
                     {"--soak", &soaks,
                      "Keep 100 clients of Tidemill at work instead: does its memory grow?"}},
       .examples = {"tracking_bench 3", "tracking_bench 3 --alone --store postgresql://user@host/database",
                    "tracking_bench 600 --soak"}});
  auto done = soaks ? soak(settings.seconds, settings.store) : compare(settings);
  if (!done) {
    std::fprintf(stderr, "%s\n", done.error().message.c_str());
    return 1;
  }
  return 0;
}
