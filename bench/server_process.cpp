#include "server_process.h"

#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <thread>

#include "base/text.h"
#include "base/time.h"
#include "net/http_client.h"
#include "net/http_server.h"

namespace tidemill::bench {
namespace {

constexpr double kPatienceSeconds = 120;

// A port that was free a moment ago.
Result<uint16_t> free_port() {
  auto server = TRY(HttpServer::start({}, [](HttpRequest, const Respond&) {}));
  return server.port();
}

std::string filled_in(std::string text, std::string_view name, const std::string& value) {
  for (size_t at; (at = text.find(name)) != std::string::npos;) text.replace(at, name.size(), value);
  return text;
}

std::string last_lines(const fs::path& file) {
  std::string text = read_file(file).value_or("");
  return text.substr(text.size() - std::min<size_t>(text.size(), 500));
}

bool is_healthy(uint16_t port) {
  auto client = HttpClient::create(fmt::format("http://127.0.0.1:{}", port));
  auto response = client ? client->send({.target = "/health"}) : fail(Code::kInternal, "");
  return response && response->status == 200;
}

std::vector<pid_t> with_descendants(pid_t root) {
  std::vector<std::pair<pid_t, pid_t>> parents;  // of each process: itself, its parent
  for (const auto& entry : fs::directory_iterator("/proc")) {
    std::string stat = read_file(entry.path() / "stat").value_or("");
    size_t name_end = stat.rfind(')');
    if (name_end == std::string::npos || name_end + 4 > stat.size()) continue;
    parents.emplace_back(std::atoi(stat.c_str()), std::atoi(stat.c_str() + name_end + 4));
  }
  std::vector<pid_t> family = {root};
  for (size_t i = 0; i < family.size(); ++i)
    for (auto [child, parent] : parents)
      if (parent == family[i]) family.push_back(child);
  return family;
}

}  // namespace

Result<ServerProcess> ServerProcess::start(std::string name, std::vector<std::string> argv,
                                           const fs::path& folder) {
  ::signal(SIGPIPE, SIG_IGN);  // "| head" must not leave servers behind
  fs::create_directories(folder);
  uint16_t port = TRY(free_port());
  ProcessOptions options;
  for (std::string& argument : argv)
    options.argv.push_back(filled_in(filled_in(std::move(argument), "{port}", std::to_string(port)),
                                     "{folder}", folder.string()));
  options.working_dir = folder;
  options.extra_env = {{"MLFLOW_DISABLE_TELEMETRY", "true"}};
  options.output_file = folder / "server.log";
  Stopwatch watch;
  ServerProcess server(std::move(name), port, TRY(Process::start(options)));
  while (!is_healthy(port)) {
    if (watch.seconds() > kPatienceSeconds || server.process_.wait_for(std::chrono::milliseconds(1)))
      return fail(Code::kUnavailable, "{} did not start within {:.0f} s: {}", server.name_, watch.seconds(),
                  last_lines(options.output_file));
  }
  server.start_ms_ = watch.seconds() * 1000;
  return server;
}

double ServerProcess::pss_mib() const {
  double kib = 0;
  for (pid_t pid : with_descendants(process_.pid())) {
    std::string rollup = read_file(fmt::format("/proc/{}/smaps_rollup", pid)).value_or("");
    if (size_t at = rollup.find("\nPss:"); at != std::string::npos) kib += std::atof(rollup.c_str() + at + 5);
  }
  return kib / 1024;
}

double ServerProcess::cpu_seconds() const {
  int64_t ticks = 0;
  for (pid_t pid : with_descendants(process_.pid())) {
    std::string stat = read_file(fmt::format("/proc/{}/stat", pid)).value_or("");
    size_t name_end = stat.rfind(')');
    if (name_end == std::string::npos) continue;
    // proc(5): after the name come state and 10 numbers, then utime and stime.
    std::vector<std::string> fields = split(stat.substr(name_end + 2), ' ');
    if (fields.size() > 12) ticks += std::atoll(fields[11].c_str()) + std::atoll(fields[12].c_str());
  }
  return static_cast<double>(ticks) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

}  // namespace tidemill::bench
