// tidemill-serve: the model server as a program. `tidemill serve` executes it, and it is what a container
// image runs.
#include <poll.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "base/log.h"
#include "serving/options.h"
#include "serving/server.h"
#include "serving/session.h"
#include "sys/signals.h"

using namespace tidemill;
using namespace tidemill::serving;

namespace {

// The old server exits with 1 for whatever goes wrong before it serves.
constexpr int kFailure = 1;

void print(std::FILE* stream, const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stream);
  std::fflush(stream);
}

void wait_for_signal(std::chrono::milliseconds timeout) {
  pollfd signal{interrupt_fd(), POLLIN, 0};
  while (!interrupted() && poll(&signal, 1, static_cast<int>(timeout.count())) < 0 && errno == EINTR) {
  }
}

int serve(const Options& options) {
  log_info("Model path: {}", options.model_path.string());
  log_info("Model name: {}", options.model_name);
  log_info("Model version: {}", options.model_version);
  auto server = Server::start(options);
  if (!server) {
    print(stderr, fmt::format("tidemill-serve: {}\n", server.error().message));
    return kFailure;
  }
  log_info("ONNX Runtime {}", onnxruntime_version());
  log_info("GRPC Listening at: {}:{}", options.address, (*server)->grpc_port());
  log_info("Listening at: http://{}:{}", options.address, (*server)->http_port());
  while (!interrupted()) wait_for_signal(std::chrono::milliseconds(-1));
  log_info("stopping: finishing requests for at most {} s", options.drain_timeout.count());
  (*server)->set_not_ready();
  if (options.drain_delay.count() > 0) {
    pollfd none{-1, 0, 0};
    poll(&none, 1, static_cast<int>(std::chrono::milliseconds(options.drain_delay).count()));
  }
  const bool clean = (*server)->drain(options.drain_timeout);
  if (clean)
    log_info("stopped; every request was answered");
  else
    log_warning("stopped; requests were cut off after {} s", options.drain_timeout.count());
  return clean ? 0 : kFailure;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  auto line = parse_command_line(arguments, [](const char* name) -> std::optional<std::string> {
    if (const char* value = std::getenv(name)) return value;
    return std::nullopt;
  });
  if (!line) {
    print(stderr, fmt::format("tidemill-serve: {}\n\n{}", line.error().message, usage()));
    return kFailure;
  }
  if (line->ask == Ask::kHelp) {
    print(stdout, usage());
    return 0;
  }
  if (line->ask == Ask::kVersion) {
    print(stdout, "tidemill-serve " TIDEMILL_VERSION "\n");
    return 0;
  }
  print(stdout, "Version: " TIDEMILL_VERSION "\n\n");
  catch_interrupts();
  set_log_level(line->options.log_level);
  return serve(line->options);
}
