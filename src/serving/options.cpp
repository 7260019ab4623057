#include "serving/options.h"

#include <charconv>
#include <vector>

#include "base/text.h"

namespace tidemill::serving {

namespace {

struct Flag {
  std::string_view name, value, help;
  std::vector<const char*> environment;
  Result<> (*set)(Options&, std::string_view text);
};

Result<uint64_t> number(std::string_view flag, std::string_view text, uint64_t least, uint64_t most) {
  uint64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc() && end == text.data() + text.size() && value >= least && value <= most)
    return value;
  if (flag == "num_http_threads" && value == 0)
    return fail(Code::kInvalid, "num_http_threads must be greater than 0");
  return fail(Code::kInvalid, "{} must be a number from {} to {}, not '{}'", flag, least, most, text);
}

Result<> set_log_level_option(Options& options, std::string_view text) {
  constexpr std::pair<std::string_view, LogLevel> kLevels[] = {
      {"verbose", LogLevel::kDebug},   {"debug", LogLevel::kDebug}, {"info", LogLevel::kInfo},
      {"warning", LogLevel::kWarning}, {"error", LogLevel::kError}, {"fatal", LogLevel::kOff}};
  for (const auto& [name, level] : kLevels)
    if (name == text) {
      options.log_level = level;
      return {};
    }
  return fail(Code::kInvalid, "log_level must be one of verbose, info, warning, error, or fatal");
}

template <auto Options::* member>
Result<> set_text(Options& options, std::string_view text) {
  options.*member = std::string(text);
  return {};
}

template <auto Options::* member>
Result<> set_port(Options& options, std::string_view text) {
  options.*member = static_cast<uint16_t>(TRY(number("a port", text, 0, 65535)));
  return {};
}

const std::vector<Flag>& flags() {
  static const std::vector<Flag> all = {
      {"model_path",
       "FILE",
       "the ONNX model (required)",
       {"MODEL_PATH", "MODEL_ABSOLUTE_PATH"},
       set_text<&Options::model_path>},
      {"model_name", "NAME", "the name clients ask for [default]", {}, set_text<&Options::model_name>},
      {"model_version", "VERSION", "the version clients ask for [1]", {}, set_text<&Options::model_version>},
      {"address", "ADDRESS", "where to listen, for HTTP and gRPC [0.0.0.0]", {}, set_text<&Options::address>},
      {"http_port", "PORT", "port for HTTP, 0 for any [8001]", {"HTTP_PORT"}, set_port<&Options::http_port>},
      {"grpc_port", "PORT", "port for gRPC, 0 for any [50051]", {"GRPC_PORT"}, set_port<&Options::grpc_port>},
      {"num_http_threads",
       "N",
       "threads that read and write HTTP [one for each core]",
       {"NUM_HTTP_THREADS"},
       [](Options& o, std::string_view text) -> Result<> {
         o.num_http_threads = static_cast<int>(TRY(number("num_http_threads", text, 1, 1024)));
         return {};
       }},
      {"log_level",
       "LEVEL",
       "verbose, info, warning, error or fatal [info]",
       {"LOGLEVEL"},
       set_log_level_option},
      {"num_workers",
       "N",
       "threads that run the model [one for each core]",
       {},
       [](Options& o, std::string_view text) -> Result<> {
         o.num_workers = static_cast<int>(TRY(number("num_workers", text, 1, 1024)));
         return {};
       }},
      {"max_queue_size",
       "N",
       "requests that may wait; more get 503 or RESOURCE_EXHAUSTED [256]",
       {},
       [](Options& o, std::string_view text) -> Result<> {
         o.max_queue_size = TRY(number("max_queue_size", text, 1, 1'000'000));
         return {};
       }},
      {"max_batch_size",
       "N",
       "rows of waiting requests that run as one, where the model's first dimension is a batch; 1: never [8]",
       {},
       [](Options& o, std::string_view text) -> Result<> {
         o.max_batch_size = static_cast<int64_t>(TRY(number("max_batch_size", text, 1, 4096)));
         return {};
       }},
      {"max_request_bytes",
       "N",
       "largest request; more get 413 or RESOURCE_EXHAUSTED [26214400]",
       {},
       [](Options& o, std::string_view text) -> Result<> {
         o.max_request_bytes = TRY(number("max_request_bytes", text, 1, INT32_MAX));
         return {};
       }},
      {"busy_poll",
       "MICROSECONDS",
       "after a gRPC request, go on watching the network for so long before sleeping; 0: never [200]",
       {},
       [](Options& o, std::string_view text) -> Result<> {
         o.busy_poll = std::chrono::microseconds(TRY(number("busy_poll", text, 0, 1'000'000)));
         return {};
       }},
      {"drain_timeout",
       "SECONDS",
       "time to finish requests after SIGTERM [30]",
       {},
       [](Options& o, std::string_view text) -> Result<> {
         o.drain_timeout = std::chrono::seconds(TRY(number("drain_timeout", text, 0, 86400)));
         return {};
       }},
      {"drain_delay",
       "SECONDS",
       "after SIGTERM, go on accepting for so long while not ready [0]",
       {},
       [](Options& o, std::string_view text) -> Result<> {
         o.drain_delay = std::chrono::seconds(TRY(number("drain_delay", text, 0, 86400)));
         return {};
       }},
      {"ort_library",
       "FILE",
       "libonnxruntime.so [beside this program, or in ../lib]",
       {"TIDEMILL_ORT_LIBRARY"},
       set_text<&Options::ort_library>},
  };
  return all;
}

// The flag of that name, or the only one that begins so.
Result<const Flag*> find_flag(std::string_view name) {
  const Flag* found = nullptr;
  std::vector<std::string> names;
  for (const Flag& flag : flags()) {
    names.emplace_back(flag.name);
    if (flag.name == name) return &flag;
    if (!name.empty() && flag.name.starts_with(name)) {
      if (found)
        return fail(Code::kInvalid, "option '--{}' is ambiguous: --{} or --{}", name, found->name, flag.name);
      found = &flag;
    }
  }
  if (!found) return fail(Code::kInvalid, "unrecognised option '--{}'{}", name, did_you_mean(name, names));
  return found;
}

using Environment = std::function<std::optional<std::string>(const char*)>;

Result<> apply_environment(Options& options, const Environment& environment) {
  for (const Flag& flag : flags())
    for (const char* name : flag.environment)
      if (auto value = environment(name); value && !value->empty()) {
        const std::string text = flag.name == "log_level" ? to_lower(*value) : *value;
        TRY_IN(fmt::format("environment variable {}", name), flag.set(options, text));
        break;
      }
  return {};
}

Result<> check_model_path(const fs::path& path) {
  if (path.empty()) return fail(Code::kInvalid, "the option '--model_path' is required but missing");
  std::error_code ignored;
  if (!fs::is_regular_file(path, ignored))
    return fail(Code::kInvalid, "model_path must be the location of a valid file; '{}' is none",
                path.string());
  return {};
}

}  // namespace

