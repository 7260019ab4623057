// One large artifact through the tracking server's proxy, up and down, beside MLflow's own server and beside
// what dd takes to copy the file and flush it, in turns: speed and the most memory that the server took. On
// the disk of the current folder, and in memory (/dev/shm), where the server's own limit shows. Client and
// server share this machine's processors.
#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <thread>

#include "arguments.h"
#include "base/id.h"
#include "base/time.h"
#include "measure.h"
#include "net/http_client.h"
#include "server_process.h"

namespace tidemill::bench {
namespace {

constexpr int kRounds = 3;
constexpr const char* kTarget = "/api/2.0/mlflow-artifacts/artifacts/0/large.bin";

struct Side {
  ServerProcess server;
  std::vector<double> up = {}, down = {};  // MB/s
  double idle_mib = 0, peak_mib = 0;
};

void write_random(const fs::path& path, uint64_t megabytes) {
  Fd file = must(open_file(path, O_WRONLY | O_CREAT | O_TRUNC));
  for (uint64_t i = 0; i < megabytes; ++i) must(write_all(file, random_bytes(1'000'000)));
}

// What was left unwritten before would take the disk's time from what is measured.
Stopwatch start_on_idle_disk() {
  ::sync();
  return {};
}

// Runs work, and notes the most memory that the server has meanwhile; returns MB/s.
template <class Work>
double watched(Side& side, uint64_t megabytes, Work work) {
  std::atomic<bool> done = false;
  std::thread watcher([&] {
    while (!done) {
      side.peak_mib = std::max(side.peak_mib, side.server.pss_mib());
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
  });
  Stopwatch watch = start_on_idle_disk();
  work();
  double seconds = watch.seconds();
  done = true;
  watcher.join();
  return static_cast<double>(megabytes) / seconds;
}

void expect(const Result<ClientResponse>& response) {
  if (!response) give_up(response.error().message);
  if (response->status != 200) give_up(fmt::format("status {}: {}", response->status, response->body));
}

void measure(Side& side, const fs::path& file, const fs::path& back, uint64_t megabytes) {
  HttpClient client = must(HttpClient::create(fmt::format("http://127.0.0.1:{}", side.server.port())));
  std::chrono::minutes patience(10);
  side.up.push_back(watched(side, megabytes, [&] {
    expect(client.send({.method = "PUT", .target = kTarget, .body_file = file, .timeout = patience}));
  }));
  side.down.push_back(watched(side, megabytes, [&] {
    expect(client.send({.target = kTarget, .save_to = back, .timeout = patience}));
  }));
  if (fs::file_size(back) != fs::file_size(file)) give_up("what came back is not what was sent");
}

double dd(const fs::path& from, const fs::path& to, uint64_t megabytes) {
  Stopwatch watch = start_on_idle_disk();
  Captured done =
      must(run_command({"dd", "if=" + from.string(), "of=" + to.string(), "bs=1M", "conv=fdatasync"},
                       std::chrono::minutes(10)));
  if (!done.exit.ok()) give_up("dd: " + done.errors);
  return static_cast<double>(megabytes) / watch.seconds();
}

void run(const fs::path& place, uint64_t megabytes, bool alone) {
  TempDir folder = must(TempDir::create(place));
  fs::path file = folder.path() / "large.bin", back = folder.path() / "back.bin";
  write_random(file, megabytes);
  std::vector<Side> sides;
  sides.push_back({must(ServerProcess::start("Tidemill", {TIDEMILL, "server", "--port", "{port}"},
                                             folder.path() / "tidemill"))});
  fs::path mlflow = fs::path(std::getenv("HOME")) / ".cache/tidemill/venv/bin/mlflow";
  if (!alone && fs::exists(mlflow))
    sides.push_back(
        {must(ServerProcess::start("MLflow",
                                   {mlflow.string(), "server", "--backend-store-uri", "sqlite:///m.db",
                                    "--artifacts-destination", "a", "--port", "{port}", "--workers", "1"},
                                   folder.path() / "mlflow"))});
  for (Side& side : sides) side.idle_mib = side.server.pss_mib();
  std::vector<double> copied;
  for (int round = 0; round < kRounds; ++round) {
    copied.push_back(dd(file, folder.path() / "copy.bin", megabytes));
    for (Side& side : sides) measure(side, file, back, megabytes);
  }
  double copy = median(copied);
  fmt::print("{} MB in {}, median of {}; dd conv=fdatasync: {:.0f} MB/s\n", megabytes, place.string(),
             kRounds, copy);
  fmt::print("{:10}{:>12}{:>12}{:>12}{:>12}{:>12}\n", "", "up MB/s", "up : dd", "down MB/s", "idle MiB",
             "peak MiB");
  for (Side& side : sides) {
    fmt::print("{:10}{:>12.0f}{:>12.2f}{:>12.0f}{:>12.1f}{:>12.1f}\n", side.server.name(), median(side.up),
               median(side.up) / copy, median(side.down), side.idle_mib, side.peak_mib);
    side.server.stop();
  }
}

}  // namespace
}  // namespace tidemill::bench

int main(int argc, char** argv) {
  using namespace tidemill;
  uint64_t megabytes = 1000;
  bool alone = false;
  bench::read_arguments(
      argc, argv,
      {.measures =
           "How fast one large artifact goes through the tracking server's proxy, up and down, and the most\n"
           "memory that the server takes meanwhile, beside MLflow's own server and dd. First on the disk of\n"
           "the current folder, then in memory (/dev/shm).",
       .arguments = {{"MEGABYTES", &megabytes, "Size of the artifact", 1},
                     {"--alone", &alone, "Leave MLflow out"}},
       .examples = {"artifact_bench 250", "artifact_bench 1000 --alone"}});
  for (const fs::path& place : {fs::current_path(), fs::path("/dev/shm")})
    bench::run(place, megabytes, alone);
  return 0;
}
