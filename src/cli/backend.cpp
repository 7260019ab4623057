#include "cli/backend.h"

#include <set>

#include "base/json.h"
#include "base/log.h"
#include "base/text.h"

namespace tidemill::cli {
namespace {

constexpr uint64_t kMostConfigBytes = 1 << 20;

Result<> check_backend(const std::string& backend) {
  if (backend == "local") return {};
  if (backend == "kubernetes" || backend == "slurm" || backend == "databricks")
    return fail(Code::kInvalid,
                "--backend {}: steps run on this machine only (--backend local, the default); a step's "
                "command may hand its work on itself, with {}",
                backend,
                backend == "slurm"        ? "srun"
                : backend == "kubernetes" ? "kubectl, or call `mlflow run` for that project"
                                          : "`mlflow run --backend databricks` for that project");
  return fail(Code::kInvalid, "unknown backend '{}'{}: there is local", backend,
              did_you_mean(backend, {"local"}));
}

Result<Json> read_config(const std::string& given) {
  auto text = fs::path(given).extension() == ".json" ? read_file(given, kMostConfigBytes) : given;
  if (!text) return fail(Code::kInvalid, "--backend-config: {}", text.error().message);
  auto json = parse_json(*text);
  if (!json)
    return fail(Code::kInvalid, "--backend-config: Invalid backend config JSON. Parse error: {}",
                json.error().message);
  if (!json->is_object())
    return fail(Code::kInvalid, "--backend-config must be a map of names: '{{\"STORAGE_DIR\": \"/tmp\"}}'");
  return *json;
}

Result<std::vector<std::string>> docker_args_of(const Json& value) {
  std::vector<std::string> words;
  if (value.is_null()) return words;
  if (!value.is_object())
    return fail(Code::kInvalid, "--backend-config: DOCKER_ARGS must be a map: {{\"gpus\": \"all\"}}");
  for (const auto& [name, argument] : value.items()) {
    if (argument.is_string())
      words.push_back(name + "=" + argument.get<std::string>());
    else if (argument == true)
      words.push_back(name);
    else
      return fail(Code::kInvalid, "--backend-config: DOCKER_ARGS: the value of '{}' must be a text or true",
                  name);
  }
  return words;
}

Result<> take_text(const Json& value, const std::string& name, std::string& option) {
  if (value.is_null()) return {};
  if (!value.is_string()) return fail(Code::kInvalid, "--backend-config: {} must be a text", name);
  if (option.empty()) option = value.get<std::string>();
  return {};
}

}  // namespace

Result<> apply_backend(RunOptions& options) {
  TRY(check_backend(options.backend));
  if (options.backend_config.empty()) return {};
  const Json config = TRY(read_config(options.backend_config));
  for (const auto& [name, value] : config.items()) {
    if (name == "ENV_MANAGER") {
      TRY(take_text(value, name, options.environments.manager));
    } else if (name == "STORAGE_DIR") {
      std::string folder = options.storage_dir.string();
      TRY(take_text(value, name, folder));
      options.storage_dir = folder;
    } else if (name == "BUILD_IMAGE") {
      options.environments.build_image = options.environments.build_image || value == true;
    } else if (name == "DOCKER_ARGS") {
      auto words = TRY(docker_args_of(value));
      if (options.environments.docker_args.empty()) options.environments.docker_args = std::move(words);
    } else if (name != "SYNCHRONOUS") {
      log_warning("--backend-config: '{}' means nothing to the backend local{}", name,
                  did_you_mean(name, {"ENV_MANAGER", "STORAGE_DIR", "BUILD_IMAGE", "DOCKER_ARGS"}));
    }
  }
  return {};
}

Result<std::vector<std::string>> container_arguments(const std::vector<std::string>& given) {
  std::vector<std::string> words;
  std::set<std::string> names;
  for (const auto& text : given) {
    const size_t equals = text.find('=');
    const std::string name = text.substr(0, equals);
    if (name.empty() || name[0] == '-')
      return fail(Code::kInvalid,
                  "Invalid format for -A parameter: '{}'. Use -A name=value, or -A name, without dashes.",
                  text);
    if (!names.insert(name).second) return fail(Code::kInvalid, "Repeated parameter: '{}'", name);
    words.push_back((name.size() == 1 ? "-" : "--") + name);
    if (equals != std::string::npos) words.push_back(text.substr(equals + 1));
  }
  return words;
}

}  // namespace tidemill::cli
