#include "engine/inputs.h"

#include <cstdlib>

#include "base/id.h"
#include "engine/fetcher.h"
#include "engine/probes.h"
#include "pipeline/resolve.h"

namespace tidemill::engine {
namespace {

using config::fail_at;
using config::Input;

fs::path fetch_folder(const Options& options) {
  return (options.state_dir.empty() ? fs::temp_directory_path() : options.state_dir) / "inputs";
}

Result<Query> query_of(const Input& input) {
  std::string database = input.database;
  if (database.empty()) {
    const char* value = std::getenv(input.database_variable.c_str());
    if (value == nullptr || *value == '\0')
      return fail(Code::kInvalid, "the variable {} is not set; it names the database",
                  input.database_variable);
    database = value;
  }
  Query query{.database = TRY(db::parse_location(database)), .sql = input.query};
  if (query.database.kind == db::Location::Kind::kSqlite)
    query.database.file = input.folder / query.database.file;
  return query;
}

Result<> fetch_input(Input& input, Fetcher& fetcher) {
  const std::string label = fmt::format("input '{}'", input.name);
  if (!input.url.empty()) {
    input.file = TRY(fetcher.fetch(label, input.url, input.sha256));
  } else if (!input.query.empty()) {
    const Query query = TRY_IN(label, query_of(input));
    input.file = TRY(fetcher.fetch(label, query, input.sha256));
  }
  return {};
}

// The URI that a parameter of type path gets, when that is known before anything has run; else "".
std::string uri_for(const pipeline::Plan& plan, const pipeline::PlannedStep& step,
                    const config::Parameter& parameter) {
  if (parameter.type != config::ParameterType::kPath) return "";
  std::string text = parameter.default_value.value_or("");
  for (const auto& argument : step.arguments) {
    if (argument.name != parameter.name) continue;
    for (const auto& reference : argument.value.references())
      if (reference[0] != "params") return "";
    text = pipeline::resolve(plan, argument.value, {}, {}).value_or("");
  }
  return config::is_remote(text) ? text : "";
}

class Parameters {
 public:
  Parameters(pipeline::Plan& plan, Fetcher& fetcher, fs::path storage)
      : plan_(plan), fetcher_(fetcher), storage_(std::move(storage)) {}

  Result<> fetch() {
    for (auto& step : plan_.steps)
      for (size_t i = 0; i < step.entry->parameters.size(); ++i) {
        const auto& parameter = step.entry->parameters[i];
        if (const std::string uri = uri_for(plan_, step, parameter); !uri.empty())
          put(step, parameter, uri,
              TRY_IN(parameter.place.to_string(),
                     fetched(fmt::format("parameter '{}'", parameter.name), uri, i)));
      }
    return {};
  }

 private:
  Result<fs::path> fetched(const std::string& label, const std::string& uri, size_t index) {
    if (storage_.empty()) return fetcher_.fetch(label, uri, "");
    TRY(make_dirs(storage_));
    const fs::path target = storage_ / fmt::format("param_{}", index) / fs::path(uri).filename();
    TRY(make_dirs(target.parent_path()));
    TRY_IN(label, fetcher_.fetch_to(label, uri, target));
    return target;
  }

  static void put(pipeline::PlannedStep& step, const config::Parameter& parameter, const std::string& uri,
                  const fs::path& file) {
    auto same = [&](const auto& argument) { return argument.name == parameter.name; };
    auto at = std::find_if(step.arguments.begin(), step.arguments.end(), same);
    if (at == step.arguments.end()) at = step.arguments.insert(at, {parameter.name, {}, parameter.place});
    at->value = config::Template{{file.string()}, at->place};
    at->fetched_from = shown_url(uri);
  }

  pipeline::Plan& plan_;
  Fetcher& fetcher_;
  fs::path storage_;
};

}  // namespace

Result<> check_input(const Input& input) {
  std::error_code ignored;
  if (input.is_fetched() || fs::exists(input.file, ignored)) return {};
  return fail_at(input.place, "input '{}': there is no {}", input.name, input.file.string());
}

Result<> fetch_inputs(pipeline::Plan& plan, const Options& options, const fs::path& storage_dir) {
  Fetcher fetcher(fetch_folder(options), options.hash_folder(), options.find_artifacts);
  for (const auto& input : plan.inputs) TRY(check_input(input));  // before anything is waited for
  for (auto& input : plan.inputs) TRY_IN(input.place.to_string(), fetch_input(input, fetcher));
  fs::path storage;
  if (!storage_dir.empty())
    storage = fs::absolute(storage_dir) / fmt::format("tidemill-{:016x}", random_u64());
  TRY(Parameters(plan, fetcher, storage).fetch());
  return run_probes(plan, options);
}

}  // namespace tidemill::engine
