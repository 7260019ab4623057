#include "cli/run_options.h"

#include <cstdlib>

#include "base/json.h"
#include "db/location.h"

#include <CLI/CLI.hpp>

namespace tidemill::cli {

std::string tracking_uri_of_environment() {
  const char* uri = std::getenv("MLFLOW_TRACKING_URI");
  return uri != nullptr ? uri : "";
}

std::optional<config::AfterFailure> AfterFailureFlags::policy() const {
  if (keep_going) return config::AfterFailure::kKeepGoing;
  return fail_fast ? std::optional(config::AfterFailure::kStop) : std::nullopt;
}

void add_after_failure(CLI::App& command, AfterFailureFlags& flags) {
  auto* keep_going = command.add_flag(
      "-k,--keep-going", flags.keep_going,
      "After a failure, go on with the steps that do not need the one that failed (default: the pipeline's "
      "after_failure, or those that run end and no other starts)");
  command.add_flag("--fail-fast", flags.fail_fast, "After a failure, stop the steps that run")
      ->excludes(keep_going);
}

std::string to_request(const RunOptions& options, uint16_t port) {
  const projects::Source& source = options.source;
  std::string uri = source.uri.empty() ? fs::absolute(source.folder).lexically_normal().string() : source.uri;
  return dump_json({{"uri", uri},
                    {"version", source.commit.empty() ? options.version : source.commit},
                    {"params", options.params},
                    {"experiment", options.experiment},
                    {"env_manager", options.environments.manager},
                    {"docker_args", options.environments.docker_args},
                    {"build_image", options.environments.build_image},
                    {"storage_dir", options.storage_dir.string()},
                    {"max_parallel", options.max_parallel},
                    {"force", options.force},
                    {"no_cache", options.no_cache},
                    {"keep_going", options.after_failure.keep_going},
                    {"fail_fast", options.after_failure.fail_fast},
                    {"forced_steps", options.forced_steps},
                    {"steps", options.selection.steps},
                    {"from", options.selection.from},
                    {"tracking_uri", db::without_secrets(options.tracking_uri)},
                    {"cache_from", options.cache_from},
                    {"pipeline_name", options.pipeline_name},
                    {"registers", options.registers},
                    {"port", port}});
}

Result<Request> parse_request(std::string_view text) {
  auto json = TRY(parse_json(text));
  try {
    Request request;
    RunOptions& options = request.options;
    options.uri = json.at("uri").get<std::string>();
    options.version = json.at("version").get<std::string>();
    options.params = json.at("params").get<std::vector<std::string>>();
    options.experiment = json.at("experiment").get<std::string>();
    options.environments.manager = json.at("env_manager").get<std::string>();
    options.environments.docker_args = json.value("docker_args", options.environments.docker_args);
    options.environments.build_image = json.value("build_image", false);
    options.storage_dir = json.value("storage_dir", "");
    options.max_parallel = json.at("max_parallel").get<int>();
    options.force = json.at("force").get<bool>();
    const Json& no_cache = json.at("no_cache");
    if (no_cache.is_string()) options.no_cache = no_cache.get<std::string>();
    if (no_cache == true) options.no_cache = "both";  // of earlier versions
    options.after_failure.keep_going = json.at("keep_going").get<bool>();
    options.after_failure.fail_fast = json.value("fail_fast", false);
    options.pipeline_name = json.value("pipeline_name", "");
    options.registers = json.value("registers", true);
    options.forced_steps = json.at("forced_steps").get<std::vector<std::string>>();
    options.selection.steps = json.at("steps").get<std::vector<std::string>>();
    options.selection.from = json.at("from").get<std::string>();
    options.cache_from = json_string(json, "cache_from");
    request.port = json.at("port").get<uint16_t>();
    // With the password that the environment has, if it names the same server.
    options.tracking_uri = json.value("tracking_uri", "");
    if (std::string now = tracking_uri_of_environment(); db::without_secrets(now) == options.tracking_uri)
      options.tracking_uri = std::move(now);
    return request;
  } catch (const Json::exception& error) {
    return fail(Code::kInternal, "what the run was started with cannot be read: {}", error.what());
  }
}

}  // namespace tidemill::cli