Result<CommandLine> parse_command_line(std::span<const std::string> arguments,
                                       const Environment& environment) {
  CommandLine line;
  for (const std::string& argument : arguments) {
    if (argument == "--help" || argument == "-h") line.ask = Ask::kHelp;
    if (argument == "--version") line.ask = Ask::kVersion;
    if (line.ask != Ask::kServe) return line;
  }
  TRY(apply_environment(line.options, environment));
  for (size_t i = 0; i < arguments.size(); ++i) {
    std::string_view argument = arguments[i];
    if (!argument.starts_with("--"))
      return fail(Code::kInvalid, "unexpected argument '{}'; options begin with --", argument);
    argument.remove_prefix(2);
    const size_t equals = argument.find('=');
    const Flag* flag = TRY(find_flag(argument.substr(0, equals)));
    std::string_view value;
    if (equals != std::string_view::npos)
      value = argument.substr(equals + 1);
    else if (++i < arguments.size())
      value = arguments[i];
    else
      return fail(Code::kInvalid, "the option '--{}' needs a value", flag->name);
    TRY_IN(fmt::format("--{}", flag->name), flag->set(line.options, value));
  }
  TRY(check_model_path(line.options.model_path));
  return line;
}

std::string usage() {
  std::string out =
      "Serves an ONNX model over HTTP and gRPC: ONNX Runtime Server's contract and Open Inference Protocol "
      "v2.\n\n"
      "usage: tidemill-serve --model_path FILE [options]\n\noptions:\n";
  for (const Flag& flag : flags()) {
    out += fmt::format("  {:<28} {}", fmt::format("--{} {}", flag.name, flag.value), flag.help);
    if (!flag.environment.empty()) out += fmt::format("  (${})", fmt::join(flag.environment, ", $"));
    out += '\n';
  }
  out +=
      fmt::format("  {:<28} {}\n  {:<28} {}\n", "-h, --help", "print this", "--version", "print the version");
  out +=
      "\nexamples:\n"
      "  tidemill-serve --model_path model.onnx\n"
      "  tidemill-serve --model_path model.onnx --address 127.0.0.1 --http_port 0 --grpc_port 0\n"
      "  curl localhost:8001/v2/models/default\n"
      "  curl localhost:8001/v2/models/default/infer -d "
      "'{\"inputs\":[{\"name\":\"x\",\"shape\":[1,2],\"datatype\":\"FP32\",\"data\":[1,2]}]}'\n"
      "  curl localhost:8001/metrics\n";
  return out;
}

}  // namespace tidemill::serving
