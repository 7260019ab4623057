// What the server is told: the old ONNX Runtime Server's flags and a few more, with the environment behind
// them.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/files.h"
#include "base/log.h"
#include "base/result.h"

namespace tidemill::serving {

struct Options {
  LogLevel log_level = LogLevel::kInfo;
  fs::path model_path;
  std::string model_name = "default";
  std::string model_version = "1";
  std::string address = "0.0.0.0";  // HTTP and gRPC
  uint16_t http_port = 8001;        // 0: any free port; so for grpc_port
  uint16_t grpc_port = 50051;
  int num_http_threads = 0;  // 0: one for each core
  int num_workers = 0;       // 0: one for each core
  size_t max_queue_size = 256;
  int64_t max_batch_size = 8;
  uint64_t max_request_bytes = 25u << 20;
  std::chrono::microseconds busy_poll{200};
  std::chrono::seconds drain_timeout{30};
  std::chrono::seconds drain_delay{0};
  fs::path ort_library;  // empty: see load_onnxruntime
};

enum class Ask { kServe, kHelp, kVersion };
struct CommandLine {
  Ask ask = Ask::kServe;
  Options options;
};

// "--key value" and "--key=value"; a key may be cut short where that leaves one meaning. A flag wins over its
// environment variable. kInvalid with one line for a person.
Result<CommandLine> parse_command_line(
    std::span<const std::string> arguments,
    const std::function<std::optional<std::string>(const char*)>& environment);
std::string usage();

}  // namespace tidemill::serving
