#include "api/model_source.h"

#include <algorithm>

#include "artifacts/folder_repository.h"
#include "base/text.h"
#include "tracking/logged_models.h"
#include "tracking/registry.h"
#include "tracking/validate.h"

namespace tidemill::api {
namespace {

// The parts of a URI that matter here; query and fragment are cut off.
struct Uri {
  std::string scheme;     // lower case, "" for a path
  std::string authority;  // lower case
  std::string path;
};

bool is_scheme(std::string_view text) {
  auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  return !text.empty() && is_letter(text[0]) && std::all_of(text.begin(), text.end(), [&](char c) {
    return is_letter(c) || (c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.';
  });
}

Uri parse_uri(std::string_view text) {
  Uri uri;
  size_t colon = std::min(text.find(':'), text.size());
  if (colon < text.size() && is_scheme(text.substr(0, colon))) {
    uri.scheme = to_lower(text.substr(0, colon));
    text.remove_prefix(colon + 1);
  }
  text = text.substr(0, text.find_first_of("?#"));
  if (text.starts_with("//")) {
    size_t slash = std::min(text.find('/', 2), text.size());
    uri.authority = to_lower(text.substr(2, slash - 2));
    text.remove_prefix(slash);
  }
  uri.path = text;
  return uri;
}

// Decoded until nothing is left to decode: "%252e" hides a dot from whoever looks once.
std::string fully_decoded(std::string text) {
  for (std::string once = url_decode(text); once != text; once = url_decode(text)) text = std::move(once);
  return text;
}

std::vector<std::string> parts_of(std::string_view path) {
  std::vector<std::string> parts;
  for (const std::string& part : split(path, '/'))
    if (!part.empty()) parts.push_back(fully_decoded(part));
  return parts;
}

bool is_within(const Uri& uri, std::string_view root_text) {
  Uri root = parse_uri(root_text);
  auto parts = parts_of(uri.path), root_parts = parts_of(root.path);
  return uri.scheme == root.scheme && uri.authority == root.authority && !root_parts.empty() &&
         parts.size() >= root_parts.size() && std::equal(root_parts.begin(), root_parts.end(), parts.begin());
}

bool is_local(const Uri& uri) { return uri.scheme.empty() || uri.scheme == "file"; }

// Also as a URL of this or another server's proxy.
bool is_proxied(const Uri& uri) {
  if (uri.scheme == "mlflow-artifacts") return true;
  const std::vector<std::string> route = {"api", "2.0", "mlflow-artifacts", "artifacts"};
  auto parts = parts_of(uri.path);
  return (uri.scheme == "http" || uri.scheme == "https") &&
         std::search(parts.begin(), parts.end(), route.begin(), route.end()) != parts.end();
}

Result<> check_absolute(const std::string& source) {
  std::string decoded = fully_decoded(source);
  Uri uri = parse_uri(decoded);
  auto steps_aside = [](const std::string& part) { return part == "." || part == ".."; };
  auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; };
  auto parts = split(decoded, '/');
  bool good = std::none_of(parts.begin(), parts.end(), steps_aside) &&
              std::none_of(decoded.begin(), decoded.end(), is_control) &&
              (is_local(uri) || uri.path.starts_with('/'));
  if (good) return {};
  return fail(
      Code::kInvalid,
      "Invalid model version source: '{}'. If supplying a source as an http, https, local file path, ftp, "
      "objectstore, or mlflow-artifacts uri, an absolute path must be provided without relative path "
      "references present. Please provide an absolute path.",
      source);
}

Error foreign(std::string_view source, std::string_view id) {
  return {Code::kInvalid, fmt::format("Invalid model version source: '{}'. The {} request parameter must "
                                      "identify the resource that contains the source.",
                                      source, id)};
}

// What a models:/ URI names: a logged model, or a version of a registered one.
struct ModelUri {
  std::string model_id;
  std::string name;
  std::string suffix;  // a version, a stage or "latest"
  std::string alias;
};

std::optional<ModelUri> parse_model_uri(const Uri& uri) {
  std::string_view path = uri.path;
  if (!path.starts_with('/')) return std::nullopt;
  while (path.starts_with('/')) path.remove_prefix(1);
  std::vector<std::string> parts = split(path, '/');
  if (parts.size() > 2 || trim(parts[0]).empty()) return std::nullopt;
  if (parts.size() == 2) {
    if (trim(parts[1]).empty()) return std::nullopt;
    return ModelUri{.model_id = "", .name = parts[0], .suffix = parts[1], .alias = ""};
  }
  size_t at = parts[0].rfind('@');
  if (at == std::string::npos) return ModelUri{.model_id = parts[0], .name = "", .suffix = "", .alias = ""};
  ModelUri model{
      .model_id = "", .name = parts[0].substr(0, at), .suffix = "", .alias = parts[0].substr(at + 1)};
  return trim(model.alias).empty() ? std::nullopt : std::optional(model);
}

Result<tracking::ModelVersion> named_version(tracking::Registry& registry, const ModelUri& uri) {
  if (!uri.alias.empty()) return registry.version_by_alias(uri.name, uri.alias);
  if (auto number = tracking::parse_version(uri.suffix)) return registry.version(uri.name, *number);
  if (to_lower(uri.suffix) == "latest") return registry.version_by_alias(uri.name, "latest");
  auto newest = TRY(registry.latest_versions(uri.name, {TRY(tracking::parse_stage(uri.suffix))}));
  if (!newest.empty()) return newest.front();
  return fail(Code::kInvalid, "No versions of model with name '{}' and stage '{}' found", uri.name,
              uri.suffix);
}

// A version of a version: what the request leaves open comes from the one it names.
Result<ModelSource> inherit(tracking::Store& store, const SourceRequest& request, const ModelUri& uri) {
  tracking::Registry registry(store);
  tracking::ModelVersion from = TRY(named_version(registry, uri));
  if (tracking::is_prompt(TRY(registry.model(from.name)).tags))
    return fail(
        Code::kInvalid,
        "Invalid model version source: '{}'. Prompt versions cannot be used as model version sources.",
        request.source);
  if (request.run_id.value_or(from.run_id) != from.run_id ||
      request.model_id.value_or(from.model_id) != from.model_id)
    return fail(
        Code::kInvalid,
        "Invalid model version source: '{}'. The run_id and model_id request parameters must match the "
        "referenced model version.",
        request.source);
  return ModelSource{.source = fmt::format("models:/{}/{}", from.name, from.version),
                     .storage_location = from.storage_location,
                     .run_id = from.run_id,
                     .model_id = from.model_id};
}

// The run or the logged model that a request names as the owner of its source.
struct Owner {
  std::string_view parameter;  // "run_id" or "model_id"
  std::string id;
  std::string artifact_uri;  // "" when no owner is named
  std::string run_id;        // of the owner, or that made it
};

Result<Owner> owner_of(tracking::Store& store, const SourceRequest& request) {
  Result<Owner> owner = Owner{"run_id", "", "", ""};
  if (request.model_id && !request.model_id->empty()) {
    owner = tracking::LoggedModels(store).get(*request.model_id).map([](tracking::LoggedModel model) {
      return Owner{"model_id", model.id, model.artifact_uri, model.source_run_id};
    });
    if (!owner && owner.error().code == Code::kNotFound)
      return tl::unexpected<Error>(foreign(request.source, "model_id"));
  } else if (request.run_id && !request.run_id->empty()) {
    owner = store.run(*request.run_id).map([](tracking::Run run) {
      return Owner{"run_id", run.info.id, run.info.artifact_uri, run.info.id};
    });
    // Runs may be kept elsewhere: only sources that lie in a run need it here.
    if (!owner && owner.error().code == Code::kNotFound)
      owner = Owner{"run_id", *request.run_id, "", *request.run_id};
  }
  return owner;
}

Result<> check_local(const std::string& source, const Owner& owner) {
  auto folder = artifacts::local_folder(source), root = artifacts::local_folder(owner.artifact_uri);
  if (folder && folder->is_absolute() && root && artifacts::lies_in(*folder, *root)) return {};
  return fail(
      Code::kInvalid,
      "Invalid model version source: '{0}'. To use a local path as a model version source, the {1} request "
      "parameter has to be specified and the local path has to be contained within the artifact directory "
      "of the run specified by the {1}.",
      source, owner.parameter);
}

// Whether the source belongs to its owner, where it says to whom it belongs.
bool belongs_to(const Uri& uri, const Owner& owner) {
  if (uri.scheme == "runs") {
    auto parts = parts_of(uri.path);
    return owner.parameter == "run_id" && uri.authority.empty() && !parts.empty() && parts[0] == owner.id;
  }
  if (uri.scheme == "models") {
    auto model = parse_model_uri(uri);
    return owner.parameter == "model_id" && uri.authority.empty() && model && model->model_id == owner.id;
  }
  return !is_proxied(uri) || (!owner.artifact_uri.empty() && is_within(uri, owner.artifact_uri));
}

}  // namespace

NamedModel model_in(std::string_view source) {
  Uri uri = parse_uri(source);
  auto model = uri.scheme == "models" && uri.authority.empty() ? parse_model_uri(uri) : std::nullopt;
  return model ? NamedModel{model->model_id, model->name} : NamedModel{};
}

Result<ModelSource> check_model_source(tracking::Store& store, const SourceRequest& request,
                                       const ToldUri& told) {
  TRY(tracking::check_length("source", request.source, tracking::kMaxSourceChars));
  TRY(check_absolute(request.source));
  Uri uri = parse_uri(request.source);
  if (uri.scheme == "models" && uri.authority.empty()) {
    auto model = parse_model_uri(uri);
    if (!model) return tl::unexpected<Error>(foreign(request.source, "model_id"));
    if (model->model_id.empty()) return inherit(store, request, *model);
  }
  Owner owner = TRY(owner_of(store, request));
  if (told && is_proxied(uri)) owner.artifact_uri = told(std::move(owner.artifact_uri));
  if (is_local(uri)) {
    TRY(check_local(request.source, owner));
  } else if (!belongs_to(uri, owner)) {
    return tl::unexpected<Error>(
        foreign(request.source, uri.scheme == "models" ? "model_id" : owner.parameter));
  }
  ModelSource source{.source = request.source,
                     .storage_location = uri.scheme == "models" ? owner.artifact_uri : request.source,
                     .run_id = request.run_id.value_or(""),
                     .model_id = request.model_id.value_or("")};
  if (source.run_id.empty()) source.run_id = owner.run_id;
  return source;
}

}  // namespace tidemill::api
